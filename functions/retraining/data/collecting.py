"""Chunk after chunk into one table; what cannot be used goes to the bad rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from functions.retraining.data.badrows import LONGEST_VALUE, BadRow, BadRows
from functions.retraining.data.chunk import Chunk, Opened
from functions.retraining.data.columns import Column
from functions.retraining.data.converting import Converter, Problem, brief
from functions.retraining.data.source import FEWEST_BYTES, too_large
from functions.retraining.table import Table
from lastmile.tensors import Array


def collect(file: Opened, columns: Sequence[Column], limit: int | None = None) -> tuple[Table, BadRows]:
    """The good rows of the columns that the file has, in its order; raises DataRefused where their values are more
    than so many bytes would hold."""
    present = [column for column in columns if column.name in file.names]
    converters = {column.name: Converter(column, file.decimal) for column in present}
    parts: dict[str, list[Array]] = {column.name: [] for column in present}
    bad, count = BadRows(), 0
    for chunk in file.chunks([column.name for column in present]):
        count += len(chunk.lines) * len(present)
        if limit is not None and FEWEST_BYTES * count > limit:
            raise too_large(limit)
        converted = {name: converters[name].convert(raw, plain=chunk.plain) for name, raw in chunk.columns.items()}
        good = _sorted_out(chunk, present, {name: problems for name, (_, problems) in converted.items()}, bad)
        for name, (values, _) in converted.items():
            parts[name].append(values if good is None else values[good])
    return Table({name: _joined(parts[name]) for name in list(parts)}), bad


def _sorted_out(
    chunk: Chunk, columns: Sequence[Column], problems: dict[str, list[Problem]], bad: BadRows
) -> Array | None:
    """The mask of the good rows, None if all are; the others are added to the bad ones in the order of the file."""
    of_rows: dict[int, list[tuple[str, Problem]]] = {}
    for name, found in problems.items():
        for problem in found:
            of_rows.setdefault(problem.row, []).append((name, problem))
    lines = chunk.lines
    rows = [(int(lines[row]), row) for row in of_rows]
    hidden = frozenset(column.name for column in columns if column.pii)
    for line, row in sorted(rows + [(torn.line, -1 - index) for index, torn in enumerate(chunk.torn)]):
        if row < 0:
            reason = chunk.torn[-1 - row].reason
            bad.add(BadRow(line, (reason,), {}), [(None, _kind(reason))])
            continue
        reasons = tuple(problem.text for _, problem in of_rows[row])
        kinds: list[tuple[str | None, str]] = [(name, problem.kind) for name, problem in of_rows[row]]
        bad.add(BadRow(line, reasons, _shown(chunk, row, hidden) if bad.has_room else {}), kinds)
    if not of_rows:
        return None
    good = np.ones(len(lines), bool)
    good[list(of_rows)] = False
    return good


def _shown(chunk: Chunk, row: int, hidden: frozenset[str]) -> dict[str, Any]:
    return {name: _short(raw[row]) for name, raw in chunk.columns.items() if name not in hidden}


def _short(value: Any) -> Any:
    plain = value.item() if isinstance(value, np.generic) else value
    if type(plain) is int and plain.bit_length() > 63:
        return str(plain)  # which JSON's readers and writers do not have as a number
    if plain is None or type(plain) in (bool, int, float):
        return plain
    return plain[:LONGEST_VALUE] if type(plain) is str else brief(plain, LONGEST_VALUE)


def _kind(reason: str) -> str:
    """The sentence without what differs from row to row."""
    return reason.partition(":")[0] if reason.startswith("is no JSON:") else reason


def _joined(parts: list[Array]) -> Array:
    """One array; the parts are let go of, so that memory holds a column twice and not the table."""
    joined = np.concatenate(parts) if parts else np.array([])
    parts.clear()
    return joined
