"""A report as one page that needs nothing else: readable by people, printable, in light and dark, without scripts."""

from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from functions.drift.charts import Moment, distribution, timeline
from functions.drift.markup import cell, kind_of, number, share, table, time, verdict
from functions.drift.measured import headline, measured, over_time

STYLE = Path(__file__).with_name("page") / "report.css"
MOST_DRAWN = 60
COLUMNS = (
    *("name", "verdict", "statistic", "value", "p", "effect", "tolerance", "uncertainty from the reference"),
    *("missing before", "missing now"),
)
ADVICE = {
    "drifted": "Where the change is a fault (another unit, a feed that is gone), mend it where the rows come from. "
    "Where the world has changed, train on newer rows: lastmile train {model} <file>. "
    "Where it does not matter, allow it: tolerance under [drift] in the spec.",
    "not enough data": "More rows will tell, or a longer window: lastmile drift {model} --window 7d.",
}
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

type Document = Mapping[str, Any]


def page(report: Document) -> str:
    """`report` as `reports/<model>/drift/<time>.json` has it."""
    title = f"{report['model']}: {report['verdict']}"
    parts = [
        _head(report),
        _cards(report),
        _history(report),
        over_time(report),
        _features("Inputs", [one for one in report["features"] if one["side"] == "input"]),
        _features("Answers", [one for one in report["features"] if one["side"] == "output"]),
        measured(report.get("quality")),
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


def _head(report: Document) -> str:
    window, advice = report["window"], ADVICE.get(report["verdict"], "").format(model=report["model"])
    return (
        f"<header><h1>{escape(report['model'])}: {verdict(report['verdict'])}</h1>"
        f"<p>{escape(report['summary'])}</p>"
        f'<p class="faint">{time(window["since"])} to {time(window["until"])} (UTC), '
        f"{escape(report['reference']['sentence'])}</p>{f'<p>{escape(advice)}</p>' if advice else ''}</header>\n"
    )


def _cards(report: Document) -> str:
    traffic, estimate = report["traffic"], report.get("estimate")
    drifted = sum(one["verdict"] == "drifted" for one in report["features"])
    cards: list[tuple[str, str | None]] = [
        ("version", number(report["version"])),
        ("requests", number(traffic["requests"])),
        ("rows", number(traffic["rows"])),
        ("errors", share(traffic["error_rate"])),
        ("p99, ms", number(traffic["latency_ms"]["p99"])),
        ("drifted", f"{drifted} of {len(report['features'])}"),
    ]
    if estimate and estimate["value"] is not None:
        doubt = "" if estimate["trusted"] else " (not trusted)"
        cards.append((f"estimated {estimate['metric']}{doubt}", share(estimate["value"])))
    for name, figure in headline(report.get("quality")):
        cards.append((f"measured {name}", f"{figure['value']:.4g}"))
    rows = "".join(f"<div><dt>{escape(name)}</dt><dd>{escape(value or '–')}</dd></div>" for name, value in cards)
    return f'<dl class="cards">{rows}</dl>\n'


def _history(report: Document) -> str:
    moments = [Moment(time(one["at"]), one["verdict"], kind_of(one["verdict"])) for one in report["history"]]
    if not moments:
        return ""
    return (
        f"<section><h2>Checks so far</h2>{timeline(moments)}<p>{escape(report['budget']['sentence'])}</p></section>\n"
    )


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
    every = table(title, COLUMNS, map(_feature_row, ordered))
    return f'<section><h2>{title}</h2>{key}<ul class="features">{cards}</ul>{left}{every}</section>\n'


def _importance(feature: Document) -> tuple[bool, float]:
    return feature["verdict"] != "drifted", -(feature["effect"] or 0.0)


def _feature(feature: Document) -> str:
    drawn = ""
    if feature["labels"]:
        drawn = distribution(feature["name"], feature["labels"], feature["reference"], feature["current"])
    effect = (
        "" if feature["effect"] is None else f", effect {feature['effect']:.3g} of {feature['tolerance']:.3g} tolerated"
    )
    why = f"<p>{escape(feature['reason'])}</p>"
    return f"<li><h3>{escape(feature['name'])}</h3><p>{verdict(feature['verdict'])}{effect}</p>{drawn}{why}</li>"


def _feature_row(feature: Document) -> list[str]:
    return [
        escape(feature["name"]),
        verdict(feature["verdict"]),
        escape(feature["statistic"] or "–"),
        *(cell(feature[key]) for key in ("value", "p_value", "effect", "tolerance")),
        share((feature["noise"] or {}).get("reference")) or "–",
        *(share(feature["missing"][side]) or "–" for side in ("reference", "current")),
    ]


def _versions(report: Document) -> str:
    rows = [
        [
            number(one["version"]),
            escape(", ".join(one["roles"]) or "–"),
            number(one["requests"]),
            number(one["rows"]),
            share(one["error_rate"]) or "–",
            *(number(one["latency_ms"][quantile]) for quantile in ("p50", "p99")),
            verdict(one["verdict"]),
        ]
        for one in report["versions"]
    ]
    if not rows:
        return ""
    columns = ("version", "role", "requests", "rows", "errors", "p50, ms", "p99, ms", "against its own reference")
    return f"<section><h2>Versions that answered</h2>{table('Versions', columns, rows)}</section>\n"


def _notes(report: Document) -> str:
    items = "".join(f"<li>{escape(note)}</li>" for note in report["notes"])
    return f"<section><h2>Notes</h2><ul>{items}</ul></section>\n" if items else ""
