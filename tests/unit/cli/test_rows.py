import json
from typing import Any

import pytest

from cli.errors import CommandFailed
from cli.rows import Row, batches, ignored_columns, of_request, read, with_commas
from lastmile.tensors import TensorSpec

X = TensorSpec("x", "FP32", (-1, 3), ("a", "b", "c"))
AGE = TensorSpec("age", "INT64", (-1, 1))
NAME = TensorSpec("name", "BYTES", (-1,))
MEMBER = TensorSpec("member", "BOOL", (-1, 1))
TOKENS = TensorSpec("tokens", "INT64", (-1, -1))
PERSON = (AGE, NAME, MEMBER)


@pytest.mark.parametrize(
    ("text", "specs", "expected"),
    [
        ("a,b,c\n1,2,3\n4,5,6.5\n", [X], [("line 2", [1, 2, 3]), ("line 3", [4, 5, 6.5])]),
        ("c,a,id,b\n3,1,x,2\n", [X], [("line 2", [1, 2, 3])]),
        ("\ufeffa,b,c\r\n1,2,3\r\n", [X], [("line 2", [1, 2, 3])]),
        ("a,b,c\n\n1,2,3\n\n", [X], [("line 3", [1, 2, 3])]),
        ("a,b,c\n1,,3\n", [X], [("line 2", [1, None, 3])]),
        ('{"a": 1, "b": 2, "c": 3}', [X], [("row 1", [1, 2, 3])]),
        ('[{"a": 1, "b": 2, "c": 3, "id": 9}]', [X], [("row 1", [1, 2, 3])]),
        ('{"x": [1, 2, 3]}', [X], [("row 1", [1, 2, 3])]),
        ("[1, 2, 3]", [X], [("row 1", [1, 2, 3])]),
        ("[[1, 2, 3], [4, 5, 6]]", [X], [("row 1", [1, 2, 3]), ("row 2", [4, 5, 6])]),
        ('{"x": [1, 2, 3]}\n\n{"x": [4, 5, 6]}\n', [X], [("line 1", [1, 2, 3]), ("line 3", [4, 5, 6])]),
        ("[1, 2, 3]\n[4, 5, 6]\n", [X], [("line 1", [1, 2, 3]), ("line 2", [4, 5, 6])]),
        ("\ufeff\n\n[1, 2, 3]\n[4, 5, 6]\n", [X], [("line 3", [1, 2, 3]), ("line 4", [4, 5, 6])]),
        ('{"name": "a\u2028b"}\r\n{"name": "c\x85d"}\n', [NAME], [("line 1", "a\u2028b"), ("line 2", "c\x85d")]),
        ('["ann", "bob"]', [NAME], [("row 1", "ann"), ("row 2", "bob")]),
        ('name\n"two\nlines"\nlast\n', [NAME], [("line 2", "two\nlines"), ("line 4", "last")]),
        ('tokens\n"[1, 2]"\n7\n', [TOKENS], [("line 2", [1, 2]), ("line 3", [7])]),
    ],
)
def test_rows_are_read_from_csv_and_json(text: str, specs: list[TensorSpec], expected: list[Any]) -> None:
    assert [(row.where, row.inputs[specs[0].name]) for row in read(text, specs)] == expected


def test_every_input_takes_its_own_datatype() -> None:
    rows = read("name,age,member\nann,41,TRUE\n,42,0\n", PERSON)
    assert [row.inputs for row in rows] == [
        {"age": [41], "name": "ann", "member": [True]},
        {"age": [42], "name": "", "member": [False]},
    ]


@pytest.mark.parametrize(
    ("text", "specs", "said"),
    [
        ("a,b,c\n1,2,3\n1,two,3\n", [X], "line 3: 'b' is 'two', a number is wanted"),
        ("a,b,c\n1,2\n", [X], "line 2: 2 cells for 3 columns"),
        ("a,b,c\n1,2,nan\n", [X], "line 2: 'c' is 'nan', a number is wanted"),
        ("a,b,c\n1,2,1e999\n", [X], "line 2: 'c' is '1e999', a number is wanted"),
        ("a,b\n1,2\n", [X], "The CSV header lacks c."),
        ("1,2,3\n4,5,6\n", [X], "The CSV header lacks a, b, c."),
        ('a,b,c\n1,"2,3\n', [X], "of the CSV cannot be read"),
        ("age,name,member\n4.5,x,true\n", PERSON, "line 2: 'age' is '4.5', an integer is wanted"),
        ("age,name,member\n4,x,maybe\n", PERSON, "line 2: 'member' is 'maybe', true or false is wanted"),
        ('[{"a": 1, "b": 2}]', [X], "row 1: 'c' is missing"),
        ('[{"a": 1, "b": 2, "c": NaN}]', [X], "row 1: 'c' is nan"),
        ('[{"a": 1, "b": {}, "c": 3}]', [X], "row 1: 'b' is an object"),
        ("[[1, 2, 3], [1, 2]]", [X], "row 2: 'x' has shape [2], [3] is wanted"),
        ("[1, 2]", PERSON, "row 1: name the inputs: the model takes age, name, member"),
        ('{"a": 1,\n "b": 2,,}', [X], "line 2 of the JSON cannot be read"),
        ('{"x": [1, 2, 3]}\n{"x": [1, 2\n', [X], "line 2 of the JSON cannot be read"),
        ('\n\n{"x": [1, 2, 3]}\n{"x": [1, 2\n', [X], "line 4 of the JSON cannot be read"),
        ('\n{"a": 1,\n "b": 2,,}', [X], "line 3 of the JSON cannot be read"),
        ("tokens\n[1 2]\n", [TOKENS], "line 2: 'tokens' is '[1 2]', a JSON list is wanted"),
        ("a,b,c\n", [X], "There is no data to predict."),
        ("[]", [X], "There is no data to predict."),
        (" \n", [X], "There is no data to predict."),
        ("[" * 100_000, [X], "nested too deeply"),
        ('{"x": [1, 2, 3]}\n' + "[" * 100_000, [X], "line 2 of the JSON is nested too deeply."),
        (f"[{'1' * 5000}, 2, 3]", [X], "The JSON has an integer that is too long."),
        (f'{{"x": [1, 2, 3]}}\n[{"1" * 5000}]', [X], "line 2 of the JSON has an integer that is too long."),
        ("tokens\n" + "[" * 100_000, [TOKENS], "line 2: 'tokens' is '[[["),
        (f"tokens\n[{'1' * 5000}]", [TOKENS], "line 2: 'tokens' is '[111"),
        ("[[NaN, 2, 3]]", [X], "row 1: 'x' holds a number that is not finite"),
        ("a,b,c,a\n1,2,3,4\n", [X], "The CSV header names 'a' more than once."),
    ],
)
def test_what_is_wrong_is_named_with_its_place(text: str, specs: list[TensorSpec], said: str) -> None:
    with pytest.raises(CommandFailed) as error:
        read(text, specs)
    assert said in str(error.value)


def test_all_bad_rows_are_named_and_many_are_counted() -> None:
    with pytest.raises(CommandFailed) as error:
        read("a,b,c\n" + "1,x,3\n" * 5 + "1,2,3\n" * 5 + "y,2,3\n" * 7, [X])
    lines = str(error.value).splitlines()
    assert lines[0] == "line 2: 'b' is 'x', a number is wanted"
    assert lines[5] == "line 12: 'a' is 'y', a number is wanted"
    assert lines[10] == "… and 2 more rows"


def test_columns_that_nobody_takes_are_listed() -> None:
    assert ignored_columns("id,a,b,c,label\n", [X]) == ["id", "label"]
    assert ignored_columns("\ufeffa,b,c\n", [X]) == []
    assert ignored_columns('[{"id": 1}]', [X]) == []


def test_batches_hold_equal_shapes_and_are_no_longer_than_allowed() -> None:
    rows = [Row(f"row {number}", {"t": [0] * length}) for number, length in enumerate([3, 3, 3, 5, 5, 3])]
    sizes = [len(batch) for batch in batches(rows, most_bytes=10_000, most_rows=2)]
    assert sizes == [2, 1, 2, 1]
    wide = [Row(f"row {number}", {"t": [0] * 100}) for number in range(10)]
    most = 3 * len(json.dumps({"t": [0] * 100}))
    assert [len(batch) for batch in batches(wide, most_bytes=most, most_rows=500)] == [3, 3, 3, 1]
    assert [len(batch) for batch in batches(wide, most_bytes=1, most_rows=500)] == [1] * 10


@pytest.mark.parametrize("delimiter", [";", "\t", "|", ","])
def test_cells_may_be_separated_as_spreadsheets_do(delimiter: str) -> None:
    text = f'a{delimiter}b\n1{delimiter}"x, y"\n\n2{delimiter}z\n'
    specs = (TensorSpec("a", "INT64", (-1,)), TensorSpec("b", "BYTES", (-1,)))
    found = [(row.where, dict(row.inputs)) for row in read(with_commas(text), specs)]
    assert found == [("line 2", {"a": 1, "b": "x, y"}), ("line 4", {"a": 2, "b": "z"})]


@pytest.mark.parametrize("text", ['[{"a": "x;y"}]', "a,b;c\n1,2\n", "a\n1;2\n", "", 'a;b\n"'])
def test_what_needs_no_commas_stays_as_it_is(text: str) -> None:
    assert with_commas(text) == text


@pytest.mark.parametrize(
    ("text", "rows"),
    [
        ('{"rows": [{"a": 1}]}', [{"a": 1}]),
        ('{"instances": [[1, 2]]}', [[1, 2]]),
        ('{"rows": [{"a": 1}], "context": [{"stock": 4}]}', [{"a": 1, "context": {"stock": 4}}]),
        ('{"rows": [{"a": 1}, {"a": 2}], "context": [{"stock": 4}]}', [{"a": 1}, {"a": 2}]),
    ],
)
def test_a_request_of_the_api_is_its_rows(text: str, rows: list[Any]) -> None:
    assert json.loads(of_request(text)) == rows


@pytest.mark.parametrize(
    "text", ['{"a": 1}', '{"rows": 1}', '{"rows": [1], "a": 2}', '{"a": 1}\n{"a": 2}', "a,b\n1,2\n", "{"]
)
def test_what_is_no_request_stays_as_it_is(text: str) -> None:
    assert of_request(text) == text
