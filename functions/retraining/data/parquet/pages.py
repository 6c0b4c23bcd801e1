"""One column of one row group: its pages, unpacked and decoded."""

import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import cramjam
import numpy as np

from functions.retraining.data.parquet import encodings
from functions.retraining.data.parquet.thrift import Damaged, Reader
from functions.retraining.data.source import too_large
from lastmile.tensors import Array

LARGEST_PAGE = 1 << 30
NONE, SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW = range(8)
INTO: dict[int, Any] = {
    SNAPPY: cramjam.snappy.decompress_raw_into,
    BROTLI: cramjam.brotli.decompress_into,
    ZSTD: cramjam.zstd.decompress_into,
    LZ4_RAW: cramjam.lz4.decompress_block_into,
}
DATA, INDEX, DICTIONARY, DATA_V2 = range(4)
OF_DICTIONARY = (2, 8)


@dataclass(frozen=True)
class Leaf:
    """A column of the schema: Parquet's kind of its values, and what they mean."""

    name: str
    kind: int
    length: int
    nullable: bool
    converted: int | None
    scale: int
    logical: dict[int, Any]


@dataclass
class Allowance:
    """How many bytes may come out of a file's pages, whatever it says of itself; raises DataRefused."""

    limit: int | None
    taken: int = 0

    def take(self, size: int) -> None:
        self.taken += size
        if self.limit is not None and self.taken > self.limit:
            raise too_large(self.limit)


def column(data: memoryview, meta: dict[int, Any], leaf: Leaf, allowance: Allowance) -> tuple[Array, Array | None]:
    """The values that are there, and the mask of the rows that have one (None: all)."""
    values: list[Array] = []
    masks: list[Array] = []
    dictionary: Array | None = None
    for page in _pages(data, meta, allowance):
        if page.kind == DICTIONARY:
            dictionary = encodings.plain(page.body, leaf.kind, page.count, leaf.length)
            continue
        mask = page.mask(leaf)
        masks.append(mask)
        values.append(_decoded(page, leaf, int(mask.sum()), dictionary, allowance))
        if len(values[-1]) != mask.sum():
            raise Damaged(f"a page of the column {leaf.name} has {len(values[-1])} values for {mask.sum()} rows")
    mask = np.concatenate(masks) if masks else np.zeros(0, bool)
    found = np.concatenate(values) if values else np.zeros(0)
    if len(mask) != meta[5]:
        raise Damaged(f"the column {leaf.name} has {len(mask)} values where {meta[5]} are promised")
    return found, None if mask.all() else mask


@dataclass
class _Page:
    """`levels` are the definition levels where they stand outside of the packed part (version 2)."""

    kind: int
    count: int
    encoding: int
    body: memoryview
    levels: memoryview | None = None

    def mask(self, leaf: Leaf) -> Array:
        """Which rows have a value; to be asked before the body is read, which begins with the levels in version 1."""
        if not leaf.nullable:
            return np.ones(self.count, bool)
        levels = self.levels
        if levels is None:
            reader = Reader(self.body)
            levels = reader.take(int.from_bytes(reader.take(4), "little"))
            self.body = self.body[reader.at :]
        return encodings.hybrid(levels, 1, self.count).astype(bool)


def _pages(data: memoryview, meta: dict[int, Any], allowance: Allowance) -> Iterator[_Page]:
    if not meta[5]:
        return
    start = min(offset for offset in (meta.get(11), meta[9]) if offset)
    reader, left = Reader(data, start), meta[5]
    while left > 0:
        head = reader.struct()
        body = reader.take(head[3])
        if not 0 <= head[2] <= LARGEST_PAGE:
            raise Damaged(f"a page says that it has {head[2]} bytes")
        allowance.take(head[2])
        if head[1] in (DATA, DATA_V2) and not 0 < head[5 if head[1] == DATA else 8][1] <= left:
            raise Damaged("a page has no values, or more than its column")
        match head[1]:
            case 0:
                about = head[5]
                yield _Page(DATA, about[1], about[2], _unpacked(body, meta[4], head[2]))
                left -= about[1]
            case 2:
                about = head[7]
                yield _Page(DICTIONARY, about[1], about[2], _unpacked(body, meta[4], head[2]))
            case 3:
                yield _second(head, body, meta[4])
                left -= head[8][1]


def _second(head: dict[int, Any], body: memoryview, codec: int) -> _Page:
    """A page of version 2: the levels are never packed."""
    about = head[8]
    levels, repetitions = about[5], about[6]
    before = levels + repetitions
    if not 0 <= repetitions <= before <= min(len(body), head[2]):
        raise Damaged("a page has more levels than bytes")
    packed = body[before:]
    if about.get(7, True):
        packed = _unpacked(packed, codec, head[2] - before)
    return _Page(DATA_V2, about[1], about[4], packed, body[repetitions:before])


def _decoded(page: _Page, leaf: Leaf, count: int, dictionary: Array | None, allowance: Allowance) -> Array:
    body = page.body
    if page.encoding in OF_DICTIONARY:
        if dictionary is None:
            raise Damaged(f"the dictionary of the column {leaf.name} is missing")
        codes = encodings.hybrid(body[1:], body[0], count) if count else np.zeros(0, np.int64)
        if count and codes.max() >= len(dictionary):
            raise Damaged(f"the dictionary of the column {leaf.name} is too short")
        return dictionary[codes]
    match page.encoding:
        case 0:  # PLAIN
            return encodings.plain(body, leaf.kind, count, leaf.length)
        case 3:  # RLE, only of booleans, after their length
            return encodings.hybrid(body[4:], 1, count).astype(bool)
        case 5:  # DELTA_BINARY_PACKED
            numbers = encodings.deltas(Reader(body), count)
            return numbers.astype("<i4") if leaf.kind == encodings.INT32 else numbers
        case 6:  # DELTA_LENGTH_BYTE_ARRAY
            return encodings.counted_by_deltas(Reader(body), count)
        case 7:  # DELTA_BYTE_ARRAY
            return _as_kind(encodings.front_coded(Reader(body), count, allowance.take), leaf)
        case 9:  # BYTE_STREAM_SPLIT
            return encodings.split_streams(body, leaf.kind, count, leaf.length)
        case other:
            raise Damaged(f"the column {leaf.name} has the unknown encoding {other}")


def _as_kind(values: Array, leaf: Leaf) -> Array:
    if leaf.kind != encodings.FIXED:
        return values
    return np.frombuffer(b"".join(values.tolist()), np.dtype((np.void, leaf.length)))


def _unpacked(body: memoryview, codec: int, size: int) -> memoryview:
    """So many bytes and no more, whatever has been packed."""
    if codec == NONE or not size:
        return body
    if codec == GZIP:
        return _whole(zlib.decompressobj(47).decompress(body, size), size)
    if codec == LZ4:
        return _whole(_hadoop_lz4(body, size), size)
    if codec not in INTO:
        raise Damaged(f"it is packed by the unknown codec {codec}")
    return _whole(_into(INTO[codec], body, size), size)


def _into(unpack: Callable[[memoryview, Array], int], body: memoryview, size: int) -> memoryview:
    found = np.empty(size, np.uint8)
    return found.data[: unpack(body, found)]


def _whole(found: bytes | memoryview, size: int) -> memoryview:
    if len(found) != size:
        raise Damaged("a page has another size than it says")
    return memoryview(found)


def _hadoop_lz4(body: memoryview, size: int) -> bytes | memoryview:
    """Blocks, each after its two sizes, as Hadoop writes them; or else one bare block."""
    parts: list[memoryview] = []
    at, left = 0, size
    try:
        while at < len(body):
            whole, packed = (int.from_bytes(body[at + i : at + i + 4], "big") for i in (0, 4))
            if whole > left or at + 8 + packed > len(body):
                return _into(INTO[LZ4_RAW], body, size)
            parts.append(_into(INTO[LZ4_RAW], body[at + 8 : at + 8 + packed], whole))
            at, left = at + 8 + packed, left - whole
    except cramjam.DecompressionError:
        return _into(INTO[LZ4_RAW], body, size)
    return b"".join(parts)
