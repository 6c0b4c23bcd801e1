import json
import shutil
from typing import Any

import pytest


def test_an_entry_tells_what_changed_by_whom_and_why(lastmile: Any, iris: Any) -> None:
    lastmile("release", "canary", "iris", 2, "--weight", "5%", "--why", "try it")
    header, newest, *_ = lastmile("audit", "iris").out.splitlines()
    assert header.split() == ["when", "(UTC)", "action", "version", "change", "by", "why"]
    assert "challenger - → 2, weight 0 % → 5 %" in newest
    assert newest.endswith("try it")
    assert "@" in newest


def test_a_lost_race_is_seen(lastmile: Any, iris: Any) -> None:
    lastmile("release", "promote", "iris", 2, "--why", "x", "--revision", 7)
    assert "promote (conflict)" in lastmile("audit", "iris").out.splitlines()[1]


def test_show_may_be_left_out_and_options_may_come_first(lastmile: Any, iris: Any) -> None:
    expected = lastmile("audit", "show", "iris", "--limit", 2, "--json").out
    assert lastmile("audit", "show", "iris", "--limit", 2).out.count("\n") == 3
    assert lastmile("audit", "iris", "--limit", 2, "--json").out == expected
    assert lastmile("audit", "--limit", 2, "iris", "--json").out == expected


def test_verify_finds_an_intact_audit_intact(lastmile: Any, iris: Any) -> None:
    assert lastmile("audit", "verify", "iris").out == "iris: the audit is intact\n"
    assert lastmile("audit", "verify", "--all", "--json").json == {"intact": True, "problems": {"iris": []}}


@pytest.mark.parametrize("words", [("iris",), ("--all",)])
def test_verify_names_a_changed_entry_and_exits_with_1(lastmile: Any, iris: Any, words: tuple[str, ...]) -> None:
    entry = next(path for path in iris.registry_folder.glob("audit/*/*/*/*.json") if b'"promote"' in path.read_bytes())
    entry.write_text(json.dumps(json.loads(entry.read_bytes()) | {"actor": "somebody else"}))
    outcome = lastmile("audit", "verify", *words)
    assert outcome.code == 1
    assert outcome.out.startswith("iris: the audit was tampered with\n  ")
    assert f"{entry.relative_to(iris.registry_folder)} was changed" in outcome.out
    found = lastmile("audit", "verify", *words, "--json")
    assert (found.code, found.json["intact"]) == (1, False)
    assert len(found.json["problems"]["iris"]) >= 1


@pytest.mark.parametrize("words", [(), ("iris", "--all")])
def test_verify_wants_one_model_or_all(lastmile: Any, iris: Any, words: tuple[str, ...]) -> None:
    outcome = lastmile("audit", "verify", *words)
    assert outcome.code == 2
    assert "give either a model or --all" in outcome.err


def test_a_reason_cannot_command_a_terminal_or_look_like_another_entry(lastmile: Any, iris: Any) -> None:
    why = "better\n2026-01-01 00:00:00  promote  3\x1b[2J\u202e\x00 \U0001f600 größer"
    shown = "better 2026-01-01 00:00:00  promote  3\\x1b[2J\\u202e\\x00 \U0001f600 größer"
    lastmile("release", "promote", "iris", 2, "--why", why)
    for words in (("audit", "iris", "--limit", 1), ("release", "show", "iris")):
        assert lastmile(*words).out.count(shown) == 1
    assert lastmile("audit", "iris", "--json").json["entries"][0]["why"] == why


def test_verify_of_all_finds_a_model_that_was_deleted(lastmile: Any, iris: Any) -> None:
    shutil.rmtree(iris.registry_folder / "models/iris")
    outcome = lastmile("audit", "verify", "--all")
    assert outcome.code == 1
    assert "models/iris/release.json is missing, and the audit holds 5 entries of the model" in outcome.out


def test_verify_of_all_says_that_there_is_nothing(lastmile: Any, workspace: Any) -> None:
    workspace.registry_folder.mkdir()
    outcome = lastmile("audit", "verify", "--all", "--registry", workspace.registry_folder)
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "There is no model yet, and so no audit.\n")
