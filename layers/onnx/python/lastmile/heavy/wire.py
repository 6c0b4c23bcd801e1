"""What is sent to a Triton on SageMaker and what comes back: the Open Inference Protocol with binary tensors.

https://github.com/triton-inference-server/server/blob/main/docs/protocol/extension_binary_data.md
"""

from collections.abc import Iterable, Mapping
from json import JSONDecoder
from typing import Any, NamedTuple

import orjson

from lastmile.binary import array_from_binary, array_to_binary
from lastmile.errors import EndpointUnavailable, InvalidInput
from lastmile.tensors import (
    DATATYPES,
    Array,
    TensorSpec,
    array_from_json,
    check_fits,
    check_shape,
)

BINARY = "application/vnd.sagemaker-triton.binary+json"
HEADER_SIZE = "json-header-size="


class Payload(NamedTuple):
    content_type: str
    body: bytes


def encode(
    feeds: Mapping[str, Array], inputs: Mapping[str, TensorSpec], names: Iterable[str], request_id: str
) -> Payload:
    """Binary: every datatype of ours has that form. `names` are the outputs wanted."""
    tensors, parts = [], []
    for name, array in feeds.items():
        data = array_to_binary(array)
        size = {"binary_data_size": len(data)}
        shape = array.shape if array.ndim > 1 else (*array.shape, 1)  # as in its config: heavy/triton.py, row_shape
        described = {"name": name, "datatype": inputs[name].datatype, "shape": shape, "parameters": size}
        tensors.append(described)
        parts.append(data)
    wanted = [{"name": name, "parameters": {"binary_data": True}} for name in names]
    header = orjson.dumps({"id": request_id, "inputs": tensors, "outputs": wanted})
    return Payload(f"{BINARY};{HEADER_SIZE}{len(header)}", b"".join((header, *parts)))


def decode(
    content_type: str, body: bytes, outputs: Mapping[str, TensorSpec], names: Iterable[str], rows: int
) -> list[Array]:
    """The outputs of these names, each as the signature promises it and for so many rows; raises EndpointUnavailable
    (garbage) for whatever else came."""
    try:
        header, binary = _split(content_type, body)
        found = _arrays(header, binary, outputs)
        return [_promised(found, outputs[name], rows) for name in names]
    except (InvalidInput, orjson.JSONDecodeError) as error:
        raise EndpointUnavailable("garbage", f"the endpoint answers with garbage: {error}") from error


def stored_type(body: bytes) -> str:
    """The content type of an answer that was stored without it: the JSON header itself says where it ends."""
    try:
        _, end = JSONDecoder().raw_decode(body.decode("latin-1"))  # one character for each byte
    except (ValueError, RecursionError) as error:
        raise EndpointUnavailable("garbage", f"the endpoint answers with garbage: {error}") from error
    return f"{BINARY};{HEADER_SIZE}{end}"


def _split(content_type: str, body: bytes) -> tuple[Mapping[str, Any], memoryview]:
    kind, _, parameter = content_type.partition(";")
    end = len(body)
    if kind.strip() == BINARY:
        size = parameter.strip().removeprefix(HEADER_SIZE)
        if not (size.isascii() and size.isdigit() and len(size) <= 12 and int(size) <= end):
            raise InvalidInput(f"content type {content_type:.100}, {end} bytes")
        end = int(size)
    header = orjson.loads(body[:end])
    if type(header) is not dict or type(header.get("outputs")) is not list:
        raise InvalidInput("it has no outputs")
    return header, memoryview(body)[end:]


def _arrays(header: Mapping[str, Any], binary: memoryview, outputs: Mapping[str, TensorSpec]) -> dict[str, Array]:
    arrays: dict[str, Array] = {}
    at = 0
    for tensor in header["outputs"]:
        name = tensor.get("name") if type(tensor) is dict else None
        spec = outputs.get(name) if isinstance(name, str) else None
        if spec is None:
            raise InvalidInput(f"output {name!r:.60} is unknown")
        where = f"output '{spec.name}'"
        if tensor.get("datatype") != spec.datatype:
            raise InvalidInput(f"{where} is {tensor.get('datatype')!r:.20}, {spec.datatype} was promised")
        shape = check_shape(where, tensor.get("shape"))
        parameters = tensor.get("parameters")
        size = parameters.get("binary_data_size") if type(parameters) is dict else None
        if size is None:
            data = tensor.get("data")
            arrays[spec.name] = array_from_json(data, DATATYPES[spec.datatype], where, shape=shape, nullable=True)
            continue
        if type(size) is not int or not 0 <= size <= len(binary) - at:
            raise InvalidInput(f"{where}: binary_data_size is {size!r:.20}, {len(binary) - at} bytes are left")
        arrays[spec.name] = array_from_binary(binary[at : at + size], DATATYPES[spec.datatype], shape, where)
        at += size
    if at != len(binary):
        raise InvalidInput(f"{len(binary) - at} bytes belong to no output")
    return arrays


def _promised(found: Mapping[str, Array], spec: TensorSpec, rows: int) -> Array:
    if spec.name not in found:
        raise InvalidInput(f"output '{spec.name}' is missing")
    array = found[spec.name]
    if len(spec.shape) == 1 and array.shape == (rows, 1):  # as Triton's config says: heavy/triton.py, row_shape
        array = array.reshape(rows)
    check_fits(spec, array, f"output '{spec.name}'")
    if array.shape[:1] != (rows,):
        raise InvalidInput(f"output '{spec.name}' has shape {list(array.shape)} for {rows} rows")
    return array
