"""The Lambda door and the least that anybody could do, in one process. `warm_lastmile.py PATHS EVENTS MODEL`."""

import sys

sys.path[:0] = sys.argv[1].split(":")

import base64
import json
import os
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import orjson
from turns import serve  # type: ignore[import-not-found]

from functions.inference.door import LambdaDoor

options = ort.SessionOptions()
options.intra_op_num_threads = 1
session = ort.InferenceSession(sys.argv[3], options, providers=["CPUExecutionProvider"])
doors = {capture: LambdaDoor.open({**os.environ, "LASTMILE_CAPTURE": capture}) for capture in ("on", "off")}
JSON = {"content-type": "application/json"}


def by_hand(event: dict[str, Any]) -> dict[str, Any]:
    tensor = json.loads(event["body"])["inputs"][0]
    rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    label, probabilities = session.run(None, {tensor["name"]: rows})
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": label.shape, "data": label.tolist()},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": probabilities.shape,
            "data": probabilities.reshape(-1).tolist(),
        },
    ]
    return {"statusCode": 200, "headers": JSON, "body": json.dumps({"outputs": outputs}), "isBase64Encoded": False}


def by_hand_with_orjson(event: dict[str, Any]) -> dict[str, Any]:
    tensor = orjson.loads(event["body"])["inputs"][0]
    rows = np.array(tensor["data"], np.float32).reshape(tensor["shape"])
    label, probabilities = session.run(None, {tensor["name"]: rows})
    outputs = [
        {"name": "label", "datatype": "INT64", "shape": label.shape, "data": label},
        {
            "name": "probabilities",
            "datatype": "FP32",
            "shape": probabilities.shape,
            "data": probabilities.reshape(-1),
        },
    ]
    body = orjson.dumps({"outputs": outputs}, option=orjson.OPT_SERIALIZE_NUMPY).decode()
    return {"statusCode": 200, "headers": JSON, "body": body, "isBase64Encoded": False}


def ways(event: dict[str, Any]) -> dict[str, Any]:
    """All contenders for one event."""
    ours = {f"capture {capture}": partial(door, event, None) for capture, door in doors.items()}
    if not event["isBase64Encoded"]:
        return {**ours, "by hand": partial(by_hand, event), "by hand, orjson": partial(by_hand_with_orjson, event)}
    data = base64.b64decode(event["body"])[int(event["headers"]["inference-header-content-length"]) :]
    graph_input = session.get_inputs()[0]
    rows = np.frombuffer(data, np.float32).reshape(-1, graph_input.shape[1])
    return {**ours, "session.run": partial(session.run, None, {graph_input.name: rows})}


def first_answers() -> dict[str, Any]:
    """What each contender says, and what the door says without its fast path."""
    said: dict[str, Any] = {}
    for key, event in events.items():
        said |= {f"{key}: {way}": call() for way, call in ways(event).items() if way != "session.run"}
        said[f"{key}: plain path"] = doors["off"]._app()(event, None)
    return said


events = json.loads(Path(sys.argv[2]).read_text())
serve({f"{key}: {way}": call for key, event in events.items() for way, call in ways(event).items()}, first_answers)
