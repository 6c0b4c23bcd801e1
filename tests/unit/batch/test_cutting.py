import csv
import io
import random

import pytest

from functions.batch import cutting
from functions.batch.cutting import Block, blocks, count, ends
from lastmile.errors import InvalidInput

TEXTS = {
    "plain": "a,b\n1,2\n3,4\n",
    "no newline at the end": "a,b\n1,2\n3,4",
    "blank lines": "a,b\n\n1,2\n\n\n3,4\n\n",
    "carriage returns": "a,b\r\n1,2\r\n\r\n3,4\r\n",
    "quoted newlines": 'a,b\n"x\ny",2\n"p\r\n\r\nq",4\n5,6\n',
    "doubled quotes": 'a,b\n"say ""hi""\n",2\n"""",3\n"",4\n',
    "quotes that are text": 'a,b\n5",2\n3 "x" 4,5\n""6,7\nx"\ny,8\n',
    "a field that begins with text": 'a,b\n1,x"y\n2,"a,\nb"\n',
}


def parts(text: str, size: int, most_rows: int = 1000) -> list[Block]:
    start = text.find("\n") + 1 or len(text)
    return list(blocks(io.BytesIO(text.encode()[start:]), ",", start=start, size=size, most_rows=most_rows))


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_blocks_of_any_size_hold_the_records_that_a_csv_reader_finds(text: str) -> None:
    wanted = [record for record in csv.reader(io.StringIO(text, newline="")) if record][1:]
    for size in range(1, len(text) + 2):
        found = parts(text, size)
        records = [record for block in found for record in csv.reader(io.StringIO(block.data.decode(), newline=""))]
        assert [record for record in records if record] == wanted
        assert [block.row for block in found] == [sum(b.rows for b in found[:n]) for n in range(len(found))]
        assert sum(block.rows for block in found) == len(wanted)
        for block in found:
            assert text.encode()[block.start :].startswith(block.data.removesuffix(b"\n"))
            assert block.line == 1 + text.encode()[: block.start].count(b"\n")


def test_random_texts_are_cut_as_a_csv_reader_reads_them() -> None:
    rng = random.Random(0)
    for _ in range(300):
        cells = ("1", "x", '"a\nb"', '""', '"q""q"', '"\n"', "", 'm"m')
        lines = [",".join(rng.choices(cells, k=2)) for _ in range(rng.randrange(6))]
        text = "\n".join(["a,b", *lines]) + rng.choice(["", "\n"])
        wanted = [record for record in csv.reader(io.StringIO(text, newline="")) if record][1:]
        for size in (1, 7, 64):
            assert sum(block.rows for block in parts(text, size)) == len(wanted), text


def test_a_block_holds_no_more_rows_than_it_may() -> None:
    found = parts("a\n" + "1\n" * 10, 1000, most_rows=4)
    assert [(block.row, block.rows) for block in found] == [(0, 4), (4, 4), (8, 2)]


@pytest.mark.parametrize("size", [1, 100])
def test_a_quotation_mark_that_is_never_closed_is_named_by_its_line(size: int) -> None:
    with pytest.raises(InvalidInput, match="line 3: the record that begins here opens a quotation mark"):
        parts('a,b\n1,2\n3,"4\n5,6\n', size)


@pytest.mark.parametrize(("cell", "told"), [("x", "is longer than 1 MB"), ('"x",', "is longer than 1 MB, or opens a")])
def test_a_record_that_is_too_long_is_called_that(monkeypatch: pytest.MonkeyPatch, cell: str, told: str) -> None:
    monkeypatch.setattr(cutting, "LONGEST_RECORD", 1 << 20)
    with pytest.raises(InvalidInput, match=f"line 3: the record that begins here {told}") as refused:
        parts("a,b\n1,2\n" + cell * (2 << 20) + "\n", 100_000)
    assert ("quotation" in str(refused.value)) == (cell != "x")


@pytest.mark.parametrize("blank", ["", "\r", "\r\r"])
def test_a_line_of_carriage_returns_is_blank(blank: str) -> None:
    data = f"{blank}\n1,2\n{blank}\n3,4\n{blank}\n".encode()
    assert count(data, ",") == 2
    assert sum(block.rows for block in blocks(io.BytesIO(data), ",", start=0)) == 2


def test_nothing_is_no_block() -> None:
    assert parts("a,b\n", 10) == []
    assert ends(b"", ",").tolist() == []
    assert count(b"", ",") == 0
