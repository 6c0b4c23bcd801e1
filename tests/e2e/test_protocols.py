"""Real clients through the deployed API: every protocol gives what `InferenceSession.run` gives."""

import gzip
import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import onnxruntime as ort
import pytest
from sklearn.datasets import load_digits
from tritonclient import http as triton
from tritonclient.utils import InferenceServerException

from cli.target import Target

ROWS = load_digits().data[-7:].astype(np.float32)
COLUMNS = [f"pixel_{row}_{column}" for row in range(8) for column in range(8)]


@pytest.fixture(scope="module")
def token(stack: Target) -> str:
    return stack.token(["infer"])


@pytest.fixture(scope="module")
def champion(stack: Target) -> int:
    version = stack.registry().release("digits").champion
    assert version is not None
    return version


@pytest.fixture(scope="module")
def expected(stack: Target, champion: int) -> dict[str, np.ndarray]:
    """The floor: the same rows through ONNX Runtime alone."""
    registry = stack.registry()
    session = ort.InferenceSession(
        registry.artefact(registry.manifest("digits", champion)), providers=["CPUExecutionProvider"]
    )
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, session.run(names, {"image": ROWS}), strict=True))


@pytest.fixture(scope="module")
def client(stack: Target) -> Iterator[triton.InferenceServerClient]:
    address = urlsplit(stack.api_url)
    with triton.InferenceServerClient(f"{address.netloc}{address.path}") as client:
        yield client


@pytest.fixture
def bearer(token: str) -> dict[str, str]:
    """Fresh for each test: the Triton client writes its own headers into it."""
    return {"Authorization": f"Bearer {token}"}


def post(stack: Target, token: str, path: str, document: Any, **headers: str) -> tuple[int, dict[str, str], Any]:
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    sent = {"content-type": "application/json"} | {name.replace("_", "-"): value for name, value in headers.items()}
    answer = stack.call("POST", path, body=body, token=token, headers=sent)
    return answer.status, dict(answer.headers), answer.json()


def same(values: Any, expected: np.ndarray) -> None:
    np.testing.assert_array_equal(np.array(values, dtype=expected.dtype), expected)


@pytest.mark.parametrize("binary_in", [True, False], ids=["binary in", "JSON in"])
@pytest.mark.parametrize("binary_out", [True, False], ids=["binary out", "JSON out"])
@pytest.mark.parametrize("named", [True, False], ids=["named version", "champion"])
def test_the_triton_client_gets_the_same_answer(
    client: triton.InferenceServerClient,
    bearer: dict[str, str],
    expected: dict[str, np.ndarray],
    champion: int,
    binary_in: bool,
    binary_out: bool,
    named: bool,
) -> None:
    image = triton.InferInput("image", list(ROWS.shape), "FP32")
    image.set_data_from_numpy(ROWS, binary_data=binary_in)
    outputs = [triton.InferRequestedOutput(name, binary_data=binary_out) for name in expected]
    result = client.infer(
        "digits", [image], str(champion) if named else "", outputs=outputs, request_id="r-1", headers=bearer
    )
    for name, array in expected.items():
        same(result.as_numpy(name), array)
    answer = result.get_response()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("digits", str(champion), "r-1")


@pytest.mark.parametrize("algorithm", ["gzip", "deflate"])
def test_the_triton_client_may_compress_its_request(
    client: triton.InferenceServerClient, bearer: dict[str, str], expected: dict[str, np.ndarray], algorithm: str
) -> None:
    image = triton.InferInput("image", list(ROWS.shape), "FP32")
    image.set_data_from_numpy(ROWS)
    result = client.infer("digits", [image], headers=bearer, request_compression_algorithm=algorithm)
    assert result.as_numpy("label").tolist() == expected["label"].tolist()
    assert result.get_response()["model_name"] == "digits"


def test_the_triton_client_learns_what_it_needs_to_know(
    client: triton.InferenceServerClient, bearer: dict[str, str], champion: int
) -> None:
    assert client.is_server_live(headers=bearer)
    assert client.is_server_ready(headers=bearer)
    assert client.is_model_ready("digits", headers=bearer)
    assert client.is_model_ready("digits", str(champion), headers=bearer)
    assert not client.is_model_ready("nothing", headers=bearer)
    assert "binary_tensor_data" in client.get_server_metadata(headers=bearer)["extensions"]
    metadata = client.get_model_metadata("digits", str(champion), headers=bearer)
    assert metadata["versions"] == [str(champion)]
    (image,) = metadata["inputs"]
    assert (image["name"], image["datatype"], image["shape"]) == ("image", "FP32", [-1, 64])


def test_the_triton_client_understands_our_errors(client: triton.InferenceServerClient, bearer: dict[str, str]) -> None:
    image = triton.InferInput("image", [1, 3], "FP32")
    image.set_data_from_numpy(np.zeros((1, 3), np.float32))
    with pytest.raises(InferenceServerException, match="input 'image': shape"):
        client.infer("digits", [image], headers=bearer)
    with pytest.raises(InferenceServerException, match="'nothing' does not exist"):
        client.infer("nothing", [image], headers=bearer)


def test_tensorflow_serving_rows(stack: Target, token: str, expected: dict[str, np.ndarray]) -> None:
    for instances in (ROWS.tolist(), [{"image": row} for row in ROWS.tolist()]):
        status, _, answer = post(stack, token, "/v1/models/digits:predict", {"instances": instances})
        assert status == 200
        for name, array in expected.items():
            same([row[name] for row in answer["predictions"]], array)


@pytest.mark.parametrize("path", ["", "/versions/{champion}", "/labels/stable", "/labels/champion"])
def test_tensorflow_serving_columns(
    stack: Target, token: str, expected: dict[str, np.ndarray], champion: int, path: str
) -> None:
    for inputs in (ROWS.tolist(), {"image": ROWS.tolist()}):
        where = f"/v1/models/digits{path.format(champion=champion)}:predict"
        status, _, answer = post(stack, token, where, {"inputs": inputs, "signature_name": "serving_default"})
        assert status == 200
        for name, array in expected.items():
            same(answer["outputs"][name], array)


def test_tensorflow_serving_status_and_metadata(stack: Target, token: str, champion: int) -> None:
    status = stack.call("GET", "/v1/models/digits", token=token).json()
    assert status["model_version_status"][0]["state"] == "AVAILABLE"
    assert status["model_version_status"][0]["version"] == str(champion)
    metadata = stack.call("GET", f"/v1/models/digits/versions/{champion}/metadata", token=token).json()
    definition = metadata["metadata"]["signature_def"]["signature_def"]["serving_default"]
    assert definition["inputs"]["image"]["dtype"] == "DT_FLOAT"


@pytest.mark.parametrize(
    "frame",
    [
        {"dataframe_split": {"columns": COLUMNS, "index": list(range(len(ROWS))), "data": ROWS.tolist()}},
        {"dataframe_split": {"columns": ["id", *COLUMNS[::-1]], "data": [[7, *row[::-1]] for row in ROWS.tolist()]}},
        {"dataframe_records": [dict(zip(COLUMNS, row, strict=True)) for row in ROWS.tolist()]},
        {"instances": ROWS.tolist()},
        {"inputs": {"image": ROWS.tolist()}},
    ],
    ids=["split", "split in another order", "records", "instances", "inputs"],
)
def test_mlflow_scoring(stack: Target, token: str, expected: dict[str, np.ndarray], frame: dict[str, Any]) -> None:
    for path in ("/invocations", "/invocations?model=digits"):
        status, _, answer = post(stack, token, path, frame)
        assert status == 200
        for name, array in expected.items():
            same([row[name] for row in answer["predictions"]], array)


def test_sagemaker_csv(stack: Target, token: str, expected: dict[str, np.ndarray]) -> None:
    lines = [",".join(COLUMNS), *(",".join(map(str, row)) for row in ROWS.tolist())]
    status, _, answer = post(stack, token, "/invocations", "\n".join(lines).encode(), content_type="text/csv")
    assert status == 200
    same([row["label"] for row in answer["predictions"]], expected["label"])


def test_torchserve(stack: Target, token: str, expected: dict[str, np.ndarray], champion: int) -> None:
    for path in ("/predictions/digits", f"/predictions/digits/{champion}"):
        for body in (ROWS.tolist(), {"instances": ROWS.tolist()}):
            status, _, answer = post(stack, token, path, body)
            assert status == 200
            same([row["label"] for row in answer], expected["label"])
        status, _, row = post(stack, token, path, ROWS[0].tolist())
        assert status == 200
        same(row["probabilities"], expected["probabilities"][0])


def test_every_answer_says_where_it_came_from(stack: Target, token: str, champion: int) -> None:
    body = {"instances": ROWS[:1].tolist()}
    seen = set()
    for path in ("/v1/models/digits:predict", "/predictions/digits", "/invocations"):
        _, headers, _ = post(stack, token, path, body)
        assert (headers["lastmile-model"], headers["lastmile-version"]) == ("digits", str(champion))
        assert headers["lastmile-role"] == "champion"
        seen.add(headers["lastmile-prediction-id"])
    assert len(seen) == 3


def test_a_gzip_bomb_and_a_body_over_the_limit_are_refused(stack: Target, token: str) -> None:
    bomb = gzip.compress(b"0" * 100_000_000)
    status, _, answer = post(
        stack, token, "/v2/models/digits/infer", bomb, content_encoding="gzip", content_type="application/octet-stream"
    )
    assert (status, "unpacks to more than" in answer["error"]) == (413, True)
    status, _, answer = post(stack, token, "/v2/models/digits/infer", b" " * 6_100_000)
    assert status == 413
