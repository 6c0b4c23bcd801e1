"""What stands in a column, and the array that the model gets of it."""

import math
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from functions.batch.columns import column, tensor
from lastmile.tensors import TensorSpec

FLOAT = TensorSpec("x", "FP32", (-1, 1))
OPEN = TensorSpec("x", "FP32", (-1, 1), nullable=True)
WHOLE = TensorSpec("x", "INT64", (-1, 1))
SMALL = TensorSpec("x", "INT8", (-1, 1))
TRUTH = TensorSpec("x", "BOOL", (-1, 1))
TEXT = TensorSpec("x", "BYTES", (-1, 1))

GOOD = [
    (FLOAT, pa.array([1.5, 2.5]), [1.5, 2.5]),
    (FLOAT, pa.array([1, 2]), [1.0, 2.0]),
    (FLOAT, pa.array(["1.5", " 2 "]), [1.5, 2.0]),
    (FLOAT, pa.array([b"1.5", b"2"]), [1.5, 2.0]),
    (FLOAT, pa.array(["1", "1", "2"]).dictionary_encode(), [1.0, 1.0, 2.0]),
    (FLOAT, pa.array([True, False]), [1.0, 0.0]),
    (OPEN, pa.array([1.0, None]), [1.0, math.nan]),
    (OPEN, pa.array([1.0, math.nan]), [1.0, math.nan]),
    (OPEN, pa.array(["1", "", "nan"]), [1.0, math.nan, math.nan]),
    (OPEN, pa.nulls(2), [math.nan, math.nan]),
    (TensorSpec("x", "FP16", (-1,)), pa.array([0.5]), [0.5]),
    (WHOLE, pa.array([1.0, 2.0]), [1, 2]),
    (WHOLE, pa.array(["1", "-2"]), [1, -2]),
    (WHOLE, pa.array([2**53 + 1]), [2**53 + 1]),
    (SMALL, pa.array([-128, 127]), [-128, 127]),
    (TRUTH, pa.array([True, False]), [True, False]),
    (TRUTH, pa.array(["1", "FALSE", "true"]), [True, False, True]),
    (TEXT, pa.array(["a", None, ""]), ["a", "", ""]),
    (TEXT, pa.array([1, 2]), ["1", "2"]),
    (TEXT, pa.array(["a", "b"]).dictionary_encode(), ["a", "b"]),
]
BAD = [
    (FLOAT, pa.array([1.0, None]), "'x' is missing"),
    (FLOAT, pa.array([1.0, math.nan]), "'x' is missing"),
    (FLOAT, pa.array([1.0, math.inf]), "'x' is infinite, or too large for FP32"),
    (FLOAT, pa.array([1.0, 1e300]), "'x' is infinite, or too large for FP32"),
    (TensorSpec("x", "FP16", (-1,)), pa.array([1.0, 1e6]), "'x' is infinite, or too large for FP16"),
    (OPEN, pa.array(["1", "inf"]), "'x' is infinite, or too large for FP32"),
    (FLOAT, pa.array(["1", "nan"]), "'x' is missing"),
    (FLOAT, pa.array(["1", "1_000"]), "'x' is '1_000', a number is wanted"),
    (FLOAT, pa.array(["1", "1e300"]), "'x' is infinite, or too large for FP32"),
    (FLOAT, pa.array(["1", "oops"]), "'x' is 'oops', a number is wanted"),
    (FLOAT, pa.array([b"1", b"\xff"]).view(pa.string()), "'x' is '\ufffd', a number is wanted"),
    (WHOLE, pa.array([1.0, 1.5]), "'x' is '1.5', a whole number (INT64) is wanted"),
    (WHOLE, pa.array(["1", "1.5"]), "'x' is '1.5', a whole number (INT64) is wanted"),
    (WHOLE, pa.array([1, None]), "'x' is missing"),
    (SMALL, pa.array([1, 128]), "'x' is '128', a whole number (INT8) is wanted"),
    (TRUTH, pa.array(["1", "maybe"]), "'x' is 'maybe', true or false is wanted"),
    (TEXT, pa.array([b"a", b"\xff"]), "'x' is not UTF-8 text"),
    (TEXT, pa.array([b"a", b"\xff"]).view(pa.string()), "'x' is not UTF-8 text"),
    (TEXT, pa.array([b"a", b"\xff"]).view(pa.string()).cast(pa.string_view()), "'x' is not UTF-8 text"),
    (TEXT, pa.array([None, ["a"]]), "'x' is a list, a text is wanted"),
    (TEXT, pa.array([None, {"a": 1}]), "'x' is a struct, a text is wanted"),
    (TEXT, pa.array([None, [("a", 1)]], pa.map_(pa.string(), pa.int64())), "'x' is a map, a text is wanted"),
]


@pytest.mark.parametrize(("spec", "found", "values"), GOOD)
def test_what_fits_is_taken_as_it_is(spec: TensorSpec, found: pa.Array, values: list[Any]) -> None:
    taken = column(found, "x", spec)
    assert taken.problems == {}
    np.testing.assert_array_equal(taken.values, np.array(values, taken.values.dtype))


@pytest.mark.parametrize(("spec", "found", "reason"), BAD)
def test_what_does_not_fit_is_said_of_its_own_row_alone(spec: TensorSpec, found: pa.Array, reason: str) -> None:
    assert column(found, "x", spec).problems == {1: reason}


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.binary_view()])
def test_a_missing_text_is_the_empty_one_beside_what_is_not_utf_8(kind: pa.DataType) -> None:
    taken = column(pa.array([b"parcel", None, b"caf\xe9", "Müller".encode()]).cast(kind), "x", TEXT)
    assert taken.values.tolist() == ["parcel", "", "", "Müller"]
    assert taken.problems == {2: "'x' is not UTF-8 text"}


def test_columns_become_one_tensor_in_the_order_of_the_spec() -> None:
    spec = TensorSpec("x", "FP32", (-1, 2), ("b", "a"))
    taken = tensor({"a": pa.array([1.0, 2.0]), "b": pa.array([3.0, None])}, spec)
    assert taken.values[0].tolist() == [3.0, 1.0]
    assert taken.problems == {1: "'b' is missing"}


LISTS = TensorSpec("x", "FP32", (-1, 3))


@pytest.mark.parametrize(
    "found",
    [
        pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float64())),
        pa.array([[1, 2, 3], [4, 5, 6]], pa.list_(pa.float32(), 3)),
        pa.array([[1, 2, 3], [4, 5, 6]]),
        pa.array(["[1, 2, 3]", "[4, 5, 6.0]"]),
    ],
)
def test_lists_become_a_tensor(found: pa.Array) -> None:
    taken = tensor({"x": found}, LISTS)
    assert taken.problems == {}
    assert taken.values.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert taken.values.dtype == np.float32


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        (pa.array([[1.0, 2.0, 3.0], [4.0, 5.0]]), "'x' is '[4.0, 5.0]', a list of shape [3] is wanted"),
        (pa.array([[1.0, 2.0, 3.0], None]), "'x' is missing"),
        (pa.array(["[1, 2, 3]", None]), "'x' is missing"),
        (pa.array([b"[1, 2, 3]", b"[\xff]"]), "'x' is not UTF-8 text"),
        (pa.array([b"[1, 2, 3]", b"[\xff]"]).view(pa.string()), "'x' is not UTF-8 text"),
        (pa.array([[1.0, 2.0, 3.0], [1.0, 2.0, math.inf]]), "'x' is '[1.0, 2.0, inf]', finite numbers are wanted"),
        (pa.array(["[1, 2, 3]", "[1, 2"]), "'x' is '[1, 2', a list of FP32 is wanted"),
        (pa.array(["[1, 2, 3]", '["a", "b", "c"]']), """'x' is '["a", "b", "c"]', a list of numbers is wanted"""),
    ],
)
def test_a_list_that_does_not_fit_is_said_of_its_own_row_alone(found: pa.Array, reason: str) -> None:
    assert tensor({"x": found}, LISTS).problems == {1: reason}


def test_lists_of_open_length_are_as_long_as_the_first() -> None:
    spec = TensorSpec("x", "BYTES", (-1, -1))
    taken = tensor({"x": pa.array([["a", "b"], ["c"]])}, spec)
    assert taken.values[0].tolist() == ["a", "b"]
    assert taken.problems == {1: "'x' has shape [1], that of the rows before it is [2]"}
