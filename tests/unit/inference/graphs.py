"""Small real ONNX graphs with the signatures that the tests need."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

OPSET = 17


def classifier(seed: int = 0) -> bytes:
    """The signature of `digits`: image FP32 [-1, 64] to label INT64 [-1] and probabilities FP32 [-1, 10]."""
    weights = np.random.default_rng(seed).normal(size=(64, 10)).astype(np.float32) / 16
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["image", "weights"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "classifier",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["rows", 64])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", 10]),
        ],
        [numpy_helper.from_array(weights, "weights")],
    )
    return _file(graph)


def linear() -> bytes:
    """y = x W, with x FP32 [-1, 3] and y FP32 [-1, 2]."""
    weights = np.arange(1, 7, dtype=np.float32).reshape(3, 2)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", 2])],
        [numpy_helper.from_array(weights, "w")],
    )
    return _file(graph)


def echo() -> bytes:
    """text BYTES [-1] comes back as it is."""
    graph = helper.make_graph(
        [helper.make_node("Identity", ["text"], ["same"])],
        "echo",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["rows"])],
        [helper.make_tensor_value_info("same", TensorProto.STRING, ["rows"])],
    )
    return _file(graph)


def pair_only() -> bytes:
    """x FP32 [-1, 2] reshaped to [2, 2]: fails at run time for any number of rows but two."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "shape"], ["y"])],
        "pair",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 2])],
        [numpy_helper.from_array(np.array([2, 2], np.int64), "shape")],
    )
    return _file(graph)


def echoed(times: int) -> bytes:
    """x FP32 [-1, -1] to probabilities of its shape, and to echo: x so many times side by side."""
    graph = helper.make_graph(
        [
            helper.make_node("Softmax", ["x"], ["probabilities"], axis=1),
            helper.make_node("Concat", ["x"] * times, ["echo"], axis=1),
        ],
        "echoed",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", "features"])],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["rows", "features"]),
            helper.make_tensor_value_info("echo", TensorProto.FLOAT, ["rows", "width"]),
        ],
    )
    return _file(graph)


def squared() -> bytes:
    """y = x xᵀ: as wide as there are rows."""
    graph = helper.make_graph(
        [helper.make_node("Transpose", ["x"], ["t"]), helper.make_node("MatMul", ["x", "t"], ["y"])],
        "squared",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows", "width"])],
    )
    return _file(graph)


def slow(size: int = 1024, steps: int = 12) -> bytes:
    """x FP32 [-1, size] through some matrix products: tens of milliseconds."""
    nodes, at = [], "x"
    for step in range(steps):
        nodes.append(helper.make_node("MatMul", [at, "w"], [f"h{step}"]))
        at = f"h{step}"
    nodes.append(helper.make_node("ReduceMean", [at], ["y"], axes=[1], keepdims=0))
    graph = helper.make_graph(
        nodes,
        "slow",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", size])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["rows"])],
        [numpy_helper.from_array(np.zeros((size, size), np.float32), "w")],
    )
    return _file(graph)


def _file(graph: onnx.GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())
