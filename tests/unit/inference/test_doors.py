"""One table of requests, five ways in: the Lambda door, the app behind Mangum, the app itself, the server door as an
ASGI callable, and the server door behind uvicorn. Status, bytes and headers of ours must be the same."""

import gzip
import json
import re
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from functions.inference.examples import PIXELS, TWO
from tests.unit.inference.doors import Answer, Door, Sent, session

JSON = {"content-type": "application/json"}
BINARY = "application/octet-stream"
ONE = np.array([TWO], np.float32)
THREE = np.stack([np.roll(TWO, shift) for shift in (0, 5, 11)]).astype(np.float32)
INFER = "/v2/models/digits/infer"

type Check = Callable[[Answer], None]


@dataclass(frozen=True)
class Case:
    name: str
    sent: Sent
    status: int
    check: Check


def tensor(images: Any = ONE, **changes: Any) -> dict[str, Any]:
    flat = np.asarray(images, np.float32).reshape(-1).tolist()
    document = {"name": "image", "datatype": "FP32", "shape": list(np.shape(images)), "data": flat, **changes}
    return {key: value for key, value in document.items() if value is not ...}


def v2(*tensors: Any, **more: Any) -> bytes:
    return json.dumps({"inputs": list(tensors), **more}).encode()


def post(path: str, body: Any, **headers: str) -> Sent:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Sent("POST", path, data, JSON | {name.replace("_", "-"): value for name, value in headers.items()})


def binary(images: Any, *, cut: int = 0, length: int | None = None, size: int | None = None, **more: Any) -> Sent:
    data = np.asarray(images, "<f4").tobytes()
    parameters = {"binary_data_size": len(data) if size is None else size}
    header = v2(tensor(images, data=..., parameters=parameters), **more)
    body = header + data
    stated = len(header) if length is None else length
    headers = {"content-type": BINARY, "inference-header-content-length": str(stated)}
    return Sent("POST", INFER, body[: len(body) - cut], headers)


def same(found: Any, wanted: Any, dtype: Any) -> None:
    found = np.asarray(found, dtype)
    assert found.shape == np.shape(wanted)
    assert np.array_equal(found, wanted)  # to the last bit: floats are written so that they read back


def answered_by(version: int, role: str = "champion") -> Check:
    def check(got: Answer) -> None:
        assert got.headers["lastmile-model"] == "digits"
        assert got.headers["lastmile-version"] == str(version)
        assert got.headers["lastmile-role"] == role

    return check


def v2_answer(images: Any, version: int = 1, **more: Any) -> Check:
    def check(got: Answer) -> None:
        label, probabilities = session(version)(images)
        document = json.loads(got.body)
        assert got.headers["content-type"] == "application/json"
        answered_by(version, "champion" if version == 1 else "pinned")(got)
        assert (document["model_name"], document["model_version"]) == ("digits", str(version))
        assert {key: document[key] for key in more} == more
        first, second = document["outputs"]
        assert (first["name"], first["datatype"], first["shape"]) == ("label", "INT64", list(label.shape))
        assert (second["name"], second["datatype"]) == ("probabilities", "FP32")
        same(first["data"], label, np.int64)
        same(np.reshape(second["data"], second["shape"]), probabilities, np.float32)

    return check


def binary_answer(images: Any, *names: str) -> Check:
    """The outputs of these names in binary form, and no others."""

    def check(got: Answer) -> None:
        results = dict(zip(("label", "probabilities"), session(1)(images), strict=True))
        assert got.headers["content-type"] == BINARY
        length = int(got.headers["inference-header-content-length"])
        outputs, at = json.loads(got.body[:length])["outputs"], length
        assert [output["name"] for output in outputs] == list(names)
        for output in outputs:
            size = output["parameters"]["binary_data_size"]
            wanted = results[output["name"]]
            assert got.body[at : at + size] == wanted.tobytes()
            assert output["shape"] == list(wanted.shape)
            at += size
        assert at == len(got.body)

    return check


def rows_answer(key: str | None, images: Any, *, single: bool = False) -> Check:
    """Objects per row, under this key or bare."""

    def check(got: Answer) -> None:
        label, probabilities = session(1)(images)
        document = json.loads(got.body)
        rows = document if key is None else document[key]
        rows = [rows] if single else rows
        same([row["label"] for row in rows], label, np.int64)
        same([row["probabilities"] for row in rows], probabilities, np.float32)
        answered_by(1)(got)

    return check


def decided(images: Any, version: int = 1) -> Check:
    """One decision for each row, with the prediction that it was made of."""

    def check(got: Answer) -> None:
        label, probabilities = session(version)(images)
        document = json.loads(got.body)
        assert (document["model"], document["version"]) == ("digits", str(version))
        assert document["prediction_id"] == "the id"
        for index, row in enumerate(document["decisions"]):
            assert row["decision"] == str(label[index]) if probabilities[index].max() >= 0.15 else "person"
            assert row["review"] == (row["decision"] == "person")
            same(list(row["prediction"]["probabilities"].values()), probabilities[index], np.float32)
        assert len(document["decisions"]) == len(images)

    return check


def columns_answer(images: Any) -> Check:
    def check(got: Answer) -> None:
        label, probabilities = session(1)(images)
        outputs = json.loads(got.body)["outputs"]
        same(outputs["label"], label, np.int64)
        same(outputs["probabilities"], probabilities, np.float32)

    return check


def document(wanted: Any) -> Check:
    def check(got: Answer) -> None:
        assert got.headers["content-type"] == "application/json"
        assert json.loads(got.body) == wanted

    return check


def says(*parts: str, key: str = "error") -> Check:
    """An error in the protocol's form, whose message holds all of these."""

    def check(got: Answer) -> None:
        assert got.headers["content-type"] == "application/json"
        message = json.loads(got.body)[key]
        assert [part for part in parts if part not in message] == [], message
        assert "Traceback" not in message

    return check


def frame(images: Any) -> dict[str, Any]:
    return {"columns": PIXELS, "data": np.asarray(images).tolist()}


def records(images: Any) -> list[dict[str, float]]:
    return [dict(zip(PIXELS, row, strict=True)) for row in np.asarray(images).tolist()]


def csv_of(images: Any) -> bytes:
    lines = [",".join(PIXELS), *(",".join(map(str, row)) for row in np.asarray(images).tolist())]
    return "\r\n".join(lines).encode()


BOMB = gzip.compress(b" " * 40_000_000)
TOO_LONG = b'{"inputs":[]}' + b" " * 6_000_000

GOOD = [
    Case("v2 flat", post(INFER, v2(tensor())), 200, v2_answer(ONE)),
    Case("v2 nested", post(INFER, v2(tensor(THREE, data=THREE.tolist()), id="a1")), 200, v2_answer(THREE, id="a1")),
    Case("v2 no rows", post(INFER, v2(tensor(THREE[:0]))), 200, v2_answer(THREE[:0])),
    Case("v2 many rows", post(INFER, v2(tensor(np.tile(THREE, (200, 1))))), 200, v2_answer(np.tile(THREE, (200, 1)))),
    Case(
        "v2 one output",
        post(INFER, v2(tensor(), outputs=[{"name": "label"}])),
        200,
        document(
            {
                "model_name": "digits",
                "model_version": "1",
                "outputs": [{"name": "label", "datatype": "INT64", "shape": [1], "data": session(1)(ONE)[0].tolist()}],
            }
        ),
    ),
    Case(
        "v2 gzip",
        post(INFER, gzip.compress(v2(tensor(THREE)), mtime=0), content_encoding="gzip"),
        200,
        v2_answer(THREE),
    ),
    Case(
        "v2 deflate", post(INFER, zlib.compress(v2(tensor(THREE))), content_encoding="deflate"), 200, v2_answer(THREE)
    ),
    Case("v2 named version", post("/v2/models/digits/versions/3/infer", v2(tensor())), 200, v2_answer(ONE, 3)),
    Case("v2 binary in", binary(THREE), 200, v2_answer(THREE)),
    Case(
        "v2 binary in and out",
        binary(THREE, parameters={"binary_data_output": True}),
        200,
        binary_answer(THREE, "label", "probabilities"),
    ),
    Case(
        "v2 binary out, one output",
        post(INFER, v2(tensor(THREE), outputs=[{"name": "probabilities", "parameters": {"binary_data": True}}])),
        200,
        binary_answer(THREE, "probabilities"),
    ),
    Case(
        "v2 text",
        post("/v2/models/echo/infer", v2({"name": "text", "datatype": "BYTES", "shape": [2], "data": ["é", "日本"]})),
        200,
        document(
            {
                "model_name": "echo",
                "model_version": "1",
                "outputs": [{"name": "same", "datatype": "BYTES", "shape": [2], "data": ["é", "日本"]}],
            }
        ),
    ),
    Case("v2 server", Sent("GET", "/v2"), 200, lambda got: None),
    Case("v2 live", Sent("GET", "/v2/health/live"), 200, document({"live": True})),
    Case("v2 ready", Sent("GET", "/v2/health/ready"), 200, document({"ready": True})),
    Case("v2 metadata", Sent("GET", "/v2/models/digits"), 200, lambda got: None),
    Case("v2 metadata of a version", Sent("GET", "/v2/models/digits/versions/3"), 200, lambda got: None),
    Case("v2 model ready", Sent("GET", "/v2/models/digits/ready"), 200, document({"name": "digits", "ready": True})),
    Case(
        "v2 version ready",
        Sent("GET", "/v2/models/digits/versions/3/ready"),
        200,
        document({"name": "digits", "ready": True}),
    ),
    Case(
        "tfs rows",
        post("/v1/models/digits:predict", {"instances": THREE.tolist()}),
        200,
        rows_answer("predictions", THREE),
    ),
    Case(
        "tfs named rows",
        post("/v1/models/digits:predict", {"instances": [{"image": row} for row in THREE.tolist()]}),
        200,
        rows_answer("predictions", THREE),
    ),
    Case("tfs columns", post("/v1/models/digits:predict", {"inputs": THREE.tolist()}), 200, columns_answer(THREE)),
    Case(
        "tfs named columns",
        post("/v1/models/digits:predict", {"inputs": {"image": THREE.tolist()}}),
        200,
        columns_answer(THREE),
    ),
    Case(
        "tfs version",
        post("/v1/models/digits/versions/3:predict", {"instances": THREE.tolist()}),
        200,
        answered_by(3, "pinned"),
    ),
    Case(
        "tfs label stable",
        post("/v1/models/digits/labels/stable:predict", {"instances": THREE.tolist()}),
        200,
        rows_answer("predictions", THREE),
    ),
    Case("tfs status", Sent("GET", "/v1/models/digits"), 200, lambda got: None),
    Case("tfs metadata", Sent("GET", "/v1/models/digits/metadata"), 200, lambda got: None),
    Case("tfs status of a version", Sent("GET", "/v1/models/digits/versions/3"), 200, lambda got: None),
    Case("tfs metadata of a label", Sent("GET", "/v1/models/digits/labels/stable/metadata"), 200, lambda got: None),
    Case("torch one row", post("/predictions/digits", TWO), 200, rows_answer(None, ONE, single=True)),
    Case("torch rows", post("/predictions/digits", THREE.tolist()), 200, rows_answer(None, THREE)),
    Case("torch version", post("/predictions/digits/3", TWO), 200, answered_by(3, "pinned")),
    Case(
        "torch text",
        Sent("POST", "/predictions/echo", "grüße".encode(), {"content-type": "text/plain"}),
        200,
        document("grüße"),
    ),
    Case(
        "mlflow split", post("/invocations", {"dataframe_split": frame(THREE)}), 200, rows_answer("predictions", THREE)
    ),
    Case(
        "mlflow records",
        post("/invocations", {"dataframe_records": records(THREE)}),
        200,
        rows_answer("predictions", THREE),
    ),
    Case(
        "mlflow instances", post("/invocations", {"instances": THREE.tolist()}), 200, rows_answer("predictions", THREE)
    ),
    Case(
        "mlflow inputs",
        post("/invocations", {"inputs": {"image": THREE.tolist()}}),
        200,
        rows_answer("predictions", THREE),
    ),
    Case(
        "mlflow csv",
        Sent("POST", "/invocations", csv_of(THREE), {"content-type": "text/csv; charset=utf-8"}, query="model=digits"),
        200,
        rows_answer("predictions", THREE),
    ),
    Case("decide", post("/v1/models/digits:decide", {"rows": records(THREE)}), 200, decided(THREE)),
    Case("decide instances", post("/v1/models/digits:decide", {"instances": THREE.tolist()}), 200, decided(THREE)),
    Case(
        "decide by a version",
        post("/v1/models/digits/versions/3:decide", {"rows": records(THREE)}),
        200,
        decided(THREE, 3),
    ),
    Case("ping", Sent("GET", "/ping"), 200, document({"status": "Healthy"})),
    Case("health", Sent("GET", "/health"), 200, document({"status": "ok"})),
]

BAD = [
    Case(
        "wrong datatype",
        post(INFER, v2(tensor(datatype="INT64"))),
        400,
        says("input 'image'", "datatype is INT64", "takes FP32"),
    ),
    Case("no datatype", post(INFER, v2(tensor(datatype="float"))), 400, says("input 'image'", "'float' is none of")),
    Case(
        "shape does not multiply out",
        post(INFER, v2(tensor(shape=[1, 65]))),
        400,
        says("input 'image'", "[1, 65] needs 65 elements, data has 64"),
    ),
    Case("shape negative", post(INFER, v2(tensor(shape=[-1, 64]))), 400, says("input 'image'", "non-negative")),
    Case(
        "shape of another model",
        post(INFER, v2(tensor(ONE.reshape(8, 8)))),
        400,
        says("input 'image'", "[8, 8] does not fit [-1, 64]"),
    ),
    Case(
        "no policy",
        post("/v1/models/echo:decide", {"rows": [{"text": "a"}]}),
        400,
        says("version 1 of model 'echo' has no decision policy"),
    ),
    Case(
        "unknown feature",
        post("/v1/models/digits:decide", {"rows": [{**records(ONE)[0], "colour": 1}]}),
        400,
        says("rows[0]: 'colour' is unknown; the model takes pixel_0_0"),
    ),
    Case("missing input", post(INFER, v2()), 400, says("missing input: image")),
    Case("no inputs", post(INFER, {}), 400, says("inputs must be a list")),
    Case(
        "unknown input", post(INFER, v2(tensor(name="picture"))), 400, says("input 'picture' is unknown", "takes image")
    ),
    Case("input twice", post(INFER, v2(tensor(), tensor())), 400, says("input 'image' is given twice")),
    Case(
        "unknown output",
        post(INFER, v2(tensor(), outputs=[{"name": "odds"}])),
        400,
        says("output 'odds' is unknown", "label, probabilities"),
    ),
    Case(
        "NaN",
        post(INFER, v2(tensor()).replace(b"[0.0,", b"[NaN,", 1).replace(b"[0.0, ", b"[NaN, ", 1)),
        400,
        says("inputs[0].data[0] is nan"),
    ),
    Case(
        "torch text in another encoding",
        Sent("POST", "/predictions/echo", "grüße".encode("latin-1"), {"content-type": "text/plain"}),
        400,
        says("the text is not UTF-8 at byte 2", key="message"),
    ),
    Case(
        "NaN far down",
        post("/v1/models/digits:predict", b'{"instances": ' + b"[" * 900 + b"NaN" + b"]" * 900 + b"}"),
        400,
        says("the body: instances[0][0]", "is nan"),
    ),
    Case(
        "text far down",
        post("/v1/models/echo:predict", b'{"instances": ' + b"[" * 1010 + b'"a"' + b"]" * 1010 + b"}"),
        400,
        says("input 'text': data is nested too deep"),
    ),
    Case(
        "Infinity",
        post(INFER, v2(tensor()).replace(b"[0.0, ", b"[0.0, -Infinity, ", 1)),
        400,
        says("inputs[0].data[1] is -inf"),
    ),
    Case(
        "too big for the datatype",
        post(INFER, v2(tensor(data=[*TWO[:-1], 1e39]))),
        400,
        says("input 'image'", "element 63 (1e+39) does not fit FP32"),
    ),
    Case(
        "ragged",
        post(INFER, v2(tensor(THREE, data=[TWO, TWO[:-1], TWO]))),
        400,
        says("input 'image'", "ragged", "[63, 64]"),
    ),
    Case(
        "nested otherwise than shaped",
        post(INFER, v2(tensor(THREE, data=THREE.reshape(64, 3).tolist()))),
        400,
        says("input 'image'", "nested as [64, 3], shape says [3, 64]"),
    ),
    Case("null", post(INFER, v2(tensor(data=[None, *TWO[1:]]))), 400, says("input 'image'", "element 0 is null")),
    Case("text for numbers", post(INFER, v2(tensor(data=["0"] * 64))), 400, says("element 0 is a string", "FP32")),
    Case("true for numbers", post(INFER, v2(tensor(data=[True] * 64))), 400, says("element 0 is a boolean", "FP32")),
    Case("binary part truncated", binary(ONE, cut=4), 400, says("input 'image'", "is 256, only 252 bytes are left")),
    Case("binary size other than shape", binary(ONE, size=252), 400, says("input 'image'", "needs 256 bytes")),
    Case(
        "header length beyond the body", binary(ONE, length=9999), 400, says("Inference-Header-Content-Length is 9999")
    ),
    Case(
        "header length no number",
        post(INFER, v2(tensor()), inference_header_content_length="many"),
        400,
        says("Inference-Header-Content-Length is 'many'"),
    ),
    Case(
        "bytes of no input",
        post(INFER, v2(tensor()) + b"12", inference_header_content_length=str(len(v2(tensor())))),
        400,
        says("2 bytes of the body belong to no input"),
    ),
    Case("unknown model", post("/v2/models/digit/infer", v2(tensor())), 404, says("model 'digit' does not exist")),
    Case(
        "unknown version",
        post("/v2/models/digits/versions/99/infer", v2(tensor())),
        404,
        says("model 'digits' has no version 99"),
    ),
    Case(
        "version no number",
        post("/v2/models/digits/versions/new/infer", v2(tensor())),
        404,
        says("version 'new' is not a number"),
    ),
    Case(
        "rejected version",
        post("/v2/models/digits/versions/2/infer", v2(tensor())),
        409,
        says("version 2 of model 'digits' was rejected"),
    ),
    Case("model of an odd name", Sent("GET", "/v2/models/.. é%2f"), 404, says("model '.. é%2f' does not exist")),
    Case("path out of the models", Sent("GET", "/v2/models/../.."), 404, says("no route answers")),
    Case("body over the limit", post(INFER, TOO_LONG), 413, says("more than 6,000,000 bytes")),
    Case("gzip bomb", post(INFER, BOMB, content_encoding="gzip"), 413, says("unpacks to more than 32,000,000 bytes")),
    Case(
        "gzip cut off",
        post(INFER, gzip.compress(v2(tensor()), mtime=0)[:-9], content_encoding="gzip"),
        400,
        says("gzip body is cut off"),
    ),
    Case("gzip that is none", post(INFER, v2(tensor()), content_encoding="gzip"), 400, says("the body is not gzip")),
    Case("unknown encoding", post(INFER, v2(tensor()), content_encoding="br"), 400, says("'br' is none of gzip")),
    Case("not UTF-8", post(INFER, b'{"inputs":"\xff\xfe"}'), 400, says("not UTF-8 at byte 11")),
    Case("not JSON", post(INFER, b"inputs=1"), 400, says("the body is not JSON")),
    Case("empty", post(INFER, b""), 400, says("the body is empty")),
    Case("no object", post(INFER, b"[]"), 400, says("the body must be a JSON object")),
    Case("deep JSON", post(INFER, b"[" * 100_000), 400, says("the body is not JSON")),
    Case(
        "deep tensor",
        post(INFER, v2(tensor()).replace(b"[0.0", b"[" * 40 + b"0.0").replace(b"3.0]", b"3.0" + b"]" * 40)),
        400,
        says("input 'image'"),
    ),
    Case(
        "ends in the model",
        post("/v2/models/pair/infer", v2({"name": "x", "datatype": "FP32", "shape": [1, 2], "data": [1, 2]})),
        500,
        says("the model failed"),
    ),
    Case("tfs neither rows nor columns", post("/v1/models/digits:predict", {}), 400, says("instances", "inputs")),
    Case("tfs ragged rows", post("/v1/models/digits:predict", {"instances": [TWO, [1]]}), 400, says("image", "ragged")),
    Case(
        "tfs unknown signature",
        post("/v1/models/digits:predict", {"instances": [TWO], "signature_name": "other"}),
        400,
        says("signature_name 'other'"),
    ),
    Case(
        "tfs unknown label",
        post("/v1/models/digits/labels/beta:predict", {"instances": [TWO]}),
        404,
        says("label 'beta' is none of"),
    ),
    Case("tfs label without a version", Sent("GET", "/v1/models/digits/labels/canary"), 404, says("has no challenger")),
    Case("torch wrong row", post("/predictions/digits", [1, 2]), 400, says("input 'image'", key="message")),
    Case(
        "torch unknown model",
        post("/predictions/digit", TWO),
        404,
        document({"code": 404, "type": "ModelNotFoundException", "message": "model 'digit' does not exist"}),
    ),
    Case(
        "mlflow missing column",
        post("/invocations", {"dataframe_split": {"columns": PIXELS[1:], "data": [TWO[1:]]}}),
        400,
        says("missing column: pixel_0_0", key="message"),
    ),
    Case(
        "mlflow short row",
        post("/invocations", {"dataframe_split": {"columns": PIXELS, "data": [TWO, TWO[1:]]}}),
        400,
        says("dataframe_split.data[1] has 63 values for 64 columns", key="message"),
    ),
    Case(
        "mlflow no form",
        post("/invocations", {"rows": []}),
        400,
        document(
            {
                "error_code": "BAD_REQUEST",
                "message": "the body needs exactly one of dataframe_split, dataframe_records, instances, inputs",
            }
        ),
    ),
    Case(
        "mlflow csv cell",
        Sent("POST", "/invocations", csv_of(ONE).replace(b"7.0", b"seven", 1), {"content-type": "text/csv"}),
        400,
        says("line 2", "column 'pixel_0_2'", "'seven'", key="message"),
    ),
    Case(
        "mlflow csv not UTF-8",
        Sent("POST", "/invocations", b"a,b\n\xff,1\n", {"content-type": "text/csv"}),
        400,
        says("not UTF-8 at byte 4", key="message"),
    ),
    Case("no such path", Sent("GET", "/v3/models"), 404, says("no route answers", "/v3/models")),
    Case("no such verb", post("/v1/models/digits:guess", {}), 404, says("no route answers")),
    Case("method of another path", Sent("GET", INFER), 405, says("GET")),
    Case("get on predict", Sent("GET", "/v1/models/digits:predict"), 405, says("GET")),
    Case("trailing slash", Sent("GET", "/v2/"), 404, says("no route answers")),
]

ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}")


def without_id(got: Answer) -> Answer:
    """A prediction's id is new each time: everywhere in an answer the same, and here a word."""
    identifier = got.headers.get("lastmile-prediction-id")
    assert identifier is None or ID.fullmatch(identifier)
    body = got.body if identifier is None else got.body.replace(identifier.encode(), b"the id")
    return Answer(got.status, {k: v for k, v in got.headers.items() if k != "lastmile-prediction-id"}, body)


@pytest.mark.parametrize("case", GOOD + BAD, ids=lambda case: case.name)
def test_every_door_gives_the_same_answer(doors: dict[str, Door], case: Case) -> None:
    answers = {name: without_id(door(case.sent)) for name, door in doors.items()}
    first = answers["lambda"]
    assert first.status == case.status, first.body
    case.check(first)
    assert {name: got for name, got in answers.items() if got != first} == {}


def test_predictions_have_an_id_and_errors_none(doors: dict[str, Door]) -> None:
    for door in doors.values():
        assert "lastmile-prediction-id" in door(post(INFER, v2(tensor()))).headers
        assert "lastmile-prediction-id" not in door(post(INFER, v2())).headers


def test_the_model_of_an_invocation_can_be_named_in_three_ways(doors: dict[str, Door]) -> None:
    body = {"inputs": {"text": ["a"]}}
    for door in doors.values():
        assert door(post("/invocations", body)).status == 400  # the default is digits
        named = post("/invocations", body, x_amzn_sagemaker_target_model="echo")
        assert json.loads(door(named).body) == {"predictions": ["a"]}
        asked = Sent("POST", "/invocations", named.body, JSON, query="model=echo")
        assert json.loads(door(asked).body) == {"predictions": ["a"]}
