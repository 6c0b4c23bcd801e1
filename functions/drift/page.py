"""A report as one page that needs nothing else: readable by people, printable, in light and dark, without scripts."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from functions.drift.charts import Moment, Point, distribution, line, timeline

STYLE = Path(__file__).with_name("page") / "report.css"
KINDS = {"stable": "stable", "drifted": "drifted"}  # every other verdict is unsure
MOST_DRAWN = 60
SHOWN_METRICS = 8
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

type Document = Mapping[str, Any]


def page(report: Document) -> str:
    """`report` as `reports/<model>/drift/<time>.json` has it."""
    title = f"{report['model']}: {report['verdict']}"
    parts = [
        _head(report),
        _cards(report),
        _history(report),
        _over_time(report),
        _features("Inputs", [one for one in report["features"] if one["side"] == "input"]),
        _features("Answers", [one for one in report["features"] if one["side"] == "output"]),
        _quality(report.get("quality")),
        _versions(report),
        _notes(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE.read_text(encoding='utf-8')}</style>\n</head>\n"
        f"<body>\n<main>\n{''.join(part for part in parts if part)}</main>\n</body>\n</html>\n"
    )


def kind_of(verdict: str) -> str:
    return KINDS.get(verdict, "unsure")


def _head(report: Document) -> str:
    window = report["window"]
    return (
        f"<header><h1>{escape(report['model'])}: {_verdict(report['verdict'])}</h1>"
        f"<p>{escape(report['summary'])}</p>"
        f'<p class="faint">{_time(window["since"])} to {_time(window["until"])} (UTC), '
        f"{escape(report['reference']['sentence'])}</p></header>\n"
    )


def _cards(report: Document) -> str:
    traffic, estimate = report["traffic"], report.get("estimate")
    drifted = sum(one["verdict"] == "drifted" for one in report["features"])
    cards: list[tuple[str, str | None]] = [
        ("version", _number(report["version"])),
        ("requests", _number(traffic["requests"])),
        ("rows", _number(traffic["rows"])),
        ("errors", _share(traffic["error_rate"])),
        ("p99, ms", _number(traffic["latency_ms"]["p99"])),
        ("drifted", f"{drifted} of {len(report['features'])}"),
    ]
    if estimate and estimate["value"] is not None:
        doubt = "" if estimate["trusted"] else " (not trusted)"
        cards.append((f"estimated {estimate['metric']}{doubt}", _share(estimate["value"])))
    for name, figure in _headline(report.get("quality")):
        cards.append((f"measured {name}", f"{figure['value']:.4g}"))
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value or '–')}</dd></div>" for name, value in cards)
    return f'<dl class="cards">{rows}</dl>\n'


def _history(report: Document) -> str:
    moments = [Moment(_time(one["at"]), one["verdict"], kind_of(one["verdict"])) for one in report["history"]]
    if not moments:
        return ""
    return (
        f"<section><h2>Checks so far</h2>{timeline(moments)}<p>{escape(report['budget']['sentence'])}</p></section>\n"
    )


def _over_time(report: Document) -> str:
    drawings = []
    quality = report.get("quality")
    for name in [name for name, _ in _headline(quality)][:1]:
        assert quality is not None
        days = [one for one in quality["days"] if one["version"] == report["version"]]
        points = [
            Point(one["day"], one["metrics"][name]["value"], one["metrics"][name]["low"], one["metrics"][name]["high"])
            for one in days
            if one["metrics"][name]["value"] is not None
        ]
        drawings.append((f"Measured {name}, by the day of the prediction", line(f"Measured {name}", points)))
    estimates = [
        Point(_time(one["at"]), one["estimate"]) for one in report["history"] if one.get("estimate") is not None
    ]
    if estimates:
        drawings.append(("Estimated without labels", line("The estimate", estimates)))
    items = "".join(f"<li><h3>{escape(name)}</h3>{drawn}</li>" for name, drawn in drawings if drawn)
    return f'<section><h2>Quality over time</h2><ul class="features">{items}</ul></section>\n' if items else ""


def _features(title: str, features: Sequence[Document]) -> str:
    if not features:
        return ""
    ordered = sorted(features, key=_importance)
    cards = "".join(map(_feature, ordered[:MOST_DRAWN]))
    left = f"<p>{len(ordered) - MOST_DRAWN} more are in the table.</p>" if len(ordered) > MOST_DRAWN else ""
    key = (
        '<p class="faint"><span class="key reference"></span> reference '
        '<span class="key current"></span> this window; shares of the rows</p>'
    )
    columns = ("name", "verdict", "statistic", "value", "p", "effect", "tolerance", "missing before", "missing now")
    table = _table(title, columns, map(_feature_row, ordered))
    return f'<section><h2>{title}</h2>{key}<ul class="features">{cards}</ul>{left}{table}</section>\n'


def _importance(feature: Document) -> tuple[bool, float]:
    return feature["verdict"] != "drifted", -(feature["effect"] or 0.0)


def _feature(feature: Document) -> str:
    drawn = ""
    if feature["labels"]:
        drawn = distribution(feature["name"], feature["labels"], feature["reference"], feature["current"])
    effect = (
        "" if feature["effect"] is None else f", effect {feature['effect']:.3g} of {feature['tolerance']:.3g} tolerated"
    )
    why = f"<p>{escape(feature['note'])}</p>" if feature.get("note") else ""
    return f"<li><h3>{escape(feature['name'])}</h3><p>{_verdict(feature['verdict'])}{effect}</p>{drawn}{why}</li>"


def _feature_row(feature: Document) -> list[str]:
    return [
        escape(feature["name"]),
        _verdict(feature["verdict"]),
        escape(feature["statistic"] or "–"),
        *(_cell(feature[key]) for key in ("value", "p_value", "effect", "tolerance")),
        *(_share(feature["missing"][side]) or "–" for side in ("reference", "current")),
    ]


def _headline(quality: Document | None) -> list[tuple[str, Document]]:
    """The figures of the version with the most labels that answered callers."""
    served = [one for one in (quality or {"versions": []})["versions"] if not one["shadow"]]
    if not served:
        return []
    metrics = max(served, key=lambda one: one["rows"])["metrics"]
    return [(name, figure) for name, figure in metrics.items() if figure["value"] is not None][:2]


def _quality(quality: Document | None) -> str:
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
    rows = [[_number(one["version"]), _number(one["rows"]), *_figures(one, shown)] for one in quality["versions"]]
    groups = [
        [
            _number(one["version"]),
            escape(f"{one['feature']} = {one['value']}"),
            _number(one["rows"]),
            *_figures(one, shown),
        ]
        for one in quality["segments"]
    ]
    tables = _table("Measured quality", ("version", "rows", *shown), rows)
    if groups:
        tables += _table("By group", ("version", "group", "rows", *shown), groups)
    return f"<section><h2>Measured quality</h2><p>{escape(told)}</p>{tables}</section>\n"


def _figures(one: Document, names: Iterable[str]) -> Iterator[str]:
    for name in names:
        figure = one["metrics"].get(name, {"value": None})
        if figure["value"] is None:
            yield f'<span title="{escape(figure.get("reason") or "")}">–</span>'
        elif figure["low"] is None:
            yield f"{figure['value']:.4g}"
        else:
            yield f"{figure['value']:.4g} <small>{figure['low']:.3g} to {figure['high']:.3g}</small>"


def _versions(report: Document) -> str:
    rows = [
        [
            _number(one["version"]),
            escape(", ".join(one["roles"]) or "–"),
            _number(one["requests"]),
            _number(one["rows"]),
            _share(one["error_rate"]) or "–",
            _verdict(one["verdict"]),
        ]
        for one in report["versions"]
    ]
    if not rows:
        return ""
    table = _table("Versions", ("version", "role", "requests", "rows", "errors", "against its own reference"), rows)
    return f"<section><h2>Versions that answered</h2>{table}</section>\n"


def _notes(report: Document) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    return f"<section><h2>Notes</h2><ul>{items}</ul></section>\n" if items else ""


def _table(caption: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in columns)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>" for row in rows)
    return (
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(caption)}"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _verdict(verdict: str) -> str:
    return f'<span class="verdict {kind_of(verdict)}">{escape(verdict)}</span>'


def _cell(value: float | None) -> str:
    return "–" if value is None else f"{value:.3g}"


def _number(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:,.4g}"


def _share(value: float | None) -> str | None:
    return None if value is None else f"{value:.2%}"


def _time(moment: str) -> str:
    """`2026-03-14 15:00` of an RFC 3339 time."""
    return escape(moment[:16].replace("T", " "))
