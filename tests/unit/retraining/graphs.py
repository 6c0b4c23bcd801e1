"""Small real graphs for the tests of what is learnt."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def _model(nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any]) -> bytes:
    initialisers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, initialisers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return bytes(model.SerializeToString())


def logistic(weights: Sequence[float], bias: float = 0.0) -> bytes:
    """x [-1, n] -> label, probabilities [-1, 2]: the sigmoid of the weighted sum."""
    size = len(weights)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["dot"]),
        helper.make_node("Add", ["dot", "b"], ["sum"]),
        helper.make_node("Sigmoid", ["sum"], ["positive"]),
        helper.make_node("Sub", ["one", "positive"], ["negative"]),
        helper.make_node("Concat", ["negative", "positive"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    constants = {
        "w": np.array(weights, np.float32).reshape(size, 1),
        "b": np.array([bias], np.float32),
        "one": np.array([1], np.float32),
    }
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", FLOAT, [None, size])],
        [
            helper.make_tensor_value_info("label", INT64, [None]),
            helper.make_tensor_value_info("probabilities", FLOAT, [None, 2]),
        ],
        constants,
    )


def linear(weights: Sequence[float], bias: float = 0.0) -> bytes:
    """x [-1, n] -> value [-1]."""
    size = len(weights)
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["dot"]),
        helper.make_node("Add", ["dot", "b"], ["sum"]),
        helper.make_node("Reshape", ["sum", "flat"], ["value"]),
    ]
    constants = {
        "w": np.array(weights, np.float32).reshape(size, 1),
        "b": np.array([bias], np.float32),
        "flat": np.array([-1], np.int64),
    }
    return _model(
        nodes,
        [helper.make_tensor_value_info("x", FLOAT, [None, size])],
        [helper.make_tensor_value_info("value", FLOAT, [None])],
        constants,
    )
