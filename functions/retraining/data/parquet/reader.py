"""Parquet files of flat tables, on numpy: https://parquet.apache.org/docs/file-format/

Arrow's own readers are too large for Lambda beside scikit-learn.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence
from typing import Any

import cramjam
import numpy as np

from functions.retraining.data.chunk import Chunk, Opened, Raw
from functions.retraining.data.parquet import encodings
from functions.retraining.data.parquet.pages import Leaf, column
from functions.retraining.data.parquet.thrift import Damaged, Reader
from functions.retraining.data.source import Source, too_large
from lastmile.errors import DataRefused
from lastmile.tensors import Array

MAGIC = b"PAR1"
ADVICE = "Write the file again, as a flat table of numbers, texts and times; or upload CSV."
TEXTS = (0, 4, 19)  # UTF8, ENUM, JSON
DECIMAL, DATE, MILLIS, MICROS = 5, 6, 9, 10
UNSIGNED = range(11, 15)
JULIAN_1970 = 2440588
ERRORS = (
    Damaged,
    KeyError,
    IndexError,
    MemoryError,
    OverflowError,
    TypeError,
    ValueError,
    struct.error,
    zlib.error,
    cramjam.DecompressionError,
)


def opened(source: Source, limit: int | None = None) -> Opened:
    """Needs the whole file in memory, because what it holds is said at its end."""
    data = memoryview(source.read())
    try:
        meta = _footer(data)
        leaves = _leaves(meta[2])
        if limit is not None and sum(group[2] for group in meta[4]) > limit:
            raise too_large(limit)
    except ERRORS as error:
        raise _damaged(error) from error
    names = tuple(leaf.name for leaf in leaves.values())
    return Opened("Parquet", names, lambda wanted: _chunks(data, meta, leaves, wanted))


def _chunks(
    data: memoryview, meta: dict[int, Any], leaves: dict[tuple[bytes, ...], Leaf], wanted: Sequence[str]
) -> Iterator[Chunk]:
    row = 1
    for group in meta[4]:
        columns: dict[str, Raw] = {}
        try:
            for chunk in group[1]:
                leaf = leaves[tuple(chunk[3][3])]
                if leaf.name in wanted:
                    _check(leaf, chunk, group[3])
                    columns[leaf.name] = _meant(*column(data, chunk[3], leaf), leaf)
        except ERRORS as error:
            raise _damaged(error) from error
        yield Chunk(range(row, row + group[3]), columns)
        row += group[3]


def _footer(data: memoryview) -> dict[int, Any]:
    size = int.from_bytes(data[-8:-4], "little")
    if data[-4:] != MAGIC or size + 12 > len(data):
        raise Damaged("its end is missing")
    return Reader(data[: len(data) - 8], len(data) - 8 - size).struct()


def _leaves(schema: list[dict[int, Any]]) -> dict[tuple[bytes, ...], Leaf]:
    """By path; a column inside of another has a name with a dot, and repeated ones the kind -1."""
    found: dict[tuple[bytes, ...], Leaf] = {}
    elements = iter(schema)

    def walk(parents: tuple[bytes, ...], is_flat: bool, count: int) -> None:
        for _ in range(count):
            element = next(elements, None)
            if element is None:
                raise Damaged("its schema ends too early")
            path = (*parents, element[4])
            flat = is_flat and element.get(3, 0) != 2
            if element.get(5):
                walk(path, False, element[5])
            else:
                found[path] = _leaf(path, element, flat)

    walk((), True, next(elements)[5])
    return found


def _leaf(path: tuple[bytes, ...], element: dict[int, Any], flat: bool) -> Leaf:
    logical = element.get(10, {})
    return Leaf(
        name=".".join(part.decode("utf-8", "replace") for part in path),
        kind=element[1] if flat else -1,
        length=element.get(2, 0),
        nullable=element.get(3, 0) == 1,
        converted=element.get(6),
        scale=element.get(7, logical.get(5, {}).get(1, 0)),
        logical=logical,
    )


def _check(leaf: Leaf, chunk: dict[int, Any], rows: int) -> None:
    if leaf.kind < 0:
        raise Damaged(f"the column {leaf.name} is nested")
    if chunk.get(1):
        raise Damaged("its columns are in other files")
    if chunk[3][5] != rows:
        raise Damaged(f"the column {leaf.name} has {chunk[3][5]} values in a group of {rows} rows")


def _meant(values: Array, mask: Array | None, leaf: Leaf) -> Raw:
    """One value per row, as the schema means them; missing numbers are NaN, times NaT, texts empty."""
    if leaf.kind in (encodings.BYTE_ARRAY, encodings.FIXED) and not _is_decimal(leaf) and 15 not in leaf.logical:
        return _texts(values, mask, leaf)
    numbers = _numbers(values, leaf)
    if mask is None:
        return numbers
    filled = np.full(len(mask), np.datetime64("NaT", "us") if numbers.dtype.kind == "M" else np.nan)
    with np.errstate(invalid="ignore"):  # some NaN are signals
        filled[mask] = numbers
    return filled


def _texts(values: Array, mask: Array | None, leaf: Leaf) -> list[str]:
    known: dict[bytes, str] = {}
    texts = [known.get(raw) or known.setdefault(raw, _decoded(raw, leaf)) for raw in values.tolist()]
    if mask is None:
        return texts
    rows = iter(texts)
    return [next(rows) if there else "" for there in mask.tolist()]


def _decoded(raw: bytes, leaf: Leaf) -> str:
    return raw.hex() if leaf.kind == encodings.FIXED else raw.decode("utf-8", "replace")


def _numbers(values: Array, leaf: Leaf) -> Array:
    timestamp = leaf.logical.get(8)
    if leaf.kind == encodings.INT96:
        return _from_int96(values)
    if 15 in leaf.logical:
        return np.frombuffer(values.tobytes(), "<f2").astype(float)
    if _is_decimal(leaf):
        return _decimals(values, leaf)
    if timestamp is not None or leaf.converted in (MILLIS, MICROS):
        unit = {1: "ms", 2: "us", 3: "ns"}[next(iter(timestamp[2]))] if timestamp else "ms"
        unit = "us" if leaf.converted == MICROS else unit
        return values.astype(f"datetime64[{unit}]").astype("datetime64[us]")
    if 6 in leaf.logical or leaf.converted == DATE:
        return values.astype("datetime64[D]").astype("datetime64[us]")
    if leaf.converted in UNSIGNED or leaf.logical.get(10, {}).get(2) is False:
        wide = values.astype(values.dtype.str.replace("i", "u"))
        return wide.astype(np.int64) if wide.max(initial=0) < 1 << 63 else wide.astype(float)
    return values


def _is_decimal(leaf: Leaf) -> bool:
    return leaf.converted == DECIMAL or 5 in leaf.logical


def _decimals(values: Array, leaf: Leaf) -> Array:
    if values.dtype.kind in "VO":
        raws = (value if isinstance(value, bytes) else bytes(value) for value in values.tolist())
        values = np.array([float(int.from_bytes(raw, "big", signed=True)) for raw in raws])
    return values / 10.0**leaf.scale


def _from_int96(values: Array) -> Array:
    """Nanoseconds of the day, and the Julian day."""
    parts = np.frombuffer(values.tobytes(), np.dtype([("nanoseconds", "<i8"), ("day", "<i4")]))
    micros = (parts["day"].astype(np.int64) - JULIAN_1970) * 86_400_000_000 + parts["nanoseconds"] // 1000
    times: Array = micros.astype("datetime64[us]")
    return times


def _damaged(error: Exception) -> DataRefused:
    return DataRefused(f"the Parquet file cannot be read: {str(error) or type(error).__name__}", ADVICE)
