"""Writes an ONNX graph node by node. The same calls give the same bytes."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from lastmile.tensors import TensorSpec

OPSETS = {"": 21, "ai.onnx.ml": 4, "com.microsoft": 1}
IR_VERSION = 10
ELEMENTS = {
    "BOOL": TensorProto.BOOL,
    "UINT8": TensorProto.UINT8,
    "UINT16": TensorProto.UINT16,
    "UINT32": TensorProto.UINT32,
    "UINT64": TensorProto.UINT64,
    "INT8": TensorProto.INT8,
    "INT16": TensorProto.INT16,
    "INT32": TensorProto.INT32,
    "INT64": TensorProto.INT64,
    "FP16": TensorProto.FLOAT16,
    "FP32": TensorProto.FLOAT,
    "FP64": TensorProto.DOUBLE,
    "BYTES": TensorProto.STRING,
}


class Graph:
    """Tensors are their names; `add` gives the name of a node's first output, `constant` that of an array."""

    def __init__(self, prefix: str = "") -> None:
        self._prefix = prefix  # of all names: those of an inner graph must not be those of the outer one
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []

    def add(self, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> str:
        return self.several(operator, *inputs, count=1, domain=domain, **attributes)[0]

    def several(self, operator: str, *inputs: str, count: int, domain: str = "", **attributes: Any) -> list[str]:
        outputs = [f"{self._prefix}{operator.lower()}_{len(self._nodes)}_{index}" for index in range(count)]
        self._node(operator, inputs, outputs, domain, attributes)
        return outputs

    def named(self, output: str, operator: str, *inputs: str, domain: str = "", **attributes: Any) -> None:
        """A node that gives an output of the graph."""
        self._node(operator, inputs, [output], domain, attributes)

    def constant(self, values: Any, dtype: Any = None) -> str:
        array = np.array(values, dtype, order="C")
        name = f"{self._prefix}constant_{len(self._constants)}"
        if array.dtype.kind in "OU":
            texts: Any = [str(text).encode() for text in array.reshape(-1).tolist()]
            self._constants.append(helper.make_tensor(name, TensorProto.STRING, array.shape, texts))
        else:
            self._constants.append(numpy_helper.from_array(array, name))
        return name

    def integers(self, *values: int) -> str:
        return self.constant(values, np.int64)

    def cast(self, tensor: str, datatype: str) -> str:
        return self.add("Cast", tensor, to=ELEMENTS[datatype])

    def slice(self, tensor: str, start: int, end: int, axis: int) -> str:
        return self.add("Slice", tensor, self.integers(start), self.integers(end), self.integers(axis))

    def model(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], kind: str) -> bytes:
        """`kind` is kept in the model, for those who wonder where it came from."""
        graph = self.body(inputs, outputs, kind)
        used = {"", *_domains(graph)}
        opsets = [helper.make_opsetid(domain, version) for domain, version in OPSETS.items() if domain in used]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION, producer_name="lastmile")
        return bytes(model.SerializeToString(deterministic=True))

    def body(self, inputs: Iterable[TensorSpec], outputs: Iterable[TensorSpec], kind: str) -> onnx.GraphProto:
        """For an operator that repeats it; it may use the outer graph's tensors by their names."""
        return helper.make_graph(
            self._nodes, kind, [*map(_value, inputs)], [*map(_value, outputs)], initializer=self._constants
        )

    def _node(
        self, operator: str, inputs: tuple[str, ...], outputs: list[str], domain: str, attributes: dict[str, Any]
    ) -> None:
        name = f"{self._prefix}{operator}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operator, inputs, outputs, name=name, domain=domain, **attributes))


def encoder(graph: Graph, texts: str, known: Iterable[str], dtype: Any, otherwise: float, values: Any = None) -> str:
    """Each known text as its value (by default its number), any other as `otherwise`; the shape stays."""
    keys = list(known)
    codes = np.arange(len(keys), dtype=dtype) if values is None else np.asarray(values, dtype)
    kind = {"f": "floats", "i": "int64s"}[codes.dtype.kind]
    default = numpy_helper.from_array(np.array([otherwise], dtype))
    return graph.add(
        "LabelEncoder",
        texts,
        domain="ai.onnx.ml",
        keys_strings=keys or ["\0"],
        **{f"values_{kind}": codes.tolist() if keys else [otherwise], "default_tensor": default},
    )


def each(
    graph: Graph, rows: str, make: Callable[[Graph, str], Sequence[str]], outputs: Sequence[TensorSpec]
) -> list[str]:
    """What `make` adds to an inner graph for the number of one of the rows, for all of them beside each other. One row
    at a time takes memory for one, whatever the batch; the shapes of the outputs are those of one row."""
    inner = Graph("each_")
    for found, output in zip(make(inner, "each_row"), outputs, strict=True):
        inner.named(output.name, "Identity", found)
    inner.named("each_on", "Identity", "each_more")
    told = [TensorSpec("each_row", "INT64", ()), TensorSpec("each_more", "BOOL", ())]
    body = inner.body(told, [TensorSpec("each_on", "BOOL", ()), *outputs], "each")
    count = graph.add("Squeeze", graph.add("Shape", rows, start=0, end=1))
    return graph.several("Loop", count, graph.constant(True), count=len(outputs), body=body)


def _domains(graph: onnx.GraphProto) -> Iterator[str]:
    """Of all operators, in the bodies of loops too."""
    for node in graph.node:
        yield node.domain
        for attribute in node.attribute:
            yield from _domains(attribute.g)


def _value(tensor: TensorSpec) -> onnx.ValueInfoProto:
    shape: list[str | int | None] = [None if length == -1 else length for length in tensor.shape]
    return helper.make_tensor_value_info(tensor.name, ELEMENTS[tensor.datatype], shape)
