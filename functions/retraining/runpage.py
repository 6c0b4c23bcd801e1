"""The report of a run as a page: how it ended and what to do, then what was measured, then every step."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from html import escape
from typing import Any

from functions.retraining import cardtables
from functions.retraining.cardtables import Grid, number
from functions.retraining.sheet import Tone, paragraph, section, sheet, table, tag, verdict

TONES: Mapping[str, Tone] = {"promoted": "good", "failed": "bad", "refused": "bad", "rolled back": "bad"}
SHOWN = ("gates", "metrics", "table")  # in tables of their own
LONGEST = 120


def page(report: Mapping[str, Any]) -> str:
    lead = f"{report['key']}, {_size(report['bytes'])}, uploaded {_plainly(report['uploaded_at'])} UTC."
    return sheet(f"{report['model']}: run {report['run']}", escape(lead), _sections(report))


def _sections(report: Mapping[str, Any]) -> Iterator[str]:
    state, problem = report["state"], report["problem"]
    yield verdict(TONES.get(state, "warning"), state.capitalize(), _sentence(report))
    if problem and problem["advice"]:
        yield section("What to do", paragraph(problem["advice"]))
    if "validate" in report["steps"] or (problem and problem["step"] == "validate"):
        yield f'<p><a href="../data/{escape(report["run"])}.html">The data report</a></p>'
    for grid in _grids(report):
        rows = [tuple(map(escape, row)) for row in grid.rows]
        if grid.title == "Gates":
            rows = [(tag("good" if word == "passed" else "bad", word), sentence) for word, sentence in rows]
        yield section(grid.title, paragraph(grid.note), table(grid.heads, rows, numbers=grid.numbers)) if rows else ""


def _sentence(report: Mapping[str, Any]) -> str:
    took = f"It ended {_plainly(report['ended_at'])} UTC, after {report['seconds']:,} s."
    if report["problem"]:
        return f"In step {report['problem']['step']}: {report['problem']['reason']}. {took}"
    return f"Version {report['version']} serves. {took}"


def _grids(report: Mapping[str, Any]) -> Iterator[Grid]:
    steps: dict[str, dict[str, Any]] = {name: step["facts"] for name, step in report["steps"].items()}
    measured = steps.get("compress") or steps.get("evaluate") or {}
    yield cardtables.gates(measured.get("gates", ()))
    metrics = tuple((name, number(value)) for name, value in measured.get("metrics", {}).items())
    yield Grid("Metrics on held-out rows", ("metric", "value"), metrics, (1,))
    yield cardtables.compression(measured.get("table", {}))
    began = datetime.fromisoformat(report["started_at"]).timestamp()
    rows = ((name, f"{step['at'] - began:.1f}", _found(step["facts"])) for name, step in report["steps"].items())
    yield Grid("Steps", ("step", "after, s", "found"), tuple(rows), (1,))


def _found(facts: Mapping[str, Any]) -> str:
    plain = ((name.replace("_", " "), value) for name, value in facts.items() if name not in SHOWN)
    return ", ".join(
        f"{name} {value[:12] if name == 'sha256' else number(value)[:LONGEST]}"
        for name, value in plain
        if value is not None
    )


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 1e6 else f"{count / 1e3:,.1f} kB" if count >= 1e3 else f"{count} bytes"


def _plainly(time: str) -> str:
    """RFC 3339 in UTC, for people."""
    return time[:19].replace("T", " ")
