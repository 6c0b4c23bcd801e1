"""API Gateway events (payload format 2.0) that ask the benchmarks' model, and what its answers say."""

import base64
import json
from typing import Any

import numpy as np

from benchmarks.model import INPUT, NAME, Array

PATH = f"/v2/models/{NAME}/infer"

type Event = dict[str, Any]


def as_json(rows: Array) -> Event:
    """Open Inference, the rows as a flat list of the shortest decimals that are these floats."""
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32", "data": _decimals(rows)}
    return _event(json.dumps({"inputs": [tensor]}), {"content-type": "application/json"}, encoded=False)


def as_binary(rows: Array) -> Event:
    """The binary tensor extension both ways, as tritonclient asks for it; base64, as API Gateway hands it on."""
    data = rows.tobytes()
    parameters = {"binary_data_size": len(data)}
    tensor = {"name": INPUT, "shape": list(rows.shape), "datatype": "FP32", "parameters": parameters}
    header = json.dumps({"inputs": [tensor], "parameters": {"binary_data_output": True}}).encode()
    headers = {"content-type": "application/octet-stream", "inference-header-content-length": str(len(header))}
    return _event(base64.b64encode(header + data).decode(), headers, encoded=True)


def probabilities(answer: Event) -> Array:
    """float32 [rows, 2] in the answer to either; raises when the answer is an error."""
    if answer["statusCode"] != 200:
        raise AssertionError(f"the answer is {answer['statusCode']}: {answer['body'][:500]}")
    if not answer["isBase64Encoded"]:
        output = json.loads(answer["body"])["outputs"][1]
        return np.array(output["data"], np.float32).reshape(output["shape"])
    body = base64.b64decode(answer["body"])
    length = int(answer["headers"]["inference-header-content-length"])
    output = json.loads(body[:length])["outputs"][1]
    return np.frombuffer(body[-output["parameters"]["binary_data_size"] :], np.float32).reshape(output["shape"])


def _event(body: str, headers: dict[str, str], *, encoded: bool) -> Event:
    return {
        "version": "2.0",
        "routeKey": "POST /v2/models/{model}/infer",
        "rawPath": PATH,
        "rawQueryString": "",
        "headers": {"host": "api.example.com", "user-agent": "benchmark", **headers},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "benchmark",
            "domainName": "api.example.com",
            "http": {
                "method": "POST",
                "path": PATH,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "benchmark",
            },
            "requestId": "benchmark",
            "stage": "$default",
            "time": "21/Nov/2026:06:00:00 +0000",
            "timeEpoch": 1795240800000,
        },
        "body": body,
        "isBase64Encoded": encoded,
    }


def _decimals(rows: Array) -> list[float]:
    return [float(str(value)) for value in rows.ravel()]
