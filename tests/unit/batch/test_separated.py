"""Every record of a block is a row, whatever is wrong with some of them, and each problem names its own line."""

import csv
import io
import random

import pyarrow as pa
import pytest

from functions.batch.cutting import blocks
from functions.batch.rows import Rows
from functions.batch.separated import Separated, header
from lastmile.errors import InvalidInput
from lastmile.tensors import TensorSpec

INPUTS = (TensorSpec("text", "BYTES", (-1, 1)), TensorSpec("count", "INT64", (-1, 1)))
RETURNED = "holds a carriage return outside quotation marks"
HEADER = b"text,count\n"


def read(data: bytes, size: int = 1 << 20) -> list[Rows]:
    found = header(data, "in.csv", ("text", "count"))
    table = Separated(found, INPUTS)
    return [table.rows(block) for block in blocks(io.BytesIO(data[found.start :]), ",", start=found.start, size=size)]


def texts(rows: Rows) -> list[str]:
    return list(rows.feeds["text"].reshape(-1).tolist())


def test_a_carriage_return_in_a_cell_makes_its_own_record_a_bad_row() -> None:
    (rows,) = read(HEADER + b'one,1\nfu\rel,2\n"a\rb\r\nc",3\nfour,many\n')
    assert texts(rows) == ["one", "a\rb\r\nc"]
    assert rows.problems == {1: RETURNED, 3: "'count' is 'many', a whole number (INT64) is wanted"}
    assert rows.lines == {1: 3, 3: 6}


@pytest.mark.parametrize(
    "record",
    [b"a,1\rb,2\n", b'a\r"b\nc",1\n', b"a\rb\n", b'"a"\rb,1\n', b"1,2,3\r4\n", b"M\xfcller\r,1\n", b"a\r\rb,1\r\n"],
)
def test_whatever_else_is_in_that_record_the_others_are_read(record: bytes) -> None:
    (rows,) = read(HEADER + b"one,1\n" + record + b"three,3\n")
    assert texts(rows) == ["one", "three"]
    assert rows.problems == {1: RETURNED}
    assert rows.lines == {1: 3}


@pytest.mark.parametrize("end", [b"\r\n", b"\r\r\n", b"\n\r"])
def test_carriage_returns_between_records_do_no_harm(end: bytes) -> None:
    found = read(HEADER + end.join([b"one,1", b"two,2", b"", b"three,3", b""]))
    assert [text for rows in found for text in texts(rows)] == ["one", "two", "three"]
    assert not any(rows.problems for rows in found)


def test_a_block_of_torn_records_alone_has_no_good_row() -> None:
    (rows,) = read(HEADER + b"a\rb,1\n1,2,3\n")
    assert (rows.total, texts(rows)) == (2, [])
    assert rows.problems == {0: RETURNED, 1: "has 3 cells, the header has 2"}


def test_a_torn_record_need_not_be_utf_8() -> None:
    (rows,) = read(HEADER + b"one,1\nM\xfcller\nthree,3\n")
    assert texts(rows) == ["one", "three"]
    assert rows.problems == {1: "has 1 cells, the header has 2"}


@pytest.mark.parametrize("last", [b"", b"c,many\n"])
def test_an_input_that_is_kept_stays_as_it_stood(last: bytes) -> None:
    data = HEADER + b"a,007\nb, 12\n" + last
    found = header(data, "in.csv", ("text", "count"))
    table = Separated(found, INPUTS, {"count": pa.string()})
    (rows,) = map(table.rows, blocks(io.BytesIO(data[found.start :]), ",", start=found.start))
    assert rows.feeds["count"].tolist() == [[7], [12]]
    assert rows.kept["count"].to_pylist()[:2] == ["007", " 12"]


@pytest.mark.parametrize("cell", ["", "x"])
def test_a_value_that_is_missing_names_its_line_too(cell: str) -> None:
    (rows,) = read(HEADER + b'"two\nlines",1\ntwo,' + cell.encode() + b"\n")
    assert list(rows.problems) == [1]
    assert rows.lines == {1: 4}


def test_random_blocks_lose_no_record() -> None:
    rng = random.Random(0)
    cells = ("1", "x", '"a\nb"', '""', '"q""q"', "fu\rel", '"p\rq"', "", 'm"m', "\xfc")
    for _ in range(60):
        lines = [",".join(rng.choices(cells, k=rng.choice([1, 2, 2, 2, 3]))) for _ in range(rng.randrange(1, 7))]
        lines = [line for line in lines if line]
        data = HEADER + rng.choice(["\n", "\r\n"]).join([*lines, ""]).encode("latin-1")
        for size in (1, 1 << 20):
            found = read(data, size)
            assert sum(rows.total for rows in found) == len(lines), data
            torn = sum("cells" in reason or reason == RETURNED for rows in found for reason in rows.problems.values())
            assert torn == sum(not is_whole(line) for line in lines), data


def is_whole(line: str) -> bool:
    try:
        return len(next(csv.reader([line]))) == 2
    except csv.Error:
        return False


@pytest.mark.parametrize("tail", [b"", b'"a\nb",1\r', b"one,1\r" * 200_000])
def test_a_file_of_carriage_returns_alone_is_called_that(tail: bytes) -> None:
    with pytest.raises(InvalidInput, match=r"in\.csv: the first line ends with a carriage return alone"):
        read(b"text,count\rone,1\r" + tail)


def test_a_header_without_rows_may_end_with_a_carriage_return() -> None:
    assert read(b"text,count\r") == []
    assert [texts(rows) for rows in read(b'text,count,"a\rb"\nx,1,2\n')] == [["x"]]


def test_a_column_that_is_missing_is_the_models_or_to_be_kept() -> None:
    with pytest.raises(InvalidInput, match=r"has no column count; its columns must be named as the model's"):
        header(b"text,customer\n", "in.csv", ("text", "count"), ("nosuch",))
    with pytest.raises(InvalidInput, match=r"in.csv has no column nosuch that could be kept"):
        header(b"text,count\n", "in.csv", ("text", "count"), ("count", "nosuch"))
    with pytest.raises(InvalidInput, match=r"has the column 'note' more than once"):
        header(b"text,count,note,note\n", "in.csv", ("text", "count"), ("note",))
