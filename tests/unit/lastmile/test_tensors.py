import math
from typing import Any

import numpy as np
import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from lastmile.errors import InvalidInput
from lastmile.tensors import (
    DATATYPES,
    TensorSpec,
    array_from_json,
    array_to_json,
    check_datatype,
    check_fits,
    check_shape,
    dump_json,
    nested_json,
)

NUMERIC = [name for name in DATATYPES if name != "BYTES"]
SHAPES = hnp.array_shapes(min_dims=1, max_dims=4, min_side=0, max_side=5)


def arrays(name: str, **options: Any) -> st.SearchStrategy[Any]:
    return hnp.arrays(DATATYPES[name].dtype, SHAPES, **options)


@pytest.mark.parametrize("name", NUMERIC)
@given(data=st.data())
def test_json_returns_every_finite_value_exactly(name: str, data: st.DataObject) -> None:
    options: Any = {"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else {}
    array = data.draw(arrays(name, elements=hnp.from_dtype(DATATYPES[name].dtype, **options)))
    sent = orjson.loads(dump_json(array_to_json(array, "x")))
    again = array_from_json(sent, DATATYPES[name], "x", shape=array.shape)
    assert again.dtype == array.dtype
    np.testing.assert_array_equal(again, array)


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_texts_survive_json(texts: list[str]) -> None:
    array = np.array(texts, dtype=object)
    sent = orjson.loads(dump_json(array_to_json(array, "x")))
    assert array_from_json(sent, DATATYPES["BYTES"], "x").tolist() == texts


def test_json_cannot_carry_bytes_that_are_no_text() -> None:
    with pytest.raises(InvalidInput, match="binary data"):
        array_to_json(np.array([b"\xff"], dtype=object), "output 'x'")


def test_what_json_cannot_say_is_null() -> None:
    array = np.array([math.nan, math.inf, 1.5], dtype=np.float32)
    assert dump_json(array_to_json(array, "x")) == b"[null,null,1.5]"


def test_floats_are_written_as_their_shortest_decimals() -> None:
    assert dump_json(array_to_json(np.array([0.1], dtype=np.float32), "x")) == b"[0.1]"


@pytest.mark.parametrize(
    ("value", "datatype", "said"),
    [
        ([1.5], "INT64", "element 0 is a number, INT64 is wanted"),
        ([1, True], "INT64", "element 1 is a boolean"),
        ([True, 1], "BOOL", "element 1 is an integer"),
        ([1.0, "2"], "FP32", "element 1 is a string"),
        ([1, 300], "INT8", r"element 1 \(300\) does not fit INT8"),
        ([-1], "UINT16", r"element 0 \(-1\) does not fit UINT16"),
        ([2**64], "UINT64", "element 0"),
        ([0.0, 1e39], "FP32", "element 1"),
        ([70000], "FP16", "element 0"),
        ([10**400], "FP64", "element 0"),
        ([None], "FP32", "null, and the tensor is not nullable"),
        ([{}], "FP32", "element 0 is an object"),
        ([[1, 2], [3]], "FP32", "ragged"),
        ([[1], 2], "FP32", "mixes lists and values"),
        ([1, [2]], "FP32", "element 1 is a list"),
    ],
)
def test_nothing_is_coerced(value: object, datatype: str, said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        array_from_json(value, DATATYPES[datatype], "input 'x'")


def test_errors_name_the_tensor() -> None:
    with pytest.raises(InvalidInput, match="^input 'x': "):
        array_from_json(["a"], DATATYPES["FP32"], "input 'x'")


def test_null_is_nan_only_where_the_tensor_is_nullable() -> None:
    array = array_from_json([1, None], DATATYPES["FP32"], "x", nullable=True)
    assert math.isnan(array[1])
    with pytest.raises(InvalidInput, match="null"):
        array_from_json([1, None], DATATYPES["INT64"], "x", nullable=True)


def test_an_overflow_beside_a_null_is_still_refused() -> None:
    with pytest.raises(InvalidInput, match="element 1"):
        array_from_json([None, 1e39], DATATYPES["FP32"], "x", nullable=True)


@pytest.mark.parametrize("shape", [[0, 2**40, 2**40], [10**9, 0], [0, 2**21], [2**63, 0, 2**63]])
def test_an_empty_array_with_large_other_lengths_is_refused_by_name(shape: list[int]) -> None:
    with pytest.raises(InvalidInput, match="^x: shape .* is too large for an empty array"):
        check_shape("x", shape)
    assert check_shape("x", [0, 1000, 1000]) == [0, 1000, 1000]


def test_data_may_be_flat_or_nested() -> None:
    flat = array_from_json([1, 2, 3, 4], DATATYPES["INT8"], "x", shape=[2, 2])
    nested = array_from_json([[1, 2], [3, 4]], DATATYPES["INT8"], "x", shape=[2, 2])
    np.testing.assert_array_equal(flat, nested)


@pytest.mark.parametrize(
    ("value", "shape"), [([1, 2, 3], [2, 2]), ([[1, 2], [3, 4]], [4, 1]), ([[1, 2], [3, 4]], [1, 2, 2]), ([], [1])]
)
def test_a_shape_must_agree_with_the_data(value: object, shape: list[int]) -> None:
    with pytest.raises(InvalidInput, match=r"shape|nested"):
        array_from_json(value, DATATYPES["INT8"], "x", shape=shape)


def test_too_many_dimensions_are_refused() -> None:
    value: object = 1
    for _ in range(40):
        value = [value]
    with pytest.raises(InvalidInput, match="deeper than 32"):
        array_from_json(value, DATATYPES["INT8"], "x")
    with pytest.raises(InvalidInput, match="at most 32"):
        check_shape("x", [1] * 40)


@pytest.mark.parametrize("shape", [None, "3", [1.0], [-1], [True], {"a": 1}])
def test_a_shape_is_a_list_of_lengths(shape: object) -> None:
    with pytest.raises(InvalidInput, match="non-negative integers"):
        check_shape("x", shape)


def test_an_unknown_datatype_is_named() -> None:
    with pytest.raises(InvalidInput, match="'FLOAT' is none of BOOL"):
        check_datatype("input 'x'", "FLOAT")


def test_a_shape_fits_where_minus_one_is_any_length() -> None:
    spec = TensorSpec("x", "FP32", (-1, 3))
    check_fits(spec, np.zeros((7, 3), np.float32), "x")
    for shape in [(7, 2), (3,), (1, 7, 3)]:
        with pytest.raises(InvalidInput, match="does not fit"):
            check_fits(spec, np.zeros(shape, np.float32), "x")


def test_nested_json_keeps_the_shape() -> None:
    assert dump_json(nested_json(np.array([[1, 2], [3, 4]], dtype=np.int64), "x")) == b"[[1,2],[3,4]]"
    assert nested_json(np.array([["a"], ["b"]], dtype=object), "x") == [["a"], ["b"]]


@pytest.mark.parametrize("code", ["q", "Q", "l", "L", "i", "I", "d", "f", "e", "?"])
def test_single_values_of_nested_json_are_json_too(code: str) -> None:
    """ONNX Runtime answers int64 as `longlong`, whose scalars orjson does not know."""
    assert dump_json(list(nested_json(np.ones(2, dtype=code), "x"))) in (b"[1,1]", b"[1.0,1.0]", b"[true,true]")
