"""Small real ONNX graphs."""

from collections.abc import Callable

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

type MakeModel = Callable[..., bytes]


def _linear(factor: float = 1.0, *, inputs: int = 3, outputs: int = 2) -> bytes:
    """y = factor * x W + 1, with x FP32 [-1, inputs] and y FP32 [-1, outputs]."""
    weights = factor * np.arange(1, inputs * outputs + 1, dtype=np.float32).reshape(inputs, outputs)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["xw"]), helper.make_node("Add", ["xw", "one"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", inputs])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(weights, "w"), numpy_helper.from_array(np.ones(outputs, np.float32), "one")],
    )
    return _file(graph)


def _identity(datatype: int, shape: tuple[int | str, ...] = ("n",)) -> bytes:
    graph = helper.make_graph(
        [helper.make_node("Identity", ["x"], ["y"])],
        "identity",
        [helper.make_tensor_value_info("x", datatype, shape)],
        [helper.make_tensor_value_info("y", datatype, shape)],
    )
    return _file(graph)


def _two_in_two_out() -> bytes:
    """total = age + income, flag = text; age and income FP32 [-1, 1], text BYTES [-1, 1]."""
    graph = helper.make_graph(
        [helper.make_node("Add", ["age", "income"], ["total"]), helper.make_node("Identity", ["text"], ["flag"])],
        "columns",
        [
            helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("income", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("text", TensorProto.STRING, ["n", 1]),
        ],
        [
            helper.make_tensor_value_info("total", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("flag", TensorProto.STRING, ["n", 1]),
        ],
    )
    return _file(graph)


def _repeated_product() -> bytes:
    """y = x W W W …: 256 kB of weights and milliseconds of work; x and y FP32 [-1, 256]."""
    nodes = [
        helper.make_node("MatMul", [f"x{n}" if n else "x", "w"], [f"x{n + 1}" if n < 299 else "y"]) for n in range(300)
    ]
    graph = helper.make_graph(
        nodes,
        "product",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 256])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 256])],
        [numpy_helper.from_array(np.eye(256, dtype=np.float32), "w")],
    )
    return _file(graph)


def _file(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="session")
def linear() -> MakeModel:
    return _linear


@pytest.fixture(scope="session")
def identity() -> MakeModel:
    return _identity


@pytest.fixture(scope="session")
def two_in_two_out() -> bytes:
    return _two_in_two_out()


@pytest.fixture(scope="session")
def repeated_product() -> bytes:
    return _repeated_product()
