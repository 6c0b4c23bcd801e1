"""The Open Inference Protocol (v2) over HTTP, JSON and binary, as KServe, Triton and MLServer speak it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_rest.md and Triton's
binary tensor data extension.
"""

from typing import Any

from lastmile import __version__
from lastmile.binary import array_from_binary, array_to_binary
from lastmile.errors import InvalidInput
from lastmile.predictor import Prediction, Predictor, Served
from lastmile.protocols.messages import (
    Request,
    Response,
    as_list,
    as_object,
    as_text,
    json_response,
    parse_json,
    provenance,
    tier_headers,
    version_number,
)
from lastmile.protocols.plans import Plan, remember
from lastmile.tensors import (
    DATATYPES,
    Array,
    TensorSpec,
    array_from_json,
    array_to_json,
    check_datatype,
    check_shape,
    dump_json,
)

HEADER_LENGTH = "inference-header-content-length"
EXTENSIONS = ["binary_tensor_data"]


def infer(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    """Tensors in, tensors out."""
    body = request.content()
    end = _header_end(body, request.headers.get(HEADER_LENGTH))
    number = None if version is None else version_number(version)
    served: Served | None = None
    if end is not None and b'"id"' not in (header := body[:end]):
        served = predictor.resolve(model, version=number, routing_key=request.routing_key())
        plan: Plan | None = served.loaded.plans.get(header)
        if plan is not None and len(body) == end + plan.size:
            prediction = plan.run(predictor, served, body, end)
            return _planned(plan, prediction) or _answer(served, prediction, set(prediction.outputs), None, plan)
    document, binary = _split(body, end)
    request_id = document.get("id")
    if request_id is not None:
        as_text(request_id, "id")
    if served is None:
        served = predictor.resolve(model, version=number, routing_key=request.routing_key(request_id or None))
    feeds = _feeds(document, binary, served)
    names, as_binary = _wanted(document, served)
    prediction = predictor.run(served, feeds, names)
    plan = None
    whole_binary = sum([array.nbytes for array in feeds.values()]) == len(binary)  # nothing came as JSON
    if end is not None and whole_binary and request_id is None and as_binary == prediction.outputs.keys():
        plan = remember(served.loaded, body[:end], feeds, prediction, names=names)
    return _answer(served, prediction, as_binary, request_id, plan)


def _answer(
    served: Served, prediction: Prediction, as_binary: set[str], request_id: str | None, plan: Plan | None
) -> Response:
    answer: dict[str, Any] = {"model_name": prediction.model, "model_version": str(prediction.version)}
    if request_id is not None:
        answer["id"] = request_id
    promised = served.loaded.outputs
    outputs: list[dict[str, Any]] = []
    answer["outputs"] = outputs
    parts: list[bytes] = []
    for name, array in prediction.outputs.items():
        output: dict[str, Any] = {"name": name, "datatype": promised[name].datatype, "shape": array.shape}
        if name in as_binary:
            part = array_to_binary(array)
            output["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
        else:
            output["data"] = array_to_json(array, f"output '{name}'")
        outputs.append(output)
    if not parts and not as_binary:
        return json_response(answer, prediction)
    header = dump_json(answer)
    if plan is not None:
        plan.keep(prediction, header)
    return _binary(prediction, header, parts)


def _planned(plan: Plan, prediction: Prediction) -> Response | None:
    header = plan.header(prediction)
    if header is None:
        return None
    return _binary(prediction, header, [array.tobytes() for array in prediction.outputs.values()])


def _binary(prediction: Prediction, header: bytes, parts: list[bytes]) -> Response:
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(header)), **provenance(prediction)}
    if prediction.tier is not None:
        headers.update(tier_headers(prediction.tier))
    return Response(200, headers, b"".join((header, *parts)))


def server_metadata(predictor: Predictor, request: Request) -> Response:
    return json_response({"name": "lastmile", "version": __version__, "extensions": EXTENSIONS})


def server_live(predictor: Predictor, request: Request) -> Response:
    return json_response({"live": True})


def server_ready(predictor: Predictor, request: Request) -> Response:
    return json_response({"ready": True})


def model_metadata(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    served = _resolve(predictor, model, version)
    signature = served.loaded.manifest.signature
    return json_response(
        {
            "name": model,
            "versions": [str(served.version)],
            "platform": "onnx_onnxv1",
            "inputs": [_described(spec) for spec in signature.inputs],
            "outputs": [_described(spec) for spec in signature.outputs],
        }
    )


def model_ready(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    _resolve(predictor, model, version)
    return json_response({"name": model, "ready": True})


def error_response(status: int, message: str) -> Response:
    return json_response({"error": message}, status=status)


def _resolve(predictor: Predictor, model: str, version: str | None) -> Served:
    return predictor.resolve(model, version=None if version is None else version_number(version))


def _described(spec: TensorSpec) -> dict[str, Any]:
    described: dict[str, Any] = {"name": spec.name, "datatype": spec.datatype, "shape": spec.shape}
    if spec.columns:
        described["parameters"] = {"columns": dump_json(spec.columns).decode()}  # a parameter is no list
    return described


def _header_end(body: bytes, header_length: str | None) -> int | None:
    """Where the JSON header ends and the binary data begins; None where all of the body is JSON."""
    if header_length is None:
        return None
    if not (header_length.isascii() and header_length.isdigit() and len(header_length) <= 12):
        raise InvalidInput(f"Inference-Header-Content-Length is '{header_length[:40]}', a number of bytes is wanted")
    length = int(header_length)
    if length > len(body):
        raise InvalidInput(f"Inference-Header-Content-Length is {length}, the body has only {len(body)} bytes")
    return length


def _split(body: bytes, end: int | None) -> tuple[dict[str, Any], memoryview]:
    """The JSON object and the binary data behind it."""
    if end is None:
        return as_object(parse_json(body, "the body"), "the body"), memoryview(b"")
    view = memoryview(body)
    return as_object(parse_json(view[:end], "the JSON header"), "the JSON header"), view[end:]


def _feeds(document: dict[str, Any], binary: memoryview, served: Served) -> dict[str, Array]:
    specs = served.loaded.inputs
    feeds: dict[str, Array] = {}
    at = 0
    entries = document.get("inputs")
    for index, entry in enumerate(entries if type(entries) is list else as_list(entries, "inputs")):
        tensor = entry if type(entry) is dict else as_object(entry, f"inputs[{index}]")
        found = tensor.get("name")
        name: str = found if type(found) is str else as_text(found, f"inputs[{index}].name")
        where = f"input '{name}'"
        spec = specs.get(name)
        if spec is None:
            raise InvalidInput(f"{where} is unknown; the model takes {', '.join(specs)}")
        if name in feeds:
            raise InvalidInput(f"{where} is given twice")
        given = tensor.get("datatype")
        if given != spec.datatype:
            check_datatype(where, given)
            raise InvalidInput(f"{where}: datatype is {given}, the model takes {spec.datatype}")
        datatype = DATATYPES[spec.datatype]
        shape = check_shape(where, tensor.get("shape"))
        parameters = tensor.get("parameters")
        size = None if parameters is None else _binary_size(as_object(parameters, f"{where}: parameters"), where)
        if size is None:
            if "data" not in tensor:
                raise InvalidInput(f"{where} has no data")
            feeds[name] = array_from_json(tensor["data"], datatype, where, shape=shape, nullable=spec.nullable)
            continue
        if "data" in tensor:
            raise InvalidInput(f"{where} has both data and binary_data_size")
        if at + size > len(binary):
            raise InvalidInput(
                f"{where}: binary_data_size is {size}, only {len(binary) - at} bytes are left in the body"
            )
        feeds[name] = array_from_binary(binary[at : at + size], datatype, shape, where)
        at += size
    if at != len(binary):
        raise InvalidInput(f"{len(binary) - at} bytes of the body belong to no input")
    return feeds


def _binary_size(parameters: dict[str, Any], where: str) -> int | None:
    if "shared_memory_region" in parameters:
        raise InvalidInput(f"{where}: shared memory is not supported; send the data")
    size = parameters.get("binary_data_size")
    if size is None:
        return None
    if type(size) is not int or size < 0:
        raise InvalidInput(f"{where}: binary_data_size must be a number of bytes")
    return size


def _wanted(document: dict[str, Any], served: Served) -> tuple[list[str] | None, set[str]]:
    """The outputs asked for, in that order (None: all), and which of them as binary data."""
    specs = served.loaded.outputs
    all_binary = _flag(document.get("parameters"), "binary_data_output", "parameters")
    entries = document.get("outputs")
    if entries is None:
        return None, set(specs) if all_binary else set()
    names: list[str] = []
    as_binary: set[str] = set()
    for index, entry in enumerate(as_list(entries, "outputs")):
        output = as_object(entry, f"outputs[{index}]")
        name = as_text(output.get("name"), f"outputs[{index}].name")
        if name not in specs:
            raise InvalidInput(f"output '{name}' is unknown; the model gives {', '.join(specs)}")
        if name in names:
            raise InvalidInput(f"output '{name}' is asked for twice")
        names.append(name)
        parameters = output.get("parameters")
        if isinstance(parameters, dict) and parameters.get("classification"):
            raise InvalidInput(f"output '{name}': the classification extension is not supported")
        if _flag(parameters, "binary_data", f"output '{name}': parameters", otherwise=all_binary):
            as_binary.add(name)
    return names or None, as_binary


def _flag(parameters: Any, name: str, where: str, *, otherwise: bool = False) -> bool:
    if parameters is None:
        return otherwise
    value = as_object(parameters, where).get(name, otherwise)
    if type(value) is not bool:
        raise InvalidInput(f"{where}.{name} must be true or false")
    return value
