"""Requests to the two small models: rows, and the tables of what is answered, refused and not understood."""

import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.triton import config
from lastmile.heavy.wire import BINARY, HEADER_SIZE, Payload, encode
from lastmile.policies import Heavy
from lastmile.tensors import DATATYPES, Array, Signature, TensorSpec
from tests.triton.graphs import EVERY, PLAIN, every, plain

MOST_ROWS = 8
HEAVY = Heavy("always", max_batch=MOST_ROWS)
MODELS: Mapping[str, tuple[Signature, bytes]] = {"every": (EVERY, every()), "plain": (PLAIN, plain())}
TEXTS = ("", "plain", 'é日本\n"quoted"', "x" * 300)

type Feeds = dict[str, Array]
type Document = dict[str, Any]


def package(model: str, heavy: Heavy = HEAVY, *, gpu: bool = False) -> bytes:
    signature, onnx = MODELS[model]
    return packed(Repository(model, config(model, signature, heavy, gpu=gpu), onnx))


def specs(tensors: tuple[TensorSpec, ...]) -> dict[str, TensorSpec]:
    return {spec.name: spec for spec in tensors}


def feeds(model: str, rows: int, seed: int = 0) -> Feeds:
    generator = np.random.default_rng(seed)
    return {spec.name: _random(generator, spec, (rows, *spec.shape[1:])) for spec in MODELS[model][0].inputs}


def _random(generator: np.random.Generator, spec: TensorSpec, shape: tuple[int, ...]) -> Array:
    """Whole numbers, the extremes among them, so that sums are exact."""
    dtype = DATATYPES[spec.datatype].dtype
    if spec.datatype == "BYTES":
        return generator.choice(np.array(TEXTS, object), shape)
    if dtype.kind in "fb":
        return generator.integers(-20, 20, shape).astype(dtype)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    return generator.integers(low, high, shape, dtype.newbyteorder("="), endpoint=True).astype(dtype)


def document() -> Document:
    """A request of two rows in JSON, for outputs of which each has a form in JSON."""
    return {
        "id": "7",
        "inputs": [
            {"name": "x", "datatype": "FP32", "shape": [2, 4], "data": [1, 2, 3, 4, 5.5, 6, 7, -8]},
            {"name": "count", "datatype": "INT64", "shape": [2, 1], "data": [5, -6]},
            {"name": "text", "datatype": "BYTES", "shape": [2, 1], "data": ["é", 'b"\n']},
        ],
        "outputs": [{"name": name} for name in ("label", "scores", "next", "same")],
    }


def as_json(wanted: Document, content_type: str = "application/json") -> Payload:
    return Payload(content_type, json.dumps(wanted).encode())


def binary(change: Callable[[Document], object] = lambda _: None, *, spaces: int = 0, **arrays: Array) -> Payload:
    """A request as the client writes it, with another header; batches put spaces behind it."""
    wanted = encode({**feeds("plain", 2), **arrays}, specs(PLAIN.inputs), specs(PLAIN.outputs), "7")
    size = int(wanted.content_type.rpartition("=")[2])
    header = json.loads(wanted.body[:size])
    change(header)
    written = json.dumps(header).encode() + b" " * spaces
    return Payload(f"{BINARY};{HEADER_SIZE}{len(written)}", written + wanted.body[size:])


def changed(tensor: int = 0, **members: Any) -> Document:
    """One input of the request in JSON is another; a member that is None is not there."""
    wanted = copy.deepcopy(document())
    entry = {**wanted["inputs"][tensor], **members}
    wanted["inputs"][tensor] = {name: value for name, value in entry.items() if value is not None}
    return wanted


def first(**members: Any) -> Callable[[Document], object]:
    return lambda header: header["inputs"][0].update(members)


def asking(*outputs: Document, **more: Any) -> Document:
    return {**document(), "outputs": list(outputs), **more}


ANSWERED: Mapping[str, Payload] = {
    "binary": binary(),
    "binary, without an id": binary(lambda header: header.pop("id")),
    "binary, with spaces behind the header": binary(spaces=200),
    "binary, answered in JSON": binary(lambda header: header.update(outputs=[{"name": "scores"}, {"name": "same"}])),
    "binary, NaN answered in JSON": binary(
        lambda header: header.update(outputs=[{"name": "scores"}]), x=np.full((2, 4), np.nan, np.float32)
    ),
    "JSON": as_json(document()),
    "JSON with a charset": as_json(document(), "application/json; charset=utf-8"),
    "JSON as text": as_json(document(), "text/plain"),
    "nested": as_json(changed(data=[[1, 2, 3, 4], [5, 6, 7, 8]])),
    "nested otherwise": as_json(changed(data=[[1, 2], [3, 4], [5, 6], [7, 8]])),
    "outputs the other way round": as_json(asking({"name": "next"}, {"name": "label"})),
    "an output twice": as_json(asking({"name": "next"}, {"name": "next"})),
    "one output in binary": as_json(asking({"name": "next"}, {"name": "half", "parameters": {"binary_data": True}})),
    "all outputs in binary": as_json(
        {"inputs": document()["inputs"], "parameters": {"binary_data_output": True}, "outputs": []}
    ),
    "all in binary, but those named": as_json(asking({"name": "next"}, parameters={"binary_data_output": True})),
}


def rows(count: int) -> Document:
    """The same row so often, and no more."""
    inputs = [
        {**tensor, "shape": [count, columns := tensor["shape"][1]], "data": tensor["data"][:columns] * count}
        for tensor in document()["inputs"]
    ]
    return {**document(), "inputs": inputs}


REFUSED: Mapping[str, tuple[Payload, str]] = {
    "an unknown input": (binary(first(name="nope")), "nope"),
    "an input twice": (as_json({**document(), "inputs": [*document()["inputs"], document()["inputs"][0]]}), "x"),
    "an input missing": (as_json({**document(), "inputs": document()["inputs"][:2]}), "text"),
    "no inputs": (as_json({**document(), "inputs": []}), "text"),
    "an unknown output": (as_json(asking({"name": "nope"})), "nope"),
    "too few columns": (as_json(changed(shape=[2, 2], data=[1, 2, 3, 4])), "x"),
    "rows and columns exchanged": (binary(first(shape=[4, 2])), "x"),
    "no axis for one value": (as_json(changed(1, shape=[2])), "count"),
    "an axis more": (as_json(changed(shape=[1, 2, 4])), "x"),
    "an axis less": (as_json(changed(shape=[8])), "x"),
    "rows that differ": (as_json(changed(1, shape=[3, 1], data=[1, 2, 3])), "count"),
    "another datatype": (as_json(changed(1, datatype="INT32")), "count"),
    "another datatype in binary": (binary(first(datatype="INT32")), "x"),
    "no datatype": (as_json(changed(datatype="NOPE")), "x"),
    "no data": (as_json(changed(data=None)), ""),
    "more rows than a batch": (as_json(rows(MOST_ROWS + 1)), "must be <= 8"),
    "no rows": (as_json(rows(0)), ""),
    "halves in JSON": (as_json({"inputs": document()["inputs"]}), "FP16 data via JSON is not supported"),
    "data cut short": (Payload(binary().content_type, binary().body[:-3]), "text"),
    "data too long": (Payload(binary().content_type, binary().body + b"1234"), "additional"),
    "a size that does not fit": (binary(first(parameters={"binary_data_size": 30})), ""),
    "a header longer than the body": (
        Payload(f"{BINARY};{HEADER_SIZE}99999", binary().body),
        "inference header size should be in range",
    ),
    "a header of no size": (Payload(f"{BINARY};{HEADER_SIZE}x", binary().body), ""),
    "nothing": (Payload("application/json", b""), ""),
}
UNREADABLE: Mapping[str, Payload] = {
    "text": Payload("application/json", b"hello"),
    "a list": Payload("application/json", b"[]"),
    "an empty object": Payload("application/json", b"{}"),
    "inputs that are no list": as_json({"inputs": {}}),
    "a number as id": as_json({**document(), "id": 5}),
    "no name": as_json(changed(name=None)),
    "no shape": as_json(changed(shape=None)),
    "a shape below zero": as_json(changed(shape=[-2, -4])),
    "too few elements": as_json(changed(data=[1, 2, 3])),
    "too many elements": as_json(changed(data=[1] * 9)),
    "text for a number": as_json(changed(data=["a"] * 8)),
    "a fraction for a whole number": as_json(changed(1, data=[1.5, 2])),
    "a number for text": as_json(changed(2, data=[1, 2])),
    "null": as_json(changed(data=[None] * 8)),
    "a size that is no number": binary(first(parameters={"binary_data_size": "32"})),
}
