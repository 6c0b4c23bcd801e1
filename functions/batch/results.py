"""What comes out: a row for each row that went in, in the same order, with its prediction id.

A bad row has empty outputs and its reason in `error`.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from functions.batch.columns import ARROW
from functions.batch.rows import Rows
from lastmile.errors import InvalidInput
from lastmile.tensors import Array, TensorSpec, nested_json

ALPHABET = np.frombuffer(b"0123456789ABCDEFGHJKMNPQRSTVWXYZ", np.uint8)  # Crockford's, as ULIDs have it
PAIRS = np.stack([np.repeat(ALPHABET, 32), np.tile(ALPHABET, 32)], axis=1).reshape(-1).view(np.uint16)
GROUP_ROWS = 65_536
PREFIX, DIGITS = 18, 8  # characters of a ULID: those of the job, and those of the row
DECIDED = ("decision", "reasons", "review")
TIER = "tier"
NUMBERED = ("row", "prediction_id")
ERROR = "error"
BYTES = (pa.types.is_binary, pa.types.is_large_binary, pa.types.is_fixed_size_binary, pa.types.is_binary_view)
OWN = (*NUMBERED, *DECIDED, TIER, ERROR)

type Format = Literal["parquet", "csv"]


def ids(prefix: str, first: int, count: int) -> pa.Array:
    """ULIDs of these rows: a job's are equal but for their end, which is the number of the row."""
    texts = np.empty((count, (PREFIX + DIGITS) // 2), np.uint16)  # two characters at once
    texts[:, : PREFIX // 2] = np.frombuffer(prefix.encode(), np.uint16)
    numbers = np.arange(first, first + count)
    for pair in range(DIGITS // 2):
        texts[:, PREFIX // 2 + pair] = PAIRS[numbers >> 10 * (DIGITS // 2 - 1 - pair) & 1023]
    offsets = np.arange(count + 1, dtype=np.int32) * (PREFIX + DIGITS)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(texts))


def numbered(prefix: str, first: int, count: int) -> list[pa.Array]:
    """The columns of numbers and ids; `first` counts from 0 on, and the numbers from 1."""
    return [pa.array(np.arange(first + 1, first + 1 + count)), ids(prefix, first, count)]


@dataclass(frozen=True, slots=True)
class Layout:
    """The columns of a result. An output of several named values becomes several columns, one of lists a JSON text.

    With `tiers` it says which side gave the answer.
    """

    outputs: tuple[TensorSpec, ...]
    keep: Mapping[str, pa.DataType]
    decides: bool
    tiers: bool = False

    def __post_init__(self) -> None:
        away = (*(() if self.decides else DECIDED), *(() if self.tiers else (TIER,)))
        names = [*(name for name in OWN if name not in away), *self.keep]
        names += [name for spec in self.outputs for name, _ in columns_of(spec)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InvalidInput(f"the result would have two columns '{twice}'; leave it out of what is kept")

    def check(self, kind: Format) -> None:
        """Raises InvalidInput where such a file cannot hold what is kept."""
        for name, of in self.keep.items():
            if kind == "csv" and (pa.types.is_nested(of) or any(is_bytes(of) for is_bytes in BYTES)):
                raise InvalidInput(f"a CSV cannot hold the column '{name}' ({of}); keep it in a .parquet output")

    @property
    def schema(self) -> pa.Schema:
        decided = zip(DECIDED, (pa.string(), pa.string(), pa.bool_()), strict=True) if self.decides else ()
        tier = ((TIER, pa.string()),) if self.tiers else ()
        return pa.schema(
            [
                ("row", pa.int64()),
                ("prediction_id", pa.string()),
                *self.keep.items(),
                *(column for spec in self.outputs for column in columns_of(spec)),
                *decided,
                *tier,
                (ERROR, pa.string()),
            ]
        )

    def table(
        self,
        rows: Rows,
        outputs: Mapping[str, Array],
        decisions: Sequence[Any],
        by_heavy: Array | None = None,
        *,
        prefix: str,
        first: int,
    ) -> pa.Table:
        """`first` is the number of the first row in the file, from 0 on."""
        columns = numbered(prefix, first, rows.total)
        columns += [rows.kept[name] for name in self.keep]
        for spec in self.outputs:
            columns += [_spread(values, rows, kind) for values, kind in _values(outputs[spec.name], spec)]
        if self.decides:
            columns += [_spread(values, rows, kind) for values, kind in _decided(decisions)]
        if by_heavy is not None:
            columns.append(_spread(np.where(by_heavy, "heavy", "light").astype(object), rows, pa.string()))
        columns.append(_reasons(rows))
        return pa.Table.from_arrays(columns, schema=self.schema)


def columns_of(spec: TensorSpec) -> Iterator[tuple[str, pa.DataType]]:
    kind = ARROW[spec.datatype]
    if len(spec.shape) == 1 or spec.shape[1:] == (1,):
        yield spec.name, kind
    elif len(spec.shape) == 2 and (spec.columns or spec.shape[1] > 0):
        names = spec.columns or tuple(map(str, range(spec.shape[1])))
        yield from ((f"{spec.name}.{name}", kind) for name in names)
    else:
        yield spec.name, pa.string()


def _values(array: Array, spec: TensorSpec) -> Iterator[tuple[Array, pa.DataType]]:
    columns = list(columns_of(spec))
    kind = columns[0][1]
    if len(columns) > 1:
        yield from ((array[:, place], kind) for place in range(len(columns)))
    elif len(spec.shape) == 1 or spec.shape[1:] == (1,):
        yield array.reshape(len(array)), kind
    else:
        texts = np.empty(len(array), object)
        texts[:] = [orjson.dumps(nested_json(row, spec.name), option=orjson.OPT_SERIALIZE_NUMPY).decode()
                    for row in array]  # fmt: skip
        yield texts, kind


def _decided(decisions: Sequence[Any]) -> Iterator[tuple[Array, pa.DataType]]:
    for values, kind in (
        ([one.decision for one in decisions], pa.string()),
        ([orjson.dumps(one.reasons).decode() for one in decisions], pa.string()),
        ([one.review for one in decisions], pa.bool_()),
    ):
        array = np.empty(len(values), object)
        array[:] = values
        yield array, kind


def _spread(values: Array, rows: Rows, kind: pa.DataType) -> pa.Array:
    """The good rows' values among all rows."""
    if rows.places is None:
        return pa.array(np.ascontiguousarray(values), kind)
    if not len(values):
        return pa.nulls(rows.total, kind)
    full = np.zeros(rows.total, values.dtype)
    full[rows.places] = values
    bad = np.ones(rows.total, bool)
    bad[rows.places] = False
    return pa.array(full, kind, mask=bad)


def _reasons(rows: Rows) -> pa.Array:
    if not rows.problems:
        return pa.nulls(rows.total, pa.string())
    return pa.array([rows.problems.get(place) for place in range(rows.total)], pa.string())


def errors(rows: Rows, first: int) -> bytes:
    """JSON lines: where each bad row stands, and what is wrong with it."""
    return b"".join(
        orjson.dumps(
            {"row": first + 1 + place}
            | ({"line": rows.lines[place]} if place in rows.lines else {})
            | {"reason": rows.problems[place]},
            option=orjson.OPT_APPEND_NEWLINE,
        )
        for place in sorted(rows.problems)
    )


class Writer:
    """One file of results, table by table."""

    def __init__(self, file: Any, schema: pa.Schema, kind: Format) -> None:
        if kind == "csv":
            self._writer = pc.CSVWriter(file, schema, write_options=pc.WriteOptions())
        else:
            # Of ids, row numbers and most decimals no two are the same: dictionaries of them only cost time, and so
            # does compression of decimals, which become a tenth smaller.
            decimals = [one.name for one in schema if pa.types.is_floating(one.type)]
            few = [name for name in schema.names if name not in (*NUMBERED, *decimals)]
            packed = {name: "none" if name in decimals else "snappy" for name in schema.names}
            self._writer = pq.ParquetWriter(file, schema, compression=packed, use_dictionary=few)

        self._waiting: list[pa.Table] = []
        self._rows = 0

    def write(self, table: pa.Table) -> None:
        """Small tables wait for each other, so that a file has few row groups."""
        self._waiting.append(table)
        self._rows += table.num_rows
        if self._rows >= GROUP_ROWS:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._waiting:
            self._writer.write_table(pa.concat_tables(self._waiting))
        self._waiting, self._rows = [], 0


def encoded(table: pa.Table, kind: Format) -> bytes:
    file = pa.BufferOutputStream()
    writer = Writer(file, table.schema, kind)
    writer.write(table)
    writer.close()
    written: bytes = file.getvalue().to_pybytes()
    return written
