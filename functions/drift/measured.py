"""What a page says of quality: estimated and measured, over time, of versions and of groups of rows."""

from collections.abc import Iterable, Iterator, Mapping
from html import escape
from typing import Any

from functions.drift.charts import Point, line
from functions.drift.markup import number, table, time

SHOWN_METRICS = 8
MOST_GROUPS = 12  # drawn, those with the most labelled rows

type Document = Mapping[str, Any]


def over_time(report: Document) -> str:
    drawings = []
    quality = report.get("quality")
    for name in [name for name, _ in headline(quality)][:1]:
        assert quality is not None
        days = [one for one in quality["days"] if one["version"] == report["version"]]
        points = [
            Point(one["day"], one["metrics"][name]["value"], one["metrics"][name]["low"], one["metrics"][name]["high"])
            for one in days
            if one["metrics"][name]["value"] is not None
        ]
        drawings.append((f"Measured {name}, by the day of the prediction", line(f"Measured {name}", points)))
    estimates = [
        Point(time(one["at"]), one["estimate"], one.get("estimate_low"), one.get("estimate_high"))
        for one in report["history"]
        if one.get("estimate") is not None
    ]
    if estimates:
        drawings.append(("Estimated without labels, check by check", line("The estimate", estimates)))
    if chunks := _chunks(report.get("estimate")):
        drawings.append(("Estimated without labels, within this window", line("The estimate of each part", chunks)))
    items = "".join(f"<li><h3>{escape(name)}</h3>{drawn}</li>" for name, drawn in drawings if drawn)
    return f'<section><h2>Quality over time</h2><ul class="features">{items}</ul></section>\n' if items else ""


def _chunks(estimate: Document | None) -> list[Point]:
    found = [one for one in (estimate or {}).get("chunks", ()) if one["value"] is not None]
    return [Point(time(one["since"]), one["value"], one["low"], one["high"]) for one in found]


def measured(quality: Document | None) -> str:
    if quality is None or not quality["labels"]["given"]:
        return ""
    labels = quality["labels"]
    told = f"{labels['joined']} of {labels['given']} labels belong to a captured prediction."
    if labels["coverage"] is not None:
        told += f" {labels['coverage']:.1%} of the rows have one."
    if labels["delay_hours"]["median"] is not None:
        told += f" Half of them arrived within {labels['delay_hours']['median']:.3g} hours."
    names = [name for one in quality["versions"] for name in one["metrics"]]
    shown = list(dict.fromkeys(names))[:SHOWN_METRICS]
    rows = [[number(one["version"]), number(one["rows"]), *_figures(one, shown)] for one in quality["versions"]]
    groups = [
        [
            number(one["version"]),
            escape(f"{one['feature']} = {one['value']}"),
            number(one["rows"]),
            *_figures(one, shown),
        ]
        for one in quality["segments"]
    ]
    tables = table("Measured quality", ("version", "rows", *shown), rows)
    if groups:
        tables += table("By group", ("version", "group", "rows", *shown), groups) + _groups_over_time(quality)
    return f"<section><h2>Measured quality</h2><p>{escape(told)}</p>{tables}</section>\n"


def _groups_over_time(quality: Document) -> str:
    """The first figure of each group that has more than one day."""
    drawings = []
    for name in [name for name, _ in headline(quality)][:1]:
        several = [one for one in quality["segments"] if len(one["days"]) > 1]
        for one in sorted(several, key=lambda one: -one["rows"])[:MOST_GROUPS]:
            title = f"{name} of {one['feature']} = {one['value']}, version {one['version']}"
            points = [Point(of["day"], of["metrics"][name]) for of in one["days"] if of["metrics"][name] is not None]
            drawings.append((title, line(title, points)))
    items = "".join(f"<li><h3>{escape(title)}</h3>{drawn}</li>" for title, drawn in drawings if drawn)
    return f'<ul class="features">{items}</ul>' if items else ""


def headline(quality: Document | None) -> list[tuple[str, Document]]:
    """The figures of the version with the most labels that answered callers."""
    served = [one for one in (quality or {"versions": []})["versions"] if not one["shadow"]]
    if not served:
        return []
    metrics = max(served, key=lambda one: one["rows"])["metrics"]
    return [(name, figure) for name, figure in metrics.items() if figure["value"] is not None][:2]


def _figures(one: Document, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        figure = one["metrics"].get(name, {"value": None})
        if figure["value"] is None:
            yield f'<span title="{escape(figure.get("reason") or "")}">–</span>'
        elif figure["low"] is None:
            yield f"{figure['value']:.4g}"
        else:
            yield f"{figure['value']:.4g} <small>{figure['low']:.3g} to {figure['high']:.3g}</small>"
