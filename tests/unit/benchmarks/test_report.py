import json
from pathlib import Path

import pytest

from benchmarks import plot, sections
from benchmarks.report import PAGE, PLOTS, number, write
from benchmarks.result import RESULTS


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0039623, "0.00396"), (1.4108, "1.41"), (99.94, "99.9"), (978.85, "979"), (106508438, "106,508,438")],
)
def test_numbers_have_three_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(plot, "PLOTS", tmp_path / "performance")
    write(tmp_path / "performance.md")
    return tmp_path / "performance.md"


def test_the_page_and_its_plots_are_made_from_the_results_alone(page: Path) -> None:
    assert page.read_text() == PAGE.read_text()
    drawn, kept = (sorted(folder.glob("*.svg")) for folder in (page.parent / "performance", PLOTS))
    assert [(file.name, file.read_text()) for file in drawn] == [(file.name, file.read_text()) for file in kept]


def test_every_section_has_a_result_in_git() -> None:
    assert {path.stem for path in RESULTS.glob("*.json")} == set(sections.NAMES)


def test_the_page_shows_every_target(page: Path) -> None:
    text = page.read_text()
    for path in RESULTS.glob("*.json"):
        for name, target in json.loads(path.read_text())["targets"].items():
            assert name in text
            assert target["reached"] or "**not reached**" in text
