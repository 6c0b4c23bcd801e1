"""What the values of a column are like: the figures and plot of a report. Personal values are only counted."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from functions.retraining.bins import counted
from functions.retraining.data import times
from functions.retraining.data.columns import Column
from functions.retraining.table import Table
from lastmile.tensors import Array

BINS = 24
TOP = 8
LONGEST_TEXT = 60
FREE_TEXT = 0.5  # with more different texts than this share of the rows, none of them is worth showing


@dataclass(frozen=True)
class Summary:
    """`figures` are by name, numbers or texts for people; `bins` are counts between `low` and `high`, `top` the most
    frequent values with theirs."""

    column: Column
    rows: int
    missing: int
    distinct: int
    figures: dict[str, float | str] = field(default_factory=dict)
    bins: tuple[int, ...] = ()
    low: float | None = None
    high: float | None = None
    top: tuple[tuple[str, int], ...] = ()

    def to_document(self) -> dict[str, Any]:
        column = self.column
        return {
            "name": column.name,
            "kind": column.kind,
            "role": column.role,
            "missing": self.missing,
            "missing_share": self.missing / self.rows if self.rows else 0.0,
            "distinct": self.distinct,
            "pii": column.pii,
            "figures": self.figures,
            "histogram": {"low": self.low, "high": self.high, "counts": list(self.bins)} if self.bins else None,
            "top": [{"value": value, "count": count} for value, count in self.top],
        }


def summarised(table: Table, columns: Sequence[Column]) -> list[Summary]:
    return [_summary(table[column.name], column) for column in columns if column.name in table.columns]


def _summary(values: Array, column: Column) -> Summary:
    if values.dtype.kind == "O":
        return _of_texts(values, column)
    numbers = values.astype(float)
    present = numbers[np.isfinite(numbers)]
    missing, rows = len(numbers) - len(present), len(numbers)
    distinct = len(np.unique(present))
    if column.pii or not len(present):
        return Summary(column, rows, missing, distinct)
    low, high = float(present.min()), float(present.max())
    if column.kind == "time":
        figures: dict[str, float | str] = {"first": times.shown(low), "last": times.shown(high)}
    else:
        with np.errstate(over="ignore", invalid="ignore"):
            found = {"minimum": low, "median": np.median(present), "maximum": high}
            found |= {"mean": present.mean(), "deviation": present.std()}
        figures = {name: float(value) for name, value in found.items() if np.isfinite(value)}
    top: tuple[tuple[str, int], ...] = ()
    if column.role == "target" and distinct <= TOP:
        top = tuple((f"{value:g}", count) for value, count in Counter(present.tolist()).most_common(TOP))
    bins = () if low == high else counted(present, low, high, BINS)
    return Summary(column, rows, missing, distinct, figures, bins, low, high, top)


def _of_texts(values: Array, column: Column) -> Summary:
    counts = Counter(values.tolist())
    missing = counts.pop("", 0)
    rows, distinct = len(values), len(counts)
    if column.pii or not counts:
        return Summary(column, rows, missing, distinct)
    lengths = {len(text) for text in counts}
    figures: dict[str, float | str] = {"shortest": min(lengths), "longest": max(lengths)}
    shows = distinct <= FREE_TEXT * rows and max(lengths) <= 4 * LONGEST_TEXT
    top = tuple((text[:LONGEST_TEXT], count) for text, count in counts.most_common(TOP)) if shows else ()
    return Summary(column, rows, missing, distinct, figures, top=top)
