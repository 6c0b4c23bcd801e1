import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.compare import main, moves


def results(low: float, value: float, high: float, *, better: str = "lower") -> dict[str, Any]:
    ratios = {"ours / floor": {"value": value, "low": low, "high": high, "better": better}}
    return {"warm": {"name": "warm", "ratios": ratios}}


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (results(1.3, 1.4, 1.5), results(1.3, 1.4, 1.5), []),
        (results(1.3, 1.4, 1.5), results(1.4, 1.5, 1.6), []),
        (results(1.3, 1.4, 1.5), results(1.55, 1.6, 1.7), []),
        (results(1.3, 1.4, 1.5), results(1.7, 1.8, 1.9), [True]),
        (results(1.7, 1.8, 1.9), results(1.3, 1.4, 1.5), [False]),
        (results(3, 4, 5, better="higher"), results(1, 1.5, 2, better="higher"), [True]),
        (results(1, 1.5, 2, better="higher"), results(3, 4, 5, better="higher"), [False]),
        (results(7, 7, 7), results(8, 8, 8), [True]),
    ],
    ids=["same", "overlapping", "within the slack", "worse", "better", "less", "more", "counted"],
)
def test_only_what_lies_apart_has_moved(old: Any, new: Any, expected: list[bool]) -> None:
    assert [move.is_worse for move in moves(old, new)] == expected


def test_a_ratio_that_is_new_has_not_moved() -> None:
    assert moves({}, results(1.3, 1.4, 1.5)) == []
    assert moves({"warm": {"ratios": {}}}, results(1.3, 1.4, 1.5)) == []


@pytest.mark.parametrize(("now", "code"), [(1.4, 0), (2.8, 1), (0.7, 0)])
def test_a_regression_is_an_exit_code(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], now: float, code: int
) -> None:
    for name, value in (("old", 1.4), ("new", now)):
        (tmp_path / name).mkdir()
        document = results(value * 0.95, value, value * 1.05)["warm"]
        (tmp_path / name / "warm.json").write_text(json.dumps(document))
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "old"), str(tmp_path / "new")])
    assert ended.value.code == code
    said = capsys.readouterr().out
    assert ("worse" in said, "better" in said) == (now > 1.4, now < 1.4)


def test_the_results_of_a_revision_can_be_compared(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["HEAD", "HEAD"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == "Nothing moved beyond its spread.\n"
