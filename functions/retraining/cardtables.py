"""What a model card says, as tables of plain text: the page and the Markdown are made of the same ones."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from functions.retraining.evaluation import Evaluation
from functions.retraining.grouping import FEWEST_ROWS, Group
from lastmile.metrics import Measured, find
from lastmile.spec import ModelSpec

NOTHING = "–"
HEADS = {"seconds": "ms for one row", "seconds_per_row": "ms a row of a batch", "reason": "why not"}
ARROWS = {"higher": "↑", "lower": "↓"}


@dataclass(frozen=True)
class Grid:
    """`numbers` are the columns that stand to the right; `note` is a sentence under it."""

    title: str
    heads: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numbers: tuple[int, ...] = ()
    note: str = ""


def number(value: Any) -> str:
    if value is None:
        return NOTHING
    if not _is_number(value):
        return _plain(value)
    return f"{value:,}" if isinstance(value, int) else f"{value:.4g}"


def spread(found: Measured) -> str:
    """The value and its interval, or why there is none."""
    if found.value is None:
        return found.reason or NOTHING
    bounds = "" if found.low is None else f" ({found.low:.4g} to {number(found.high)})"
    return f"{found.value:.4g}{bounds}"


def metrics(evaluation: Evaluation) -> Grid:
    champion = evaluation.champion
    is_compared = champion is not None and champion.reason is None
    rows = []
    for name, found in evaluation.metrics.items():
        row = [f"{name}\u00a0{ARROWS[find(name).better]}", spread(found), number(evaluation.training[name].value)]
        if is_compared and champion is not None:
            row += [number(champion.metrics[name].value), spread(champion.differences[name])]
        rows.append(tuple(row))
    heads = ["metric", "held-out rows", "training rows"]
    if is_compared and champion is not None:
        heads += [f"version {champion.version}", "difference"]
    said = f"{evaluation.rows:,} held-out rows, {evaluation.training_rows:,} training rows; 95 % bootstrap intervals. "
    said += "↑ higher is better, ↓ lower."
    if champion is not None and champion.reason is not None:
        said += f" Version {champion.version} serves now and cannot be compared: {champion.reason}."
    return Grid("Metrics", tuple(heads), tuple(rows), tuple(range(1, len(heads))), said)


def gates(outcomes: Sequence[Mapping[str, Any]]) -> Grid:
    rows = tuple(("passed" if each["passed"] else "failed", str(each["sentence"])) for each in outcomes)
    return Grid("Gates", ("gate", "what was found"), rows)


def groups(evaluation: Evaluation) -> Iterator[Grid]:
    for column, found in evaluation.groups.items():
        names = list(dict.fromkeys(name for group in found for name in group.metrics))
        rows = tuple((group.name, f"{group.rows:,}", *_of_group(group, names)) for group in found)
        gaps = (f"{name} {gap:.4g}" for name in names if (gap := _gap(found, name)) is not None)
        said = "; ".join(gaps)
        note = f"Largest difference between two groups: {said}." if said else ""
        yield Grid(f"Groups of {column}", ("group", "rows", *names), rows, tuple(range(1, 2 + len(names))), note)


def _of_group(group: Group, names: Sequence[str]) -> list[str]:
    if group.is_too_small:
        return [f"fewer than {FEWEST_ROWS} rows", *[""] * (len(names) - 1)][: len(names)]
    return [spread(group.metrics[name]) for name in names]


def _gap(found: Sequence[Group], name: str) -> float | None:
    values = [value for group in found if (value := group.value(name)) is not None]
    return max(values) - min(values) if len(values) > 1 else None


def confusions(curves: Mapping[str, Any]) -> Grid:
    rows = tuple((each["true"], each["predicted"], f"{each['rows']:,}") for each in curves.get("confusions", ()))
    return Grid("Most frequent confusions", ("true", "predicted", "rows"), rows, (2,))


def columns(data: Mapping[str, Any]) -> Grid:
    """Of a data-quality report."""
    rows = tuple(
        (
            each["name"],
            each["role"],
            each["kind"],
            f"{each['missing_share']:.1%}" if each["missing"] else "0",
            f"{each['distinct']:,}",
            "personal"
            if each["pii"]
            else "; ".join(f"{key} {number(value)}" for key, value in each["figures"].items()),
        )
        for each in data["columns"]
    )
    heads = ("column", "role", "kind", "missing", "different", "values")
    return Grid("Data", heads, rows, (3, 4), f"{data['summary']} {data['form']}.")


def compression(document: Mapping[str, Any]) -> Grid:
    """Of the candidates as they were measured, the adopted one marked."""
    kind = document.get("kind")
    note = f"Adopted: {kind}." if kind else ""
    return _records("Compression", [_candidate(each, kind) for each in document.get("candidates", ())], note)


def _candidate(measured: Mapping[str, Any], kind: str | None) -> dict[str, Any]:
    """With a reason for every one that was not adopted."""
    reason = measured.get("reason") or ""
    if not reason and not measured.get("adopted", True) and kind:
        reason = f"{kind} does better" if measured["name"] != "fp32" else "what the others are compared with"
    return {HEADS.get(key, key): value for key, value in measured.items()} | {"why not": reason}


def certificate(document: Mapping[str, Any]) -> Iterator[Grid]:
    """The bounds, and every comparison of the graph with the trained object."""
    yield facts("Certificate", {key: value for key, value in document.items() if key != "compared"})
    yield _records("Certificate, each comparison", document.get("compared", ()))


def _records(title: str, records: Sequence[Mapping[str, Any]], note: str = "") -> Grid:
    """Documents of one kind, as rows; what is empty in all of them is left out."""
    names = dict.fromkeys(key for each in records for key in each)
    heads = [key for key in names if any(each.get(key) not in (None, "") for each in records)]
    rows = tuple(tuple(_cell(key, each.get(key)) for key in heads) for each in records)
    right = tuple(place for place, key in enumerate(heads) if any(_is_number(each.get(key)) for each in records))
    return Grid(title, tuple(key.replace("_", " ") for key in heads), rows, right, note)


def _cell(name: str, value: Any) -> str:
    """A time as milliseconds, because what is timed here is short."""
    return f"{value * 1000:.3g}" if name.startswith("ms ") and _is_number(value) else number(value)


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def facts(title: str, document: Mapping[str, Any]) -> Grid:
    """A document as names and values, nested ones with dots."""
    return Grid(title, ("", ""), tuple(_flat(document)))


def _flat(document: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for key, value in document.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{before}{key}.")
        elif value not in (None, "", [], ()):
            yield f"{before}{key}".replace("_", " "), number(value)


def training(spec: ModelSpec) -> dict[str, Any]:
    """How it is made, for `facts`."""
    made = spec.training
    if made is None:
        return {}
    told = {"recipe": made.recipe, "target": made.target, "time": made.time, "held-out share": made.holdout}
    return {**told, "seed": made.seed, "options": made.options}


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, (list, tuple)):
        shown = ", ".join(number(each) for each in value[:8])
        return f"{shown} and {len(value) - 8} more" if len(value) > 8 else shown
    return str(value)
