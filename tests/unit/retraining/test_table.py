import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.retraining.table import FEW, Table
from lastmile.errors import InvalidInput
from lastmile.tensors import Array


def texts(*values: str) -> Array:
    column = np.empty(len(values), object)
    column[:] = values
    return column


@st.composite
def tables(draw: st.DrawFn) -> Table:
    rows = draw(st.integers(0, 20))
    kinds = {
        "float": (st.floats(width=draw(st.sampled_from([32, 64]))), np.float64),
        "int": (st.integers(-(2**63), 2**63 - 1) | st.integers(-200, 200), np.int64),
        "text": (st.text(st.characters(), max_size=8), object),
    }
    names = draw(st.lists(st.text(min_size=1, max_size=5), max_size=4, unique=True))
    columns = {}
    for name in names:
        values, dtype = kinds[draw(st.sampled_from(sorted(kinds)))]
        columns[name] = np.array(draw(st.lists(values, min_size=rows, max_size=rows)), dtype)
    return Table(columns)


def assert_same(one: Table, other: Table) -> None:
    assert list(one.columns) == list(other.columns)
    for name, column in one.columns.items():
        assert other[name].dtype == column.dtype
        np.testing.assert_array_equal(other[name], column)


@given(tables())
def test_a_table_comes_back_from_its_bytes(table: Table) -> None:
    data = table.to_bytes()
    assert_same(table, Table.from_bytes(data))
    assert Table.from_bytes(data).to_bytes() == data


def test_many_different_texts_come_back() -> None:
    table = Table({"id": texts(*(f"id {number} ü" for number in range(FEW + 1)))})
    assert_same(table, Table.from_bytes(table.to_bytes()))


def test_the_sign_of_zero_and_a_surrogate_come_back() -> None:
    table = Table({"x": np.array([-0.0, np.nan]), "t": texts("\ud800", "")})
    again = Table.from_bytes(table.to_bytes())
    assert np.signbit(again["x"][0])
    assert again["t"].tolist() == ["\ud800", ""]


def test_repeated_texts_are_kept_once() -> None:
    long = Table({"country": texts(*["a rather long name of a country"] * 10_000)})
    assert len(long.to_bytes()) < 1000


def test_rows_are_taken_by_position_and_by_mask() -> None:
    table = Table({"x": np.array([1.0, 2.0, 3.0]), "t": texts("a", "b", "c")})
    assert table.take([2, 0])["t"].tolist() == ["c", "a"]
    assert table.take(table["x"] > 1).rows == 2


def test_columns_of_different_lengths_are_no_table() -> None:
    with pytest.raises(ValueError, match="'x': 1, 'y': 2"):
        Table({"x": np.zeros(1), "y": np.zeros(2)})


@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-1], lambda data: b"PK" + data, lambda data: data + b"x"]
)
def test_other_bytes_are_refused(damage) -> None:  # type: ignore[no-untyped-def]
    data = Table({"x": np.arange(3.0), "t": texts("a", "b", "c")}).to_bytes()
    with pytest.raises(InvalidInput, match="no table"):
        Table.from_bytes(damage(data))
