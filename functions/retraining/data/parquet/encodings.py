"""The encodings of Parquet's values, as numpy arrays: https://parquet.apache.org/docs/file-format/data-pages/encodings/"""

from collections.abc import Callable
from typing import Any

import numpy as np

from functions.retraining.data.parquet.thrift import Damaged, Reader
from lastmile.tensors import Array

BOOLEAN, INT32, INT64, INT96, FLOAT, DOUBLE, BYTE_ARRAY, FIXED = range(8)
DTYPES = {INT32: "<i4", INT64: "<i8", FLOAT: "<f4", DOUBLE: "<f8"}
AT_ONCE = 1 << 16  # numbers that are unpacked together: each of their bits is eight bytes meanwhile


def plain(data: memoryview, kind: int, count: int, length: int) -> Array:
    """Numbers as they are, bytes as objects; `length` is that of FIXED ones."""
    if kind == BOOLEAN:
        return np.unpackbits(_whole(data, -(-count // 8)), bitorder="little")[:count].astype(bool)
    if kind == BYTE_ARRAY:
        return _counted(data, count)
    if kind in DTYPES:
        return np.frombuffer(_bytes(data, count * np.dtype(DTYPES[kind]).itemsize), DTYPES[kind])
    size = 12 if kind == INT96 else length
    return np.frombuffer(_bytes(data, count * size), np.dtype((np.void, size)))


def hybrid(data: memoryview, width: int, count: int) -> Array:
    """Runs of one number, and numbers of `width` bits packed together."""
    found = np.zeros(count, np.int64)
    if width == 0:
        return found
    if width > 32:
        raise Damaged(f"numbers of {width} bits are impossible here")
    reader, at, size = Reader(data), 0, -(-width // 8)
    while at < count:
        head = reader.varint()
        if head & 1:
            many = min((head >> 1) * 8, len(data) * 8)
            packed = reader.take(min((head >> 1) * width, len(data) - reader.at))  # writers may cut the last run short
            values = unpacked(packed, width)[: min(many, count - at)]
            found[at : at + len(values)] = values
            if not len(values):
                raise Damaged("a run is empty")
            at += len(values)
        else:
            run = head >> 1
            if not run:
                raise Damaged("a run is empty")
            found[at : at + run] = int.from_bytes(reader.take(size), "little")
            at += run
    return found


def unpacked(data: memoryview, width: int) -> Array:
    """All numbers of `width` bits, the lowest bit first."""
    size = AT_ONCE * width // 8
    parts = [_unpacked(data[start : start + size], width) for start in range(0, len(data), size)]
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _unpacked(data: memoryview, width: int) -> Array:
    bits = np.unpackbits(np.frombuffer(data, np.uint8), bitorder="little")
    rows = bits[: len(bits) // width * width].reshape(-1, width)
    if width <= 32:
        return rows @ (np.int64(1) << np.arange(width))
    powers = np.uint64(1) << np.arange(width, dtype=np.uint64)
    return (rows * powers).sum(axis=1, dtype=np.uint64).view(np.int64)


def deltas(reader: Reader, most: int) -> Array:
    """DELTA_BINARY_PACKED: the first number, and what each differs from the one before; wraps at 64 bits."""
    block, parts, count, first = reader.varint(), reader.varint(), reader.varint(), _signed(reader.varint())
    if count > most or not parts or block % parts or block // parts % 32:
        raise Damaged("its differences are badly packed")
    size, found = block // parts, np.zeros(count, np.int64)
    if count:
        found[0] = first
    at = 1
    while at < count:
        low = _signed(reader.varint())
        for width in bytes(reader.take(parts)):
            if at >= count:
                break
            if width > 64:
                raise Damaged(f"numbers of {width} bits are impossible")
            many = min(size, count - at)
            here = unpacked(reader.take(size * width // 8), width)[:many] if width else np.zeros(many, np.int64)
            found[at : at + len(here)] = here + np.int64(low)
            at += len(here)
    with np.errstate(over="ignore"):
        return np.cumsum(found, dtype=np.int64)


def counted_by_deltas(reader: Reader, count: int) -> Array:
    """DELTA_LENGTH_BYTE_ARRAY: all lengths, then all bytes."""
    lengths = deltas(reader, count)
    found = np.empty(len(lengths), object)
    found[:] = [bytes(reader.take(length)) for length in lengths.tolist()]
    return found


def front_coded(reader: Reader, count: int, take: Callable[[int], None]) -> Array:
    """DELTA_BYTE_ARRAY: how much of the text before is kept, and what follows; `take` is told how many bytes that is
    before they are, since each text may be all of those before."""
    kept = deltas(reader, count).tolist()
    rest = counted_by_deltas(reader, count).tolist()
    take(sum(kept))
    found = np.empty(len(rest), object)
    before = b""
    for index, (length, end) in enumerate(zip(kept, rest, strict=True)):
        if not 0 <= length <= len(before):
            raise Damaged("a text keeps more of the one before than there is")
        before = found[index] = before[:length] + end
    return found


def split_streams(data: memoryview, kind: int, count: int, length: int) -> Array:
    """BYTE_STREAM_SPLIT: the first bytes of all values, then the second ones, and so on."""
    dtype: Any = DTYPES.get(kind, np.dtype((np.void, length)))
    size = np.dtype(dtype).itemsize
    streams = np.frombuffer(_bytes(data, count * size), np.uint8).reshape(size, count)
    values: Array = np.ascontiguousarray(streams.T).view(dtype).ravel()
    return values


def _counted(data: memoryview, count: int) -> Array:
    """Bytes, each after its length of four bytes."""
    if 4 * count > len(data):
        raise Damaged("a text ends too early")
    found = np.empty(count, object)
    raw, at = bytes(data), 0
    for index in range(count):
        end = at + 4 + int.from_bytes(raw[at : at + 4], "little")
        found[index] = raw[at + 4 : end]
        at = end
    if at > len(raw):
        raise Damaged("a text ends too early")
    return found


def _whole(data: memoryview, size: int) -> Array:
    return np.frombuffer(_bytes(data, size), np.uint8)


def _bytes(data: memoryview, size: int) -> memoryview:
    if len(data) < size:
        raise Damaged("a page ends too early")
    return data[:size]


def _signed(value: int) -> int:
    number = (value >> 1) ^ -(value & 1)
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)
