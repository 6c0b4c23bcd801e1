import json
from typing import Any

import numpy as np
import pytest

from lastmile.errors import EndpointUnavailable
from lastmile.heavy.wire import BINARY, decode, encode, stored_type
from lastmile.tensors import DATATYPES, Array, TensorSpec

TEXT = np.array(["é", "", "日本"], dtype=object)


def specs(arrays: dict[str, Array]) -> dict[str, TensorSpec]:
    names = {str(row.dtype): row.name for row in DATATYPES.values()}
    return {name: TensorSpec(name, names[str(a.dtype)], (-1, *a.shape[1:])) for name, a in arrays.items()}


def echoed(arrays: dict[str, Array], *, as_json: bool = False) -> tuple[str, bytes]:
    """What a model that gives back what it gets would answer."""
    payload = encode(arrays, specs(arrays), arrays, "01")
    length = int(payload.content_type.rpartition("=")[2])
    header = json.loads(payload.body[:length])
    outputs = header["inputs"]
    if as_json:
        for output in outputs:
            del output["parameters"]
            output["data"] = arrays[output["name"]].reshape(-1).tolist()
        return "application/json", json.dumps({"outputs": outputs}).encode()
    answer = json.dumps({"outputs": outputs}).encode()
    return f"{BINARY};json-header-size={len(answer)}", answer + payload.body[length:]


@pytest.mark.parametrize("as_json", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.array([[0.1, 2.0], [3.0, -1.0]], np.float32),
        np.array([1.5, 2.5], np.float16),
        np.array([2**62, -(2**62)]),
        np.array([[True], [False]]),
        TEXT,
        TEXT.reshape(3, 1),
        np.arange(24, dtype=np.int8).reshape(2, 3, 4),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_tensors_come_back_as_they_went(array: Array, as_json: bool) -> None:
    arrays = {"x": array, "y": array[:, None]}
    content_type, body = echoed(arrays, as_json=as_json)
    for name, found in zip(arrays, decode(content_type, body, specs(arrays), arrays, len(array)), strict=True):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, arrays[name])
    assert decode(stored_type(body), body, specs(arrays), arrays, len(array))[0].tolist() == array.tolist()


def test_nan_comes_back_in_binary() -> None:
    arrays = {"x": np.array([np.nan, np.inf], np.float32)}
    (found,) = decode(*echoed(arrays), specs(arrays), arrays, 2)
    np.testing.assert_array_equal(found, arrays["x"])


def test_a_row_of_one_value_has_an_axis_of_its_own_there() -> None:
    payload = encode({"x": np.arange(3)}, specs({"x": np.arange(3)}), ["x"], "01")
    assert b'"shape":[3,1]' in payload.body


def broken(**changes: Any) -> tuple[str, bytes]:
    output = {"name": "x", "datatype": "INT64", "shape": [2], "data": [1, 2], **changes}
    return "application/json", json.dumps({"outputs": [output]}).encode()


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ((f"{BINARY};json-header-size=7", b"garbage"), "unexpected character"),
        ((f"{BINARY};json-header-size=99", b"{}"), "content type"),
        ((f"{BINARY};json-header-size=x", b"{}"), "content type"),
        ((BINARY, b"{}"), "content type"),
        (("text/html", b"<html>"), "unexpected character"),
        (("application/json", b"[]"), "no outputs"),
        (("application/json", b'{"outputs": [1]}'), "unknown"),
        (("application/json", b'{"outputs": []}'), "'x' is missing"),
        (broken(name="y"), "'y' is unknown"),
        (broken(datatype="FP32"), "INT64 was promised"),
        (broken(shape=[3]), "needs 3 elements"),
        (broken(shape=[2, 2], data=[1, 2, 3, 4]), "does not fit"),
        (broken(shape=[1], data=[1]), "for 2 rows"),
        (broken(data=["1", "2"]), "INT64 is wanted"),
        (broken(data=None), "is null"),
        (broken(parameters={"binary_data_size": 16}), "0 bytes are left"),
        (broken(parameters={"binary_data_size": -1}), "0 bytes are left"),
        ((f"{BINARY};json-header-size=63", broken()[1].replace(b'"data": [1, 2]', b'"d": 1') + b"x"), ""),
        ((f"{BINARY};json-header-size={len(broken()[1])}", broken()[1] + b"x"), "1 bytes belong to no output"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_garbage_is_a_failure_that_says_what_is_wrong(answer: tuple[str, bytes], said: str) -> None:
    with pytest.raises(EndpointUnavailable, match="garbage") as raised:
        decode(*answer, {"x": TensorSpec("x", "INT64", (-1,))}, ["x"], 2)
    assert raised.value.reason == "garbage"
    assert said in str(raised.value)


def test_a_claimed_number_of_texts_is_garbage() -> None:
    output = {"name": "x", "datatype": "BYTES", "shape": [10**12, 1], "parameters": {"binary_data_size": 5}}
    header = json.dumps({"outputs": [output]}).encode()
    with pytest.raises(EndpointUnavailable, match="for their lengths alone, binary data has 5"):
        decode(
            f"{BINARY};json-header-size={len(header)}",
            header + b"\x01\x00\x00\x00a",
            {"x": TensorSpec("x", "BYTES", (-1, 1))},
            ["x"],
            1,
        )


def test_what_was_stored_says_itself_where_its_header_ends() -> None:
    assert stored_type(b'{"outputs": []}\xff\x00') == f"{BINARY};json-header-size=15"
    for wrong in (b"", b"garbage", b"\xff", b"[" * 200_000):
        with pytest.raises(EndpointUnavailable, match="garbage"):
            stored_type(wrong)
