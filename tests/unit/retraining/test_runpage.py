"""The page of a run says first how it ended, then what to do, then what was measured."""

from typing import Any

import pytest

from functions.retraining.runpage import page

GATES = [
    {"metric": "auc", "passed": True, "sentence": "auc is 0.9, at least 0.8 is wanted"},
    {"metric": "f1", "passed": False, "sentence": "f1 is 0.1, at least 0.5 is wanted"},
]
CANDIDATES = [{"name": "fp32", "bytes": 2000, "seconds": 1e-5, "adopted": True, "reason": ""}]


def report(**more: Any) -> dict[str, Any]:
    steps = {
        "claim": {"at": 1_800_000_001.0, "facts": {"latest": 0}},
        "validate": {"at": 1_800_000_002.5, "facts": {"rows": 12_000, "sha256": "0123456789abcdef"}},
        "evaluate": {"at": 1_800_000_004.0, "facts": {"metrics": {"auc": 0.912345, "f1": None}, "gates": GATES}},
    }
    return {
        "run": "20270115T080000Z-0123456789ab",
        "model": "fraud",
        "state": "promoted",
        "version": 3,
        "problem": None,
        "key": "training/fraud/<may>.csv",
        "key_version": "v",
        "bytes": 898_543,
        "uploaded_at": "2027-01-15T08:00:00.056Z",
        "started_at": "2027-01-15T08:00:00.000Z",
        "ended_at": "2027-01-15T08:00:20.601Z",
        "seconds": 20.6,
        "steps": steps,
        **more,
    }


def test_a_good_end_says_what_serves_and_what_was_measured() -> None:
    told = page(report())
    assert "Version 3 serves. It ended 2027-01-15 08:00:20 UTC, after 20.6 s." in told
    assert "0.9123" in told
    assert "f1 is 0.1, at least 0.5 is wanted" in told
    assert "rows 12,000, sha256 0123456789ab<" in told
    assert '<td class="number">2.5</td>' in told
    assert "training/fraud/&lt;may&gt;.csv, 898.5 kB" in told


@pytest.mark.parametrize("state", ["refused", "failed", "rolled back", "superseded"])
def test_a_bad_end_says_where_why_and_what_to_do(state: str) -> None:
    problem = {"step": "certify", "reason": "value of row 7 is 1 and not 2", "advice": "Look into it."}
    table = {"kind": "fp32", "candidates": CANDIDATES}
    compress = {"compress": {"at": 1_800_000_005.0, "facts": {"table": table, "gates": GATES}}}
    told = page(report(state=state, problem=problem, steps=report()["steps"] | compress))
    assert f"<b>{state.capitalize()}</b><p>In step certify: value of row 7 is 1 and not 2. It ended" in told
    assert "<h2>What to do</h2>\n<p>Look into it.</p>" in told
    assert "Adopted: fp32." in told
    assert "../data/20270115T080000Z-0123456789ab.html" in told
