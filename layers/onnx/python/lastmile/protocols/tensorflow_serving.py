"""The REST API of TensorFlow Serving: predict in row and column format, status, metadata.

https://www.tensorflow.org/tfx/serving/api_rest
"""

from typing import Any

from lastmile.errors import InvalidInput
from lastmile.predictor import Predictor, Served
from lastmile.protocols.messages import Request, Response, as_list, json_response, version_number
from lastmile.protocols.rows import columns_of, feeds_from_columns, feeds_from_instances, rows_of
from lastmile.tensors import TensorSpec

SIGNATURE_NAME = "serving_default"
DT = {
    "BOOL": "DT_BOOL",
    "UINT8": "DT_UINT8",
    "UINT16": "DT_UINT16",
    "UINT32": "DT_UINT32",
    "UINT64": "DT_UINT64",
    "INT8": "DT_INT8",
    "INT16": "DT_INT16",
    "INT32": "DT_INT32",
    "INT64": "DT_INT64",
    "FP16": "DT_HALF",
    "FP32": "DT_FLOAT",
    "FP64": "DT_DOUBLE",
    "BYTES": "DT_STRING",
}
# TensorFlow users call the serving version "stable" and the one on trial "canary".
LABELS = {"stable": "champion", "canary": "challenger"}


def predict(
    predictor: Predictor, request: Request, model: str, version: str | None = None, label: str | None = None
) -> Response:
    """`{"instances": […]}` gives `predictions`, a value per row; `{"inputs": …}` gives `outputs`, by column."""
    document = request.json_object()
    signature_name = document.get("signature_name", SIGNATURE_NAME)
    if signature_name not in ("", SIGNATURE_NAME):
        raise InvalidInput(f"signature_name {signature_name!r:.60} is unknown; there is {SIGNATURE_NAME}")
    if ("instances" in document) == ("inputs" in document):
        raise InvalidInput("the body needs either instances (rows) or inputs (columns)")
    served = _resolve(predictor, model, version, label, request.routing_key())
    if "instances" in document:
        feeds = feeds_from_instances(as_list(document["instances"], "instances"), served)
        prediction = predictor.run(served, feeds)
        return json_response({"predictions": rows_of(prediction.outputs)}, prediction)
    prediction = predictor.run(served, feeds_from_columns(document["inputs"], served))
    return json_response({"outputs": columns_of(prediction.outputs)}, prediction)


def status(
    predictor: Predictor, request: Request, model: str, version: str | None = None, label: str | None = None
) -> Response:
    served = _resolve(predictor, model, version, label)
    entry = {
        "version": str(served.version),
        "state": "AVAILABLE",
        "status": {"error_code": "OK", "error_message": ""},
    }
    return json_response({"model_version_status": [entry]})


def metadata(
    predictor: Predictor, request: Request, model: str, version: str | None = None, label: str | None = None
) -> Response:
    served = _resolve(predictor, model, version, label)
    signature = served.loaded.manifest.signature
    definition = {
        "inputs": {spec.name: _tensor_info(spec) for spec in signature.inputs},
        "outputs": {spec.name: _tensor_info(spec) for spec in signature.outputs},
        "method_name": "tensorflow/serving/predict",
    }
    return json_response(
        {
            "model_spec": {"name": model, "signature_name": "", "version": str(served.version)},
            "metadata": {"signature_def": {"signature_def": {SIGNATURE_NAME: definition}}},
        }
    )


def _resolve(
    predictor: Predictor, model: str, version: str | None, label: str | None, routing_key: str | None = None
) -> Served:
    return predictor.resolve(
        model,
        version=None if version is None else version_number(version),
        label=None if label is None else LABELS.get(label, label),
        routing_key=routing_key,
    )


def _tensor_info(spec: TensorSpec) -> dict[str, Any]:
    dimensions = [{"size": str(length), "name": ""} for length in spec.shape]
    return {
        "name": spec.name,
        "dtype": DT[spec.datatype],
        "tensor_shape": {"dim": dimensions, "unknown_rank": False},
    }
