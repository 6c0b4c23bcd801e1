"""A model that answers as Triton does on SageMaker, where there is none: shapes, order, statuses and all.

A reader and writer of its own: what is sent is not read by what has written it. Tests ask a real Triton the same.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import orjson

from lastmile.binary import array_from_binary, array_to_binary
from lastmile.errors import InvalidInput, LastmileError
from lastmile.heavy.backend import rows_of
from lastmile.heavy.triton import VERSION, row_shape
from lastmile.heavy.wire import BINARY, HEADER_SIZE, Payload
from lastmile.loaded import Loaded
from lastmile.tensors import DATATYPES, Array, TensorSpec, array_from_json

PREFIX = f"{BINARY};{HEADER_SIZE}"
NO_JSON = "FP16"  # Triton has no JSON for it

type Document = Mapping[str, Any]


class TritonError(LastmileError):
    """What is wrong, with the status that Triton gives it: JSON that cannot be read is 500, a wrong request 400."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def run(loaded: Loaded, content_type: str, body: bytes) -> Payload:
    """Raises TritonError."""
    try:
        document, binary = _split(content_type, body)
        feeds = _feeds(document, binary, loaded.inputs)
        wanted = _wanted(document, loaded.outputs)
        _check(feeds, loaded)
        graph = {name: array.reshape(-1) if _is_single(loaded.inputs[name]) else array for name, array in feeds.items()}
        arrays = loaded.model.run(list(wanted), graph)
    except InvalidInput as error:
        raise TritonError(400, str(error)) from error
    answer = {"model_name": loaded.manifest.model, "model_version": str(VERSION)}
    if "id" in document:
        answer["id"] = document["id"]
    found = dict(zip(wanted, arrays, strict=True))
    return _written(answer, found, {name: loaded.outputs[name] for name in wanted}, wanted)


def _split(content_type: str, body: bytes) -> tuple[Document, memoryview]:
    """Any content type but the one is JSON, also the one with a space in it."""
    end = len(body)
    if content_type.startswith(PREFIX):
        size = content_type.removeprefix(PREFIX)
        if not (size.isascii() and size.isdigit() and 0 < int(size) <= end):
            raise InvalidInput(f"inference header size should be in range (0, {end}), got: {size:.20}")
        end = int(size)
    if not end:
        raise InvalidInput("Raw request must only have 1 input to be deduced")
    try:
        document = orjson.loads(body[:end])
    except orjson.JSONDecodeError as error:
        raise TritonError(500, f"failed to parse the request JSON buffer: {error}") from error
    if type(document) is not dict or type(document.get("id", "")) is not str:
        raise TritonError(500, "Unable to parse 'inputs' or 'id'")
    return document, memoryview(body)[end:]


def _feeds(document: Document, binary: memoryview, inputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    feeds: dict[str, Array] = {}
    at = 0
    for tensor in _objects(document, "inputs"):
        name, datatype, shape = (_member(tensor, key) for key in ("name", "datatype", "shape"))
        spec = inputs.get(name)
        if spec is None:
            raise InvalidInput(f"unexpected inference input '{name}'")
        if name in feeds:
            raise InvalidInput(f"input '{name}' already exists in request")
        if datatype not in DATATYPES:
            raise InvalidInput(f"invalid datatype for input {name}")
        size = _parameters(tensor).get("binary_data_size")
        if size is None:
            array = _from_json(tensor, name, datatype, shape)
        else:
            if type(size) is not int or size < 0:
                raise TritonError(500, f"Unable to parse 'binary_data_size' of {name}")
            if size > len(binary) - at:
                raise InvalidInput(f"unexpected size for input '{name}', expecting {size} bytes")
            array = array_from_binary(binary[at : at + size], DATATYPES[datatype], shape, name)
            at += size
        if datatype != spec.datatype:
            raise InvalidInput(f"inference input '{name}' data-type is '{datatype}', the model has '{spec.datatype}'")
        feeds[name] = array
    if at != len(binary):
        raise InvalidInput("unexpected additional input data")
    return feeds


def _from_json(tensor: Document, name: str, datatype: str, shape: Sequence[int]) -> Array:
    """Nested in whatever way: only the number of elements counts."""
    if datatype == NO_JSON:
        raise InvalidInput(f"receiving {NO_JSON} data via JSON is not supported. Use binary data for input {name}")
    if "data" not in tensor:
        raise InvalidInput(f"Input must set only one of the following fields: 'data', … ({name})")
    try:
        return array_from_json(list(_flat(tensor["data"])), DATATYPES[datatype], name, shape=shape)
    except InvalidInput as error:
        raise TritonError(500, f"Unable to parse 'data': {error}") from error


def _wanted(document: Document, outputs: Mapping[str, TensorSpec]) -> dict[str, bool]:
    """The outputs asked for (none: all), in the model's order, and whether each is wanted as binary data."""
    asked = {
        _member(output, "name"): _parameters(output).get("binary_data", False)
        for output in (_objects(document, "outputs") if "outputs" in document else ())
    }
    for name in asked:
        if name not in outputs:
            raise InvalidInput(f"unexpected inference output '{name}'")
    if not asked:
        asked = dict.fromkeys(outputs, _parameters(document).get("binary_data_output", False))
    return {name: asked[name] for name in outputs if name in asked}


def _check(feeds: Mapping[str, Array], loaded: Loaded) -> None:
    if missing := [name for name in loaded.inputs if name not in feeds]:
        raise InvalidInput(f"expected {len(loaded.inputs)} inputs but got {len(feeds)}, missing {missing}")
    rows = rows_of(feeds)
    for name, array in feeds.items():
        wanted = row_shape(loaded.inputs[name])
        if array.ndim != len(wanted) + 1 or any(
            length not in (-1, found) for length, found in zip(wanted, array.shape[1:], strict=True)
        ):
            raise InvalidInput(f"unexpected shape for input '{name}'. Expected {[-1, *wanted]}, got {[*array.shape]}")
        if array.shape[0] != rows:
            raise InvalidInput(f"input '{name}' batch size does not match other inputs")
    most = loaded.manifest.policy["heavy"]["max_batch"]
    if not 0 < rows <= most:
        raise InvalidInput(f"inference request batch-size must be <= {most} for '{loaded.manifest.model}', and > 0")


def _written(
    answer: dict[str, Any], found: Mapping[str, Array], specs: Mapping[str, TensorSpec], is_binary: Mapping[str, bool]
) -> Payload:
    outputs, parts = [], []
    for name, array in found.items():
        shape = [len(array), *row_shape(specs[name])] if _is_single(specs[name]) else [*array.shape]
        output: dict[str, Any] = {"name": name, "datatype": specs[name].datatype, "shape": shape}
        if is_binary[name]:
            parts.append(array_to_binary(array))
            output["parameters"] = {"binary_data_size": len(parts[-1])}
        elif specs[name].datatype == NO_JSON:
            raise TritonError(400, f"sending {NO_JSON} data via JSON is not supported. Use binary data for the output")
        else:
            output["data"] = array.reshape(-1).tolist()
        outputs.append(output)
    header = json.dumps(
        {**answer, "outputs": outputs}, ensure_ascii=False
    ).encode()  # NaN is written so, as Triton does
    if not parts:
        return Payload("application/json", header)
    return Payload(f"{PREFIX}{len(header)}", b"".join((header, *parts)))


def _is_single(spec: TensorSpec) -> bool:
    """Triton has an axis more where a row is one value, and takes it away for the graph."""
    return len(spec.shape) == 1


def _objects(document: Document, key: str) -> list[Document]:
    found = document.get(key)
    if type(found) is not list or any(type(entry) is not dict for entry in found):
        raise TritonError(500, f"Unable to parse '{key}': attempt to access JSON non-array as array")
    return found


def _member(tensor: Document, key: str) -> Any:
    found = tensor.get(key)
    if key == "shape":
        is_right = type(found) is list and all(type(length) is int and length >= 0 for length in found)
    else:
        is_right = type(found) is str
    if not is_right:
        raise TritonError(500, f"Unable to parse '{key}'")
    return found


def _parameters(document: Document) -> Document:
    found = document.get("parameters", {})
    if type(found) is not dict:
        raise TritonError(500, "Unable to parse 'parameters'")
    return found


def _flat(data: Any) -> Iterator[Any]:
    if type(data) is list:
        for item in data:
            yield from _flat(item)
    else:
        yield data
