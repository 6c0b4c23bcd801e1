import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.retraining.data import separated, source
from functions.retraining.data.chunk import Torn
from functions.retraining.data.dialect import Dialect, decimal, sniff
from functions.retraining.data.source import Source
from lastmile.errors import DataRefused

WANTED = ("a", "b", "c")


def read(data: bytes) -> tuple[dict[str, list[str]], list[int], list[Torn]]:
    opened = separated.opened(Source(io.BytesIO(data)), WANTED)
    columns: dict[str, list[str]] = {name: [] for name in WANTED}
    lines: list[int] = []
    torn: list[Torn] = []
    for chunk in opened.chunks(WANTED):
        lines += chunk.lines
        torn += chunk.torn
        for name, values in chunk.columns.items():
            columns[name] += values
    return columns, lines, torn


def written(rows: list[list[str]], **options: str) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n", **options)  # type: ignore[arg-type]
    writer.writerow(WANTED)
    writer.writerows(rows)
    return file.getvalue().encode()


TEXT = st.text(st.characters(exclude_characters="\r\x00", exclude_categories=["Cs"]), max_size=6)
ROW = st.lists(TEXT, min_size=3, max_size=3)


@pytest.mark.parametrize("block", [source.BLOCK, 16])
@given(rows=st.lists(ROW, max_size=20), delimiter=st.sampled_from(",;\t|"))
def test_what_pythons_writer_writes_is_read(block: int, rows: list[list[str]], delimiter: str) -> None:
    data = written(rows, delimiter=delimiter)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(source, "BLOCK", block)
        columns, lines, torn = read(data)
    assert [list(row) for row in zip(*columns.values(), strict=True)] == rows
    assert len(lines) == len(rows)
    assert torn == []


DIALECTS = [
    ("a,b,c\n1,2,3\n", Dialect(",")),
    ("a;b;c\n1,5;2;3\n", Dialect(";")),
    ("a\tb\tc\n1\t2\t3\n", Dialect("\t")),
    ("a|b|c\n1|2|3\n", Dialect("|")),
    ("a, b, c\n1, 2, 3\n", Dialect(",", spaced=True)),
    ("a,b,c\n'x,y',2,3\n'z',2,3\n", Dialect(",", quote="'")),
    ('a,b,c\n"x \\"y\\"",2,3\n', Dialect(",", escape="\\")),
    ('a,b,c\n"it\'s, so",2,3\n', Dialect(",")),
    ("a\n1;2\n3;4\n", Dialect(",")),
    ("b c,d;e\n1,2\n", Dialect(",")),
]


@pytest.mark.parametrize(("text", "dialect"), DIALECTS)
def test_a_dialect_is_known_by_its_first_lines(text: str, dialect: Dialect) -> None:
    assert sniff(text, WANTED) == dialect


@pytest.mark.parametrize(
    ("fields", "point"),
    [
        (["1,5", "2"], ","),
        (["1.234,56"], ","),
        (["1.234,56", "1.234", "7"], ","),
        (["1.234,56", "1.23"], "."),
        (["1,5", "1.234"], "."),
        (["1,5", "2.5"], "."),
        (["1.5"], "."),
        (["x, y", "2"], "."),
        ([], "."),
    ],
)
def test_a_decimal_comma_is_one_where_no_point_is(fields: list[str], point: str) -> None:
    assert decimal(fields) == point


def test_lines_are_those_of_the_file() -> None:
    data = b'\nsep=,\na,b,c\n1,2,3\n\n4,"5\n5",6\n7,8\n9,9,9\n   \n1,2\r3,4,5\n6,7,8\n'
    columns, lines, torn = read(data)
    assert lines == [4, 6, 9, 12]
    assert columns["b"] == ["2", "5\n5", "9", "7"]
    assert torn == [
        Torn(8, "has 2 fields, and the header has 3"),
        Torn(11, "has a carriage return in the middle, which is no line end here"),
    ]


def test_only_line_feeds_end_a_header() -> None:
    columns, _, _ = read("a\x0c,b\u2028x,b,c\n1,2,3,4\n".encode())
    assert columns == {"a": ["1"], "b": ["3"], "c": ["4"]}


def test_how_numbers_are_written_is_told_by_the_columns_that_hold_them() -> None:
    data = b"a;b;c;version\n1,5;2.0;3;4.1\n"
    points = {wanted: separated.opened(Source(io.BytesIO(data)), WANTED, wanted).decimal for wanted in ("a", "ab", "c")}
    assert points == {"a": ",", "ab": ".", "c": "."}


def test_lines_are_right_over_many_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "BLOCK", 64)
    rows = [f"{number},x,y" if number % 10 else f'{number},"x\n{number}",y' for number in range(500)]
    text = "a,b,c\n" + "\n".join(rows) + "\n"
    columns, lines, _ = read(text.encode())
    places = text.split("\n")
    assert columns["a"] == [str(number) for number in range(500)]
    assert [places[line - 1].split(",")[0] for line in lines] == columns["a"]


def test_a_quotation_mark_inside_a_field_is_only_that() -> None:
    columns, _, torn = read(b'a,b,c\n5" pipe,2,3\n6" pipe,2,3\n7,8,9\n')
    assert columns["a"] == ['5" pipe', '6" pipe', "7"]
    assert torn == []


def test_a_field_without_end_is_refused_with_its_line() -> None:
    data = b"a,b,c\n1,2,3\n" + b'4,"5,6\n' + b"7,8,9\n" * 50_000
    with pytest.raises(DataRefused, match="line 3: the record that begins here cannot be read"):
        read(data)


def test_spaces_after_the_delimiter_do_not_count() -> None:
    columns, _, _ = read(b"a, b, c\n1, x y, 3\n2, z, 4\n")
    assert columns["b"] == ["x y", "z"]


def test_a_single_column_is_a_table_too() -> None:
    opened = separated.opened(Source(io.BytesIO(b"a\nx\n\ny\n")), ("a",))
    (chunk,) = opened.chunks(("a",))
    assert (chunk.columns["a"], list(chunk.lines)) == (["x", "y"], [2, 4])


def test_a_header_may_be_long() -> None:
    names = [*(f"a column with a long name, number {number}".replace(",", "") for number in range(5000)), "a"]
    data = (",".join(names) + "\n" + ",".join(["1"] * 5000) + ",last\n").encode()
    opened = separated.opened(Source(io.BytesIO(data)), ("a",))
    (chunk,) = opened.chunks(("a",))
    assert (len(opened.names), chunk.columns["a"]) == (5001, ["last"])


def test_the_form_is_said_for_people() -> None:
    assert separated.opened(Source(io.BytesIO(b"a;b;c\n1,5;2;3\n")), WANTED).form == (
        "CSV separated by semicolons, UTF-8, with decimal commas"
    )
