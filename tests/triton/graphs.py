"""Two small real graphs, whose answers are exact whatever adds them up and in whatever order."""

from collections.abc import Iterable

import numpy as np
from onnx import GraphProto, TensorProto, ValueInfoProto, helper, numpy_helper

from lastmile.tensors import DATATYPES, Signature, TensorSpec

OPSET = 17
KINDS = {
    "BOOL": TensorProto.BOOL,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
} | {f"{sign}INT{bits}": getattr(TensorProto, f"{sign}INT{bits}") for sign in ("", "U") for bits in (8, 16, 32, 64)}

EVERY = Signature(
    tuple(TensorSpec(kind.lower(), kind, shape) for kind in DATATYPES for shape in [(-1, 3)])
    + tuple(TensorSpec(f"one_{kind.lower()}", kind, (-1,)) for kind in DATATYPES),
    tuple(TensorSpec(f"same_{kind.lower()}", kind, (-1, 3)) for kind in DATATYPES)
    + tuple(TensorSpec(f"same_one_{kind.lower()}", kind, (-1,)) for kind in DATATYPES),
)
PLAIN = Signature(
    (TensorSpec("x", "FP32", (-1, 4)), TensorSpec("count", "INT64", (-1,)), TensorSpec("text", "BYTES", (-1,))),
    (
        TensorSpec("label", "INT64", (-1,)),
        TensorSpec("scores", "FP32", (-1, 3)),
        TensorSpec("half", "FP16", (-1, 3)),
        TensorSpec("next", "INT64", (-1,)),
        TensorSpec("same", "BYTES", (-1,)),
    ),
)


def every() -> bytes:
    """Each datatype, as one value and as three in a row, comes back as it is."""
    nodes = [helper.make_node("Identity", [spec.name], [f"same_{spec.name}"]) for spec in EVERY.inputs]
    return _file(helper.make_graph(nodes, "every", _values(EVERY.inputs), _values(EVERY.outputs)))


def plain() -> bytes:
    """Weights of whole numbers over a matrix, with text and a count beside it."""
    weights = np.random.default_rng(0).integers(-8, 8, (4, 3)).astype(np.float32)
    nodes = [
        helper.make_node("MatMul", ["x", "weights"], ["scores"]),
        helper.make_node("ArgMax", ["scores"], ["label"], axis=1, keepdims=0),
        helper.make_node("Cast", ["scores"], ["half"], to=TensorProto.FLOAT16),
        helper.make_node("Add", ["count", "one"], ["next"]),
        helper.make_node("Identity", ["text"], ["same"]),
    ]
    constants = [numpy_helper.from_array(weights, "weights"), numpy_helper.from_array(np.array([1]), "one")]
    return _file(helper.make_graph(nodes, "plain", _values(PLAIN.inputs), _values(PLAIN.outputs), constants))


def _values(specs: Iterable[TensorSpec]) -> list[ValueInfoProto]:
    return [helper.make_tensor_value_info(spec.name, KINDS[spec.datatype], ["rows", *spec.shape[1:]]) for spec in specs]


def _file(graph: GraphProto) -> bytes:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())
