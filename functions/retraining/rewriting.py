"""Graphs rewritten to be smaller or faster: by ONNX Runtime, with weights as eight-bit integers, or as half floats.

Large float32 weights of MatMul, Gemm and Gather are rewritten, in the bodies of loops too. Where a weight is only kept
small, ONNX Runtime makes floats of it when it loads the graph; a MatMul with integers stays one.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import onnx
import onnxruntime as ort
from onnx import TensorProto, helper, numpy_helper

from lastmile.tensors import Array

LARGE = 1024  # elements
WEIGHT = {"MatMul": 1, "Gemm": 1, "Gather": 0}  # which input is the weight


class NothingToDo(Exception):
    """Why a graph has no such candidate."""


class Scale(NamedTuple):
    """Of a layer's input as eight-bit integers."""

    scale: Array
    zero: Array


def optimised(model: bytes) -> bytes:
    """As ONNX Runtime rewrites it for any machine."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "optimised.onnx"
        options = ort.SessionOptions()
        options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_BASIC
        options.optimized_model_filepath = str(path)
        options.intra_op_num_threads = 1
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        return path.read_bytes()


def fp16(model: bytes) -> bytes:
    """Weights kept as half floats."""
    proto = onnx.ModelProto.FromString(model)
    weights = _weights(proto)
    if not weights or max(float(np.abs(weight).max()) for weight in weights.values()) > np.finfo(np.float16).max:
        raise NothingToDo("it has no large weights that half floats can hold")
    nodes = []
    for name, weight in weights.items():
        _replace(proto, name, {f"{name}_half": weight.astype(np.float16)})
        nodes.append(helper.make_node("Cast", [f"{name}_half"], [name], name=f"{name}_float", to=TensorProto.FLOAT))
    return _saved(proto, nodes)


def int8_dynamic(model: bytes) -> bytes:
    """Layers calculate with integers, whose scale each batch decides; other weights are only kept as integers."""
    return _quantised(model, {})


def int8_static(model: bytes, calibration: Mapping[str, Array]) -> bytes:
    """As `int8_dynamic`, with scales that the calibration rows have decided."""
    proto = onnx.ModelProto.FromString(model)
    wanted = sorted({node.input[0] for node in _layers(proto)})
    if not wanted:
        raise NothingToDo("it has no layers whose scales could be fixed")
    return _quantised(model, _calibrated(proto, wanted, calibration))


def _quantised(model: bytes, scales: Mapping[str, Scale]) -> bytes:
    proto = onnx.ModelProto.FromString(model)
    weights = _weights(proto)
    layers = {node.name: node for node in _layers(proto)}
    if not weights:
        raise NothingToDo("it has no large weights")
    nodes: list[onnx.NodeProto] = []
    in_layers = {node.input[1] for node in layers.values()}
    for name, weight in weights.items():
        turned = any(_is_turned(node) for node in layers.values() if node.input[1] == name)
        whole = weight.T if turned else weight
        step = np.maximum(np.abs(whole).max(axis=0), 1e-12).astype(np.float32) / np.float32(127)
        small = np.clip(np.round(whole / step), -127, 127).astype(np.int8)
        _replace(proto, name, {f"{name}_int8": small, f"{name}_step": step})
        if name not in in_layers:
            floats = helper.make_node("Cast", [f"{name}_int8"], [f"{name}_cast"], name=f"{name}_cast", to=1)
            nodes += [floats, helper.make_node("Mul", [f"{name}_cast", f"{name}_step"], [name], name=f"{name}_float")]
    rewritten = [part for node in proto.graph.node for part in _layer(proto, node, node.name in layers, scales)]
    del proto.graph.node[:]
    proto.graph.node.extend(rewritten)
    return _saved(proto, nodes)


def _layer(
    proto: onnx.ModelProto, node: onnx.NodeProto, is_layer: bool, scales: Mapping[str, Scale]
) -> Iterator[onnx.NodeProto]:
    """A MatMul or Gemm with integers, or the node as it is."""
    if not is_layer:
        yield node
        return
    given, weight, name = node.input[0], node.input[1], f"{node.name}_int8"
    small, zero, step = f"{name}_x", f"{name}_zero", f"{name}_scale"
    if given in scales:
        constants = {step: scales[given].scale, zero: scales[given].zero}
        proto.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in constants.items())
        yield helper.make_node("QuantizeLinear", [given, step, zero], [small], name=f"{name}_quantise")
    else:
        yield helper.make_node("DynamicQuantizeLinear", [given], [small, step, zero], name=f"{name}_quantise")
    yield helper.make_node("MatMulInteger", [small, f"{weight}_int8", zero], [f"{name}_sum"], name=f"{name}_product")
    yield helper.make_node("Cast", [f"{name}_sum"], [f"{name}_float"], name=f"{name}_cast", to=TensorProto.FLOAT)
    yield helper.make_node("Mul", [step, f"{weight}_step"], [f"{name}_both"], name=f"{name}_scales")
    has_bias = len(node.input) > 2 and bool(node.input[2])
    product = f"{name}_product_float" if has_bias else node.output[0]
    yield helper.make_node("Mul", [f"{name}_float", f"{name}_both"], [product], name=f"{name}_scaled")
    if has_bias:
        yield helper.make_node("Add", [product, node.input[2]], [node.output[0]], name=f"{name}_bias")


def _layers(proto: onnx.ModelProto) -> list[onnx.NodeProto]:
    """MatMul and plain Gemm nodes of the main graph whose large weight nothing else uses."""
    weights = _weights(proto)
    users = [(node, name) for node in _nodes(proto.graph) for name in node.input if name in weights]
    alone = {name for name in weights if sum(used == name for _, used in users) == 1}
    return [
        node
        for node in proto.graph.node
        if node.op_type in ("MatMul", "Gemm")
        and node.input[1] in alone
        and weights[node.input[1]].ndim == 2
        and _is_plain(node)
    ]


def _is_plain(node: onnx.NodeProto) -> bool:
    given = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    return given.get("alpha", 1.0) == given.get("beta", 1.0) == 1.0 and not given.get("transA", 0)


def _is_turned(node: onnx.NodeProto) -> bool:
    return any(attribute.name == "transB" and attribute.i for attribute in node.attribute)


def _weights(proto: onnx.ModelProto) -> dict[str, Array]:
    """Large float32 matrices that only MatMul, Gemm and Gather use, as their weight."""
    used: dict[str, bool] = {}
    for node in _nodes(proto.graph):
        for place, name in enumerate(node.input):
            used[name] = used.get(name, True) and WEIGHT.get(node.op_type) == place
    return {
        tensor.name: numpy_helper.to_array(tensor)
        for tensor in proto.graph.initializer
        if used.get(tensor.name)
        and tensor.data_type == TensorProto.FLOAT
        and len(tensor.dims) == 2
        and np.prod(tensor.dims) >= LARGE
    }


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.GRAPH:
                yield from _nodes(attribute.g)


def _replace(proto: onnx.ModelProto, name: str, arrays: Mapping[str, Array]) -> None:
    kept = [tensor for tensor in proto.graph.initializer if tensor.name != name]
    del proto.graph.initializer[:]
    proto.graph.initializer.extend(kept)
    proto.graph.initializer.extend(numpy_helper.from_array(array, key) for key, array in arrays.items())


def _saved(proto: onnx.ModelProto, first: list[onnx.NodeProto]) -> bytes:
    """With these nodes before the others."""
    nodes = [*first, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    return bytes(proto.SerializeToString(deterministic=True))


def _calibrated(proto: onnx.ModelProto, wanted: list[str], rows: Mapping[str, Array]) -> dict[str, Scale]:
    """The range of each tensor over the rows, as unsigned integers."""
    shown = onnx.ModelProto()
    shown.CopyFrom(proto)
    del shown.graph.output[:]
    shown.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in wanted)
    session = ort.InferenceSession(shown.SerializeToString(), providers=["CPUExecutionProvider"])
    found = {}
    for name, values in zip(wanted, session.run(wanted, dict(rows)), strict=True):
        low, high = min(float(values.min(initial=0)), 0.0), max(float(values.max(initial=0)), 0.0)
        scale = max(high - low, 1e-12) / 255
        found[name] = Scale(np.array(scale, np.float32), np.array(round(-low / scale), np.uint8))
    return found
