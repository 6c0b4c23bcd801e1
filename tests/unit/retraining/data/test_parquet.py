"""The reader against Arrow's writer, in every way that it can be asked to write."""

import io
import random
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pytest
from arro3.core import Array, DataType, Table, list_array
from arro3.io import write_parquet
from hypothesis import given
from hypothesis import strategies as st

from functions.retraining.data.parquet import reader
from functions.retraining.data.parquet.encodings import hybrid, unpacked
from functions.retraining.data.parquet.thrift import Damaged
from functions.retraining.data.source import Source
from lastmile.errors import DataRefused

SOME = np.random.default_rng(3)
START = 1_709_164_740_000_000  # 2024-02-28 23:59, in microseconds


def nullable(values: list[Any], kind: DataType) -> Array:
    return Array([None if SOME.random() < 0.2 else value for value in values], type=kind)


def columns(rows: int = 3000) -> dict[str, Any]:
    numbers = SOME.normal(size=rows)
    whole = SOME.integers(-(2**62), 2**62, rows)
    micros = START + np.arange(rows) * 1_000_005
    days = [None if SOME.random() < 0.2 else day for day in range(rows)]
    return {
        "double": Array(numbers),
        "float": nullable(numbers.astype(np.float32).tolist(), DataType.float32()),
        "long": Array(whole),
        "int": nullable((whole % 1000).tolist(), DataType.int32()),
        "byte": Array((whole % 100).astype(np.int8)),
        "unsigned": Array((whole % (1 << 32)).astype(np.uint32)),
        "bool": nullable((whole % 2 == 0).tolist(), DataType.bool()),
        "word": Array([("ä", "bb", "ccc")[number % 3] for number in whole.tolist()], type=DataType.utf8()),
        "text": nullable([f"text {number}" for number in range(rows)], DataType.utf8()),
        "time": Array(micros).cast(DataType.timestamp("us", tz="UTC")),
        "date": Array(days, type=DataType.int32()).cast(DataType.date32()),
        "nothing": Array([None] * rows, type=DataType.float64()),
    }


def written(table: Mapping[str, Any], **options: Any) -> bytes:
    file = io.BytesIO()
    write_parquet(Table.from_pydict(dict(table)), file, **options)
    return file.getvalue()


def read(data: bytes) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    opened = reader.opened(Source(io.BytesIO(data)))
    for chunk in opened.chunks(opened.names):
        for name, values in chunk.columns.items():
            found.setdefault(name, []).extend(values if isinstance(values, list) else values.tolist())
    return found


def plain(value: Any) -> Any:
    """What a value of Arrow is for us."""
    if value is None:
        return None
    if isinstance(value, datetime):
        return value.replace(tzinfo=None)
    return datetime(value.year, value.month, value.day) if hasattr(value, "year") else value


def ours(value: Any) -> Any:
    return None if value is None or value == "" or value != value else value


def assert_same(table: Mapping[str, Any], data: bytes) -> None:
    found = read(data)
    assert found.keys() == table.keys()
    for name, column in table.items():
        assert list(map(ours, found[name])) == [plain(scalar.as_py()) for scalar in column], name


WAYS = [
    *({"compression": codec} for codec in ("uncompressed", "snappy", "gzip(6)", "zstd(1)", "lz4_raw", "brotli(1)")),
    *({"writer_version": version, "compression": "snappy"} for version in ("parquet_1_0", "parquet_2_0")),
    {"dictionary_enabled": False},
    {"dictionary_enabled": False, "writer_version": "parquet_2_0"},
    {"max_row_group_size": 700},
    {"data_page_row_count_limit": 100, "write_batch_size": 50},
    {
        "dictionary_enabled": False,
        "writer_version": "parquet_2_0",
        "column_encoding": {
            "double": "byte_stream_split",
            "float": "byte_stream_split",
            "long": "delta_binary_packed",
            "int": "delta_binary_packed",
            "word": "delta_byte_array",
            "text": "delta_length_byte_array",
            "bool": "rle",
            "time": "delta_binary_packed",
        },
    },
]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_what_arrow_writes_is_read(way: dict[str, Any]) -> None:
    table = columns()
    assert_same(table, written(table, **way))


@given(st.lists(st.none() | st.text(), max_size=50), st.booleans())
def test_any_texts_come_back(texts: list[str | None], dictionary: bool) -> None:
    table = {"text": Array(texts, type=DataType.utf8())}
    found = read(written(table, dictionary_enabled=dictionary))
    assert found.get("text", []) == [text or "" for text in texts]


@given(st.lists(st.integers(-(2**63), 2**63 - 1), max_size=200))
def test_any_whole_numbers_come_back_from_their_differences(numbers: list[int]) -> None:
    table = {"n": Array(np.array(numbers, np.int64))}
    way: dict[str, Any] = {"dictionary_enabled": False, "encoding": "delta_binary_packed"}
    assert read(written(table, **way)).get("n", []) == numbers


def test_rows_are_numbered_over_all_groups() -> None:
    data = written({"x": Array(np.arange(10.0))}, max_row_group_size=4)
    chunks = reader.opened(Source(io.BytesIO(data))).chunks(["x"])
    assert [list(chunk.lines) for chunk in chunks] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]


def test_columns_that_nobody_wants_are_not_decoded() -> None:
    data = written({"x": Array(np.arange(3.0)), "y": Array(np.arange(3.0))})
    (chunk,) = reader.opened(Source(io.BytesIO(data))).chunks(["y"])
    assert list(chunk.columns) == ["y"]


def test_a_nested_column_is_named_when_it_is_wanted() -> None:
    lists = list_array(Array(np.array([0, 2, 3], np.int32)), Array(np.array([1, 2, 3])))
    data = written({"flat": Array(np.arange(2.0)), "lists": lists})
    opened = reader.opened(Source(io.BytesIO(data)))
    (chunk,) = opened.chunks(["flat"])
    assert len(chunk.columns["flat"]) == 2
    (nested,) = (name for name in opened.names if name.startswith("lists"))
    with pytest.raises(DataRefused, match=f"the column {nested} is nested"):
        list(opened.chunks([nested]))


def test_a_file_that_unpacks_to_more_than_the_limit_is_refused_unread() -> None:
    data = written({"x": Array(np.zeros(100_000)), "y": Array(np.arange(100_000.0))}, compression="zstd(1)")
    with pytest.raises(DataRefused, match="more than 0 million bytes"):
        reader.opened(Source(io.BytesIO(data)), limit=100_000)


@pytest.mark.parametrize("compression", ["snappy", "zstd(1)", "lz4_raw", "gzip(6)", "brotli(1)", "uncompressed"])
def test_a_damaged_file_is_read_or_refused_and_nothing_else(compression: str) -> None:
    data = written(columns(300), compression=compression)
    chance = random.Random(5)
    footer = len(data) - 8 - int.from_bytes(data[-8:-4], "little")
    for attempt in range(30):
        damaged = bytearray(data)
        for _ in range(chance.choice([1, 5])):
            damaged[chance.randrange(footer if attempt % 2 else 0, len(data))] = chance.randrange(256)
        try:
            read(bytes(damaged))
        except DataRefused as refusal:
            assert str(refusal).startswith("the Parquet file cannot be read")
    for end in (0, 4, 12, len(data) // 2, len(data) - 1):
        with pytest.raises(DataRefused):
            read(data[:end])


def test_runs_and_packed_numbers_of_the_specification() -> None:
    packed = memoryview(bytes([0b10001000, 0b11000110, 0b11111010]))  # 0 to 7 in three bits each, as documented there
    assert unpacked(packed, 3).tolist() == list(range(8))
    assert hybrid(memoryview(bytes([3, *packed])), 3, 8).tolist() == list(range(8))
    assert hybrid(memoryview(bytes([8, 5])), 3, 4).tolist() == [5, 5, 5, 5]
    assert hybrid(memoryview(b""), 0, 3).tolist() == [0, 0, 0]
    with pytest.raises(Damaged):
        hybrid(memoryview(bytes([0])), 3, 4)


def test_long_whole_numbers_keep_their_last_digits_where_one_is_missing() -> None:
    long = (1 << 62) + 1
    assert read(written({"id": Array([long, None], type=DataType.int64())})) == {"id": [long, None]}
    wide = Array(np.array([(1 << 64) - 1, 1], np.uint64))
    assert read(written({"id": wide})) == {"id": [(1 << 64) - 1, 1]}


def test_a_column_that_is_there_twice_is_named_twice() -> None:
    table = Table.from_arrays([Array(np.arange(2)), Array(np.arange(2))], names=["x", "x"])
    file = io.BytesIO()
    write_parquet(table, file)
    assert reader.opened(Source(io.BytesIO(file.getvalue()))).names == ("x", "x")


def test_days_that_no_calendar_has_do_not_keep_the_others_from_being_read() -> None:
    days = Array([2**31 - 1, 0], type=DataType.int32()).cast(DataType.date32())
    forever, first = read(written({"day": days}))["day"]
    assert first == datetime(1970, 1, 1)
    assert not hasattr(forever, "year")  # beyond 9999 there is none


def test_a_group_of_many_rows_comes_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reader, "MOST_VALUES", 8)
    data = written({"x": Array(np.arange(10)), "y": Array(np.arange(10))})
    chunks = list(reader.opened(Source(io.BytesIO(data))).chunks(["x", "y"]))
    assert [list(chunk.lines) for chunk in chunks] == [[1, 2, 3, 4], [5, 6, 7, 8], [9, 10]]
    assert [chunk.columns["y"][0] for chunk in chunks] == [0, 4, 8]
