"""Files that no writer writes: they promise more than they hold, or unpack to more than they say."""

import io
from typing import Any

import cramjam
import numpy as np
import pytest

from functions.retraining.data.parquet import reader
from functions.retraining.data.source import Source
from lastmile.errors import DataRefused


def number(value: int) -> bytes:
    """A varint of Thrift."""
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + number(value >> 7)


def thrift(value: Any) -> tuple[int, bytes]:
    """The kind and bytes of a value in the compact protocol: numbers, bytes, lists, and structs by field number."""
    if isinstance(value, int):
        return 6, number(value << 1)
    if isinstance(value, bytes):
        return 8, number(len(value)) + value
    if isinstance(value, list):
        kinds, items = zip(*map(thrift, value), strict=True)
        return 9, bytes([0xF0 | kinds[0]]) + number(len(items)) + b"".join(items)
    fields = ((key, *thrift(field)) for key, field in value.items())
    return 12, b"".join(bytes([kind]) + number(key << 1) + data for key, kind, data in fields) + b"\0"


def ended(footer: bytes) -> bytes:
    return footer + len(footer).to_bytes(4, "little") + b"PAR1"


def lying(
    *pages: tuple[dict[int, Any], bytes], rows: int, kind: int = 6, codec: int = 0, optional: bool = False
) -> bytes:
    """A file with one column x, whose pages (heads without their packed size, and bodies) are what they like."""
    body = b"".join(thrift(head | {3: len(packed)})[1] + packed for head, packed in pages)
    schema = [{4: b"schema", 5: 1}, {1: kind, 3: int(optional), 4: b"x"}]
    meta = {1: kind, 2: [0], 3: [b"x"], 4: codec, 5: rows, 9: 4}
    group = {1: [{2: 4, 3: meta}], 2: len(body), 3: rows}
    return b"PAR1" + body + ended(thrift({1: 1, 2: schema, 3: rows, 4: [group]})[1])


def data_page(count: int, encoding: int, body: bytes, size: int | None = None) -> tuple[dict[int, Any], bytes]:
    about = {1: count, 2: encoding, 3: 3, 4: 3}
    return {1: 0, 2: len(body) if size is None else size, 5: about}, body


def test_a_file_made_by_hand_is_read() -> None:
    data = lying(data_page(2, 0, b"\1\0\0\0a\2\0\0\0bc"), rows=2)
    (chunk,) = reader.opened(Source(io.BytesIO(data))).chunks(["x"])
    assert chunk.columns == {"x": ["a", "bc"]}


GROWING = 20_000  # texts, each of which is the one before and a letter more
GREW = number(128) + number(4) + number(GROWING)
KEPT = GREW + number(0) + (number(2) + bytes(4)) * (GROWING // 128 + 1)
ADDED = GREW + number(2) + (number(0) + bytes(4)) * (GROWING // 128 + 1)
ZEROS = bytes(cramjam.zstd.compress(bytes(1 << 20)))

LIES = {
    "it is nested too deeply": b"PAR1" + ended(b"\x19" * 5000),
    "IndexError": b"PAR1" + ended(b"\x29\x0c\x29\x0c\0"),
    "a text ends too early": lying(({1: 2, 2: 4, 7: {1: 1 << 40, 2: 0}}, bytes(4)), rows=1),
    "failed to write whole buffer": lying(data_page(1, 0, ZEROS, size=100), rows=1, codec=6),
    "has 2 values for 3 rows": lying(
        data_page(
            3, 6, b"\2\0\0\0\6\1" + number(128) + number(4) + number(2) + number(2) + number(0) + bytes(4) + b"ab"
        ),
        rows=3,
        optional=True,
    ),
    "more than 1 million bytes": lying(data_page(GROWING, 7, KEPT + ADDED + b"a" * GROWING), rows=GROWING),
    "more than 1 million bytes, the most": lying(data_page(1 << 40, 3, bytes(5)), rows=1 << 40, kind=0),
    "a text keeps more of the one before than there is": lying(
        data_page(
            1, 7, number(128) + number(4) + number(1) + number(10) + number(128) + number(4) + number(1) + number(0)
        ),
        rows=1,
    ),
}


@pytest.mark.parametrize(("sentence", "data"), LIES.items(), ids=LIES)
def test_a_small_file_that_promises_much_is_refused_before_it_takes_memory(sentence: str, data: bytes) -> None:
    with pytest.raises(DataRefused, match=sentence):
        opened = reader.opened(Source(io.BytesIO(data)), limit=1_000_000)
        list(opened.chunks(opened.names))


def test_blocks_as_hadoop_packs_them_and_a_bare_one_are_read() -> None:
    numbers = bytes(range(160))
    packed = [bytes(cramjam.lz4.compress_block(half, store_size=False)) for half in (numbers[:80], numbers[80:])]
    blocks = b"".join((80).to_bytes(4, "big") + len(one).to_bytes(4, "big") + one for one in packed)
    bare = bytes(cramjam.lz4.compress_block(numbers, store_size=False))
    for body in (blocks, bare):
        data = lying(data_page(20, 0, body, size=160), rows=20, kind=2, codec=5)
        (chunk,) = reader.opened(Source(io.BytesIO(data))).chunks(["x"])
        (found,) = chunk.columns.values()
        assert isinstance(found, np.ndarray)
        assert found.tobytes() == numbers
