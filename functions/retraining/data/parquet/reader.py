"""Parquet files of flat tables, on numpy: https://parquet.apache.org/docs/file-format/

Arrow's own readers are too large for Lambda beside scikit-learn.
"""

import struct
import zlib
from collections.abc import Iterator, Sequence, Set
from typing import Any

import cramjam
import numpy as np

from functions.retraining.data.chunk import Chunk, Opened, Raw
from functions.retraining.data.parquet import encodings
from functions.retraining.data.parquet.pages import Allowance, Leaf, column
from functions.retraining.data.parquet.thrift import DEEPEST, Damaged, Reader
from functions.retraining.data.source import FEWEST_BYTES, Source, too_large
from lastmile.errors import DataRefused
from lastmile.tensors import Array

MAGIC = b"PAR1"
ADVICE = "Write the file again, as a flat table of numbers, texts and times; or upload CSV."
DECIMAL, DATE, MILLIS, MICROS = 5, 6, 9, 10
UNSIGNED = range(11, 15)
JULIAN_1970 = 2440588
FURTHEST = {"D": 10**8, "ms": 9 * 10**15}  # from 1970, of what microseconds can say
EXACT = 1 << 53  # beyond it, floats skip whole numbers
MOST_VALUES = 1 << 20  # of one chunk: a group may hold all rows of a file, and what is wrong with each is noted first
ERRORS = (
    Damaged,
    AttributeError,
    LookupError,
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
        leaves, groups = list(_leaves(meta[2])), meta[4]
        if limit is not None and sum(group[2] for group in groups) > limit:
            raise too_large(limit)
        rows = sum(max(0, group[3]) for group in groups)
    except ERRORS as error:
        raise _damaged(error) from error
    names = tuple(leaf.name for leaf in leaves)

    def chunks(wanted: Sequence[str]) -> Iterator[Chunk]:
        if limit is not None and FEWEST_BYTES * rows * len(wanted) > limit:
            raise too_large(limit)
        return _chunks(data, groups, leaves, set(wanted), Allowance(limit))

    return Opened("Parquet", names, chunks)


def _chunks(
    data: memoryview, groups: list[dict[int, Any]], leaves: list[Leaf], wanted: Set[str], allowance: Allowance
) -> Iterator[Chunk]:
    row, most = 1, max(1, MOST_VALUES // max(1, len(wanted)))
    for group in groups:
        try:
            columns = _columns(data, group, leaves, wanted, allowance)
        except ERRORS as error:
            raise _damaged(error) from error
        for start in range(0, group[3], most):
            end = min(start + most, group[3])
            yield Chunk(range(row + start, row + end), {name: raw[start:end] for name, raw in columns.items()})
        row += group[3]


def _columns(
    data: memoryview, group: dict[int, Any], leaves: list[Leaf], wanted: Set[str], allowance: Allowance
) -> dict[str, Raw]:
    """The wanted ones of one group, which has all of them in the order of the schema."""
    found: dict[str, Raw] = {}
    for leaf, chunk in zip(leaves, group[1], strict=True):
        if leaf.name in wanted:
            _check(leaf, chunk, group[3])
            found[leaf.name] = _meant(*column(data, chunk[3], leaf, allowance), leaf)
    return found


def _footer(data: memoryview) -> dict[int, Any]:
    size = int.from_bytes(data[-8:-4], "little")
    if data[-4:] != MAGIC or size + 12 > len(data):
        raise Damaged("its end is missing")
    return Reader(data[: len(data) - 8], len(data) - 8 - size).struct()


def _leaves(schema: list[dict[int, Any]]) -> Iterator[Leaf]:
    """In order; a column inside of another has a name with a dot, and that as well as repeated ones the kind -1."""
    elements = iter(schema[1:])

    def walk(parents: tuple[bytes, ...], is_flat: bool, count: int) -> Iterator[Leaf]:
        if len(parents) > DEEPEST:
            raise Damaged("it is nested too deeply")
        for _ in range(count):
            element = next(elements, None)
            if element is None:
                raise Damaged("its schema ends too early")
            path = (*parents, element[4])
            if element.get(5):
                yield from walk(path, False, element[5])
            else:
                yield _leaf(path, element, is_flat and element.get(3, 0) != 2)

    return walk((), True, schema[0][5])


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
    if not 0 <= rows == chunk[3][5]:
        raise Damaged(f"the column {leaf.name} has {chunk[3][5]} values in a group of {rows} rows")


def _meant(values: Array, mask: Array | None, leaf: Leaf) -> Raw:
    """One value per row, as the schema means them; missing numbers are NaN (None among long ones), times NaT, texts
    empty."""
    if leaf.kind in (encodings.BYTE_ARRAY, encodings.FIXED) and not _is_decimal(leaf) and 15 not in leaf.logical:
        return _among(_texts(values, leaf), mask, "")
    numbers = _numbers(values, leaf)
    if isinstance(numbers, list):
        return _among(numbers, mask, None)
    if mask is None:
        return numbers
    if numbers.dtype.kind == "i" and _are_long(numbers):
        return _among(numbers.tolist(), mask, None)
    filled = np.full(len(mask), np.datetime64("NaT", "us") if numbers.dtype.kind == "M" else np.nan)
    with np.errstate(invalid="ignore"):  # some NaN are signals
        filled[mask] = numbers
    return filled


def _among(values: list[Any], mask: Array | None, missing: Any) -> list[Any]:
    if mask is None:
        return values
    rows = iter(values)
    return [next(rows) if there else missing for there in mask.tolist()]


def _texts(values: Array, leaf: Leaf) -> list[str]:
    known: dict[bytes, str] = {}
    return [known.get(raw) or known.setdefault(raw, _decoded(raw, leaf)) for raw in values.tolist()]


def _decoded(raw: bytes, leaf: Leaf) -> str:
    return raw.hex() if leaf.kind == encodings.FIXED else raw.decode("utf-8", "replace")


def _numbers(values: Array, leaf: Leaf) -> Raw:
    timestamp = leaf.logical.get(8)
    if leaf.kind == encodings.INT96:
        return _from_int96(values)
    if 15 in leaf.logical:
        return np.frombuffer(values.tobytes(), "<f2").astype(float)
    if _is_decimal(leaf):
        return _decimals(values, leaf.scale)
    if timestamp is not None or leaf.converted in (MILLIS, MICROS):
        unit = {1: "ms", 2: "us", 3: "ns"}[next(iter(timestamp[2]))] if timestamp else "ms"
        return _times(values, "us" if leaf.converted == MICROS else unit)
    if 6 in leaf.logical or leaf.converted == DATE:
        return _times(values, "D")
    if leaf.converted in UNSIGNED or leaf.logical.get(10, {}).get(2) is False:
        wide = values.astype(values.dtype.str.replace("i", "u"))
        return wide.astype(np.int64) if wide.max(initial=0) < 1 << 63 else wide.tolist()
    return values


def _is_decimal(leaf: Leaf) -> bool:
    return leaf.converted == DECIMAL or 5 in leaf.logical


def _are_long(numbers: Array) -> bool:
    return bool(max(numbers.max(initial=0), -int(numbers.min(initial=0))) > EXACT)


def _decimals(values: Array, scale: int) -> Raw:
    """Whole ones stay so: they may be identifiers of many digits."""
    if scale < 0:
        raise Damaged(f"it has decimal numbers with {scale} digits after the point")
    if values.dtype.kind not in "VO":
        return values / 10.0**scale if scale else values
    raws = (value if isinstance(value, bytes) else bytes(value) for value in values.tolist())
    whole = [int.from_bytes(raw, "big", signed=True) for raw in raws]
    return np.array(list(map(float, whole))) / 10.0**scale if scale else whole


def _times(values: Array, unit: str) -> Array:
    """What is beyond the microseconds is no less beyond the calendar where they end."""
    most = FURTHEST.get(unit)
    inside = values if most is None else np.clip(values, -most, most)
    return inside.astype(f"datetime64[{unit}]").astype("datetime64[us]")


def _from_int96(values: Array) -> Array:
    """Nanoseconds of the day, and the Julian day."""
    parts = np.frombuffer(values.tobytes(), np.dtype([("nanoseconds", "<i8"), ("day", "<i4")]))
    days = _times(parts["day"].astype(np.int64) - JULIAN_1970, "D")
    times: Array = days + (parts["nanoseconds"] // 1000).astype("timedelta64[us]")
    return times


def _damaged(error: Exception) -> DataRefused:
    why = str(error) if isinstance(error, Damaged) else f"it is damaged ({type(error).__name__}: {error})"
    return DataRefused(f"the Parquet file cannot be read: {why}", ADVICE)
