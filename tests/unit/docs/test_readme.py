"""What the README shows of a first model works when it is typed."""

import re
from pathlib import Path
from typing import Any

import pytest
from typer.main import get_command

from cli.main import app, main
from lastmile.registry import Registry
from lastmile.store import Store

ROOT = Path(__file__).parents[3]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def block(language: str, mark: str) -> str:
    """The one block of that language that holds the mark."""
    (found,) = [text for text in re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL) if mark in text]
    return str(found)


def test_the_first_model_is_trained_pushed_and_promoted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(block("python", "to_onnx"), names)
    Path("spec.toml").write_text(block("toml", 'name = "churn"'), encoding="utf-8")
    (push,) = re.findall(r"^lastmile (push churn\.onnx --spec spec\.toml .*)$", README, re.MULTILINE)
    words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', push)]
    with pytest.raises(SystemExit) as ended:
        main([*words, "--registry", str(tmp_path / "registry")])
    assert ended.value.code == 0, capsys.readouterr().err
    assert Registry(Store.open((tmp_path / "registry").as_uri(), environ={})).release("churn").champion == 1


def anchors(page: Path) -> set[str]:
    """As GitHub names headings, and those that are written out."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    plain = [re.sub(r"[`*]|\[|\]\([^)]*\)", "", heading).lower() for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading).replace(" ", "-") for heading in plain} | set(
        re.findall(r'<a id="([^"]+)"', text)
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for address in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if ":" in address:
            continue
        name, _, anchor = address.partition("#")
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), address
        assert not anchor or anchor in anchors(target), address


def test_every_page_can_be_reached_from_the_readme() -> None:
    seen, left = set(), [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page in seen or page.suffix != ".md":
            continue
        seen.add(page)
        for address in re.findall(r"\]\(([^)\s:]+\.md)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")):
            left.append((page.parent / address).resolve())
    assert set(PAGES) <= seen


def commands(group: Any, before: str = "") -> list[str]:
    """Every command that does something; of groups, what is in them."""
    found = []
    for name, command in group.commands.items():
        inside = hasattr(command, "commands")
        found += commands(command, f"{before}{name} ") if inside else [f"{before}{name}"]
    return found


def test_the_page_on_the_command_line_has_every_command() -> None:
    table = (ROOT / "docs/cli.md").read_text(encoding="utf-8").partition("\n\nCommands reach")[0]
    shown = {word for words in re.findall(r"`([^`]+)`", table) for word in (words, words.split()[-1])}
    assert len(commands(get_command(app))) > 40
    for name in commands(get_command(app)):
        assert {name, name.split()[-1]} & shown, name
