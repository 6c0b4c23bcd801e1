import json
from pathlib import Path

from benchmarks.result import RESULTS, Figure, Ratio, Result, Target, write


def test_a_result_is_stored_as_the_other_tools_expect_it(tmp_path: Path) -> None:
    result = Result(
        figures={"ours": Figure(1.234567, 1.0, 2.0, "ms", 9), "files": Figure.count(3, "files")},
        ratios={"ours / theirs": Ratio(0.5, 0.4, 0.6), "rate": Ratio(3.5, 3.0, 4.0, "higher")},
        targets={"ours / theirs": Target(at_most=0.45), "rate": Target(at_least=3.0)},
        versions={"python": "3.13.0"},
    )
    path = write(result.to_document("warm", at="2026-11-21T06:00:00Z", machine={"cores": 2}), tmp_path)
    assert json.loads(path.read_text()) == {
        "name": "warm",
        "at": "2026-11-21T06:00:00Z",
        "machine": {"cores": 2},
        "versions": {"python": "3.13.0"},
        "figures": {
            "ours": {"median": 1.2346, "low": 1.0, "high": 2.0, "unit": "ms", "n": 9},
            "files": {"median": 3, "low": 3, "high": 3, "unit": "files", "n": 1},
        },
        "ratios": {
            "ours / theirs": {"value": 0.5, "low": 0.4, "high": 0.6, "better": "lower"},
            "rate": {"value": 3.5, "low": 3.0, "high": 4.0, "better": "higher"},
        },
        "targets": {
            "ours / theirs": {"at_most": 0.45, "reached": False},
            "rate": {"at_least": 3.0, "reached": True},
        },
    }


def test_every_result_in_git_says_truly_what_it_reached() -> None:
    for path in RESULTS.glob("*.json"):
        document = json.loads(path.read_text())
        assert document["name"] == path.stem
        for name, target in document["targets"].items():
            value = document["ratios"][name]["value"]
            reached = value <= target["at_most"] if "at_most" in target else value >= target["at_least"]
            assert target["reached"] is reached
