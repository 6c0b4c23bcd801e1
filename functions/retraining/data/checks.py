"""What is checked on the whole table, after the rows: each check yields findings."""

import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from functions.retraining.data import times
from functions.retraining.data.columns import Column
from functions.retraining.data.factorising import row_hashes
from functions.retraining.data.findings import Finding
from functions.retraining.table import Table
from lastmile.metrics.samples import texts
from lastmile.spec import ModelSpec

FEWEST_ROWS = 10
FEW_OF_A_CLASS = 10
MANY_DUPLICATES = 0.01
IS_AN_ID = 50  # so many rows, all different
A_DAY = 86400.0
A_YEAR = 365 * A_DAY


def checked(
    table: Table, columns: Sequence[Column], spec: ModelSpec, *, classes: Mapping[Any, int] | None = None
) -> Iterator[Finding]:
    """`classes` are those of the target with their rows, where the table is only a sample."""
    if table.rows < FEWEST_ROWS:
        yield Finding(
            "refused",
            f"only {table.rows} rows can be used, and at least {FEWEST_ROWS} are needed",
            "Upload more rows; a model worth serving usually wants hundreds or more.",
        )
        return
    yield from _classes(table, columns, spec, classes)
    for column in columns:
        yield from _values(table, column)
    yield from _duplicates(table)
    yield from _time(table, columns)


def _classes(
    table: Table, columns: Sequence[Column], spec: ModelSpec, classes: Mapping[Any, int] | None
) -> Iterator[Finding]:
    target = next((column for column in columns if column.role == "target"), None)
    if target is None or spec.task != "classification":
        return
    found = Counter(table[target.name].tolist()) if classes is None else classes
    labels, counts = texts(np.array(list(found), object)), list(found.values())
    if len(labels) < 2:
        yield Finding(
            "refused",
            f"every usable row has the {target.name} '{labels[0]}', so there is nothing to tell apart",
            "Upload rows of at least two classes.",
            target.name,
        )
    elif absent := [name for name in target.categories if name not in set(labels)]:
        yield Finding(
            "refused",
            f"no row has the {target.name} {_listed(absent)}, which the spec names as a class",
            "Upload rows of every class, or take the class out of the spec's outputs.",
            target.name,
        )
    if few := [label for label, count in zip(labels, counts, strict=True) if count < FEW_OF_A_CLASS]:
        yield Finding(
            "warning",
            f"fewer than {FEW_OF_A_CLASS} rows have the {target.name} {_listed(few)}",
            "What is learnt and measured about so few rows is not reliable.",
            target.name,
        )


def _values(table: Table, column: Column) -> Iterator[Finding]:
    values = table[column.name]
    if column.role == "time":
        return
    missing = np.isnan(values) if values.dtype.kind == "f" else values == "" if values.dtype.kind == "O" else None
    present = values if missing is None else values[~missing]
    if not len(present):
        yield Finding("warning", f"{column.name} is missing in every row", "Take it out, or fill it.", column.name)
    elif (present == present[0]).all() and len(present) == len(values):
        shown = "the same value" if column.pii else f"{present[0]!s:.40}"
        yield Finding(
            "refused" if column.role == "target" and column.kind == "number" else "warning",
            f"{column.name} is {shown} in every row",
            "Nothing can be learnt from a constant.",
            column.name,
        )
    elif column.role == "feature" and _is_an_id(present):
        yield Finding(
            "warning",
            f"{column.name} is different in every row, as an id is",
            "An id tells a model nothing about new rows; take it out of the features unless it is none.",
            column.name,
        )


def _is_an_id(values: "np.ndarray[tuple[int], np.dtype[np.generic]]") -> bool:
    """Whole numbers that hardly leave any out, or short single words; not measurements, amounts or sentences."""
    if len(values) < IS_AN_ID:
        return False
    if values.dtype.kind == "O":
        some = values[: 10 * IS_AN_ID]
        return all(len(text) <= 40 and " " not in text for text in some) and len(set(values.tolist())) == len(values)
    low, high = float(values.min()), float(values.max())
    dense = high - low < 10 * len(values) and bool((values % 1 == 0).all())
    return dense and len(np.unique(values)) == len(values)


def _duplicates(table: Table) -> Iterator[Finding]:
    copies = table.rows - len(np.unique(row_hashes(table)))
    if copies:
        share = copies / table.rows
        yield Finding(
            "warning" if share > MANY_DUPLICATES else "note",
            f"{copies:,} rows ({share:.1%}) are exact copies of another row",
            "A copy may be learnt from and measured on at once, which makes a model look better than it is.",
        )


def _time(table: Table, columns: Sequence[Column]) -> Iterator[Finding]:
    for column in columns:
        if column.role != "time":
            continue
        values = table[column.name].astype(float)
        first, last = float(np.nanmin(values)), float(np.nanmax(values))
        if first == last:
            yield Finding(
                "warning", f"{column.name} is {times.shown(first)} in every row", "Rows cannot be ordered by it."
            )
        elif (np.diff(values) < 0).any():
            yield Finding(
                "note", f"the rows are not in the order of {column.name}", "They are sorted before the split."
            )
        if 0 <= first <= last < A_YEAR:
            yield Finding(
                "warning",
                f"{column.name} never leaves 1970: its numbers are read as seconds since then",
                "Write dates as 2024-03-01.",
                column.name,
            )
        if last > time.time() + A_DAY:
            yield Finding(
                "warning",
                f"{column.name} goes on to {times.shown(last)}, in the future",
                "Check its unit.",
                column.name,
            )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:5])
    return f"{shown} and {len(names) - 5} others" if len(names) > 5 else shown
