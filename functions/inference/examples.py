"""Requests that the `digits` model answers, and its answers: what the API's documentation shows."""

import json
from typing import Any

PREDICTION_ID = "01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"
LOCATION = f"/v1/predictions/{PREDICTION_ID}"
PENDING = {"prediction_id": PREDICTION_ID, "state": "pending", "location": LOCATION, "reason": "asleep"}
FAILED = PENDING | {"state": "failed", "error": "the endpoint failed: out of memory"}
del FAILED["reason"]

# A handwritten two, 8 x 8 pixels from 0 to 16, and what the quantized model says of it.
TWO = [
    *(0, 0, 7, 16, 14, 3, 0, 0),
    *(0, 0, 9, 14, 11, 15, 0, 0),
    *(0, 0, 1, 5, 0, 15, 5, 0),
    *(0, 0, 0, 0, 0, 16, 5, 0),
    *(0, 0, 0, 0, 3, 16, 4, 0),
    *(0, 0, 0, 1, 12, 14, 1, 0),
    *(0, 0, 5, 12, 16, 16, 14, 1),
    *(0, 0, 8, 16, 14, 10, 13, 3),
]
PIXELS = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]
PROBABILITIES = [
    *(0.0011554144, 3.2346934e-09, 0.98541695, 0.013392124, 2.4725766e-10),
    *(2.7069193e-08, 1.8475189e-08, 1.6543603e-05, 2.5071659e-08, 1.8964676e-05),
]
ROW = {"label": 2, "probabilities": PROBABILITIES}

V2_TENSOR = {"name": "image", "datatype": "FP32", "shape": [1, 64], "data": TWO}
V2_NESTED = V2_TENSOR | {"data": [TWO]}
V2_REQUESTS: dict[str, Any] = {
    "flat": {"inputs": [V2_TENSOR]},
    "nested, with an id, one output only": {
        "id": "request-17",
        "inputs": [V2_NESTED],
        "outputs": [{"name": "label"}],
    },
    "binary answer": {"inputs": [V2_TENSOR], "parameters": {"binary_data_output": True}},
}
V2_ANSWER = {
    "model_name": "digits",
    "model_version": "1",
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [1], "data": [2]},
        {"name": "probabilities", "datatype": "FP32", "shape": [1, 10], "data": PROBABILITIES},
    ],
}


def _binary_request() -> str:
    """A JSON header, then a black image: 64 FP32 zeros, which are 256 zero bytes."""
    tensor = {"name": "image", "datatype": "FP32", "shape": [1, 64], "parameters": {"binary_data_size": 256}}
    return json.dumps({"inputs": [tensor]}) + "\0" * 256


def _binary_answer() -> str:
    """A JSON header, then one INT64: the eight bytes of a little-endian 2."""
    output = {"name": "label", "datatype": "INT64", "shape": [1], "parameters": {"binary_data_size": 8}}
    header = {"model_name": "digits", "model_version": "1", "outputs": [output]}
    return json.dumps(header) + "\2" + "\0" * 7


V2_BINARY_REQUEST = _binary_request()
V2_BINARY_ANSWER = _binary_answer()
V2_METADATA = {
    "name": "digits",
    "versions": ["1"],
    "platform": "onnx_onnxv1",
    "inputs": [
        {
            "name": "image",
            "datatype": "FP32",
            "shape": [-1, 64],
            "parameters": {"columns": json.dumps(PIXELS, separators=(",", ":"))},
        },
    ],
    "outputs": [
        {"name": "label", "datatype": "INT64", "shape": [-1]},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": [-1, 10],
            "parameters": {"columns": json.dumps([str(digit) for digit in range(10)], separators=(",", ":"))},
        },
    ],
}

TFS_REQUESTS: dict[str, Any] = {
    "rows": {"instances": [TWO]},
    "rows that name their inputs": {"instances": [{"image": TWO}]},
    "columns": {"inputs": {"image": [TWO]}},
}
TFS_ANSWERS = {
    "to rows": {"predictions": [ROW]},
    "to columns": {"outputs": {"label": [2], "probabilities": [PROBABILITIES]}},
}
DECIDE_REQUESTS: dict[str, Any] = {
    "named features": {"rows": [dict(zip(PIXELS, TWO, strict=True))]},
    "whole inputs": {"instances": [TWO]},
}
DECIDE_ANSWER = {
    "model": "digits",
    "version": "1",
    "prediction_id": PREDICTION_ID,
    "decisions": [
        {
            "decision": "2",
            "reasons": ["'2' is the most likely with 98.5 %.", "It goes to '2' with priority normal."],
            "review": False,
            "details": {
                "queue": "2",
                "priority": "normal",
                "confidence": 0.985417,
                "likely": [{"class": "2", "probability": 0.985417}, {"class": "3", "probability": 0.013392}],
            },
            "prediction": {"label": 2, "probabilities": {str(n): share for n, share in enumerate(PROBABILITIES)}},
        }
    ],
}
TFS_STATUS = {
    "model_version_status": [
        {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}},
    ]
}


def _tensor_info(name: str, dtype: str, *sizes: str) -> dict[str, Any]:
    dimensions = [{"size": size, "name": ""} for size in sizes]
    return {"name": name, "dtype": dtype, "tensor_shape": {"dim": dimensions, "unknown_rank": False}}


TFS_METADATA = {
    "model_spec": {"name": "digits", "signature_name": "", "version": "1"},
    "metadata": {
        "signature_def": {
            "signature_def": {
                "serving_default": {
                    "inputs": {"image": _tensor_info("image", "DT_FLOAT", "-1", "64")},
                    "outputs": {
                        "label": _tensor_info("label", "DT_INT64", "-1"),
                        "probabilities": _tensor_info("probabilities", "DT_FLOAT", "-1", "10"),
                    },
                    "method_name": "tensorflow/serving/predict",
                }
            }
        }
    },
}

TORCH_REQUESTS: dict[str, Any] = {
    "one row": TWO,
    "several rows": [TWO, TWO],
    "named rows": {"instances": [{"image": TWO}, {"image": TWO}]},
}
TORCH_ANSWERS: dict[str, Any] = {"to one row": ROW, "to several rows": [ROW, ROW]}

SCORING_REQUESTS: dict[str, Any] = {
    "dataframe_split": {"dataframe_split": {"columns": PIXELS, "data": [TWO]}},
    "dataframe_records": {"dataframe_records": [dict(zip(PIXELS, TWO, strict=True))]},
    "instances": {"instances": [TWO]},
    "inputs": {"inputs": {"image": [TWO]}},
}
SCORING_CSV = f"{','.join(PIXELS)}\n{','.join(map(str, TWO))}\n"
SCORING_ANSWER = {"predictions": [ROW]}
