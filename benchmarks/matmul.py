"""Multi-layer perceptrons of random weights: models whose size and work can be chosen."""

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.environments import BENCH

SEED = 0
INPUT, OUTPUT = "x", "y"


def perceptron(widths: Sequence[int]) -> Path:
    """A file, made on the first use: float32 `x` [rows, widths[0]] to `y` [rows, widths[-1]], ReLU after each layer."""
    path = BENCH / "perceptrons" / f"{'x'.join(map(str, widths))}.onnx"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        beginning = path.with_suffix(".part")
        beginning.write_bytes(_graph(widths).SerializeToString())
        beginning.replace(path)
    return path


def _graph(widths: Sequence[int]) -> onnx.ModelProto:
    random = np.random.default_rng(SEED)
    nodes: list[Any] = []
    weights: list[Any] = []
    value = INPUT
    for layer, (rows, columns) in enumerate(pairwise(widths)):
        weight = random.standard_normal((rows, columns), dtype=np.float32) / np.float32(rows**0.5)
        weights.append(numpy_helper.from_array(weight, f"weight{layer}"))
        last = layer == len(widths) - 2
        nodes.append(helper.make_node("MatMul", [value, f"weight{layer}"], [f"product{layer}"]))
        nodes.append(helper.make_node("Relu", [f"product{layer}"], [value := OUTPUT if last else f"value{layer}"]))
    entry = helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, [None, widths[0]])
    leaving = helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, [None, widths[-1]])
    graph = helper.make_graph(nodes, "perceptron", [entry], [leaving], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
