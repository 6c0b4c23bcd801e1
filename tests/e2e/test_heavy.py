"""A heavy model through the API of the deployed stacks: its endpoint sleeps, wakes and fails, and no request does."""

import json
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli.batches import begun, followed, job_of, store_of
from cli.local import LocalAws
from cli.target import Target
from cli.wire import Answer
from lastmile.heavy.packaging import Repository, packed
from lastmile.heavy.triton import config
from lastmile.model import OnnxModel
from lastmile.policies import Decision, Heavy
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.tensors import Signature, TensorSpec

ROWS = np.random.default_rng(7).normal(size=(30, 8)).astype(np.float32)
SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 8)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 4), columns=tuple("abcd"))),
)
DECISION = Decision("route", {"sure_from": 0.1, "unsure": "person"})
REQUESTS = 150
RIGHT = {"asleep": False, "slow_seconds": 0, "fail": 0, "garbage": False, "throttle": False}
WRONG: list[tuple[dict[str, Any], str]] = [
    ({"slow_seconds": 2.5}, "slow"),
    ({"fail": 500}, "failing"),
    ({"fail": 424}, "failing"),
    ({"garbage": True}, "garbage"),
    ({"throttle": True}, "throttled"),
]

REASONS = {reason for _, reason in WRONG}

type Outputs = tuple[Any, Any]


def classifier(seed: int) -> bytes:
    weights = np.random.default_rng(seed).normal(size=(8, 4)).astype(np.float32) / 2
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["scores"]),
            helper.make_node("Softmax", ["scores"], ["probabilities"], axis=1),
            helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
        ],
        "classifier",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 4]),
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


LIGHT, HEAVY = (OnnxModel.open(classifier(seed), threads=1) for seed in (1, 2))


def by(model: OnnxModel, rows: Any) -> Outputs:
    label, probabilities = model.run(None, {"x": rows})
    return label, probabilities


THRESHOLD = float(np.median(by(LIGHT, ROWS)[1].max(axis=1)))


def cascade(rows: Any) -> Outputs:
    """Each row by its own side."""
    light, heavy = by(LIGHT, rows), by(HEAVY, rows)
    sure = light[1].max(axis=1) >= THRESHOLD
    return np.where(sure, light[0], heavy[0]), np.where(sure[:, None], light[1], heavy[1])


def heavily(rows: Any) -> Outputs:
    return by(HEAVY, rows)


# What answers at once where everything is well; and where it is not, one gives a degraded answer and the others wait.
MODELS: dict[str, tuple[Heavy, Callable[[Any], Outputs]]] = {
    "cascaded": (Heavy("cascade", THRESHOLD, "degraded", deadline_seconds=2), cascade),
    "awaited": (Heavy("cascade", THRESHOLD, "accepted", deadline_seconds=2), cascade),
    "remote": (Heavy("always", asleep="accepted", deadline_seconds=2), heavily),
}


class Api:
    def __init__(self, stack: Target, runtime: str) -> None:
        self._stack = stack
        self._runtime = runtime
        self._token = stack.token(["infer"])

    def call(self, method: str, path: str, document: Any = None) -> Answer:
        body = None if document is None else json.dumps(document).encode()
        return self._stack.call(method, path, body=body, token=self._token)

    def infer(self, model: str, rows: Any) -> Answer:
        tensor = {"name": "x", "datatype": "FP32", "shape": list(rows.shape), "data": rows.reshape(-1).tolist()}
        return self.call("POST", f"/v2/models/{model}/infer", {"inputs": [tensor]})

    def switch(self, **switches: Any) -> Any:
        request = urllib.request.Request(
            f"{self._runtime}/_lastmile/switches", json.dumps(switches).encode(), method="PUT"
        )
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return json.load(answer)

    def wait(self, location: str, seconds: float = 60) -> Answer:
        deadline = time.monotonic() + seconds
        while (got := self.call("GET", location)).status == 202:
            assert time.monotonic() < deadline
            time.sleep(0.2)
        return got


@pytest.fixture(scope="module")
def api(local_aws: LocalAws, stack: Target) -> Iterator[Api]:
    registry: Registry = stack.registry()
    for name, (heavy, _) in MODELS.items():
        spec = ModelSpec(
            name,
            "classification",
            "",
            SIGNATURE.inputs,
            SIGNATURE.outputs,
            backend="sagemaker",
            heavy=heavy,
            decision=DECISION,
        )
        package = packed(Repository(name, config(name, SIGNATURE, heavy), classifier(2)))
        how: Any = {"signature": SIGNATURE, "metrics": {}, "lineage": {}, "compression": {}, "actor": "t", "why": "t"}
        if name == "remote":
            registry.push(spec, package, artefact="model.tar.gz", **how)
        else:
            registry.push(spec, classifier(1), files={"model.tar.gz": package}, **how)
        registry.promote(name, 1, actor="t", why="t")
    runtime = json.loads((local_aws.folder / "local.json").read_bytes())["sagemaker_runtime_url"]
    api = Api(stack, runtime)
    yield api
    api.switch(**RIGHT)


def same(got: Answer, wanted: Outputs) -> None:
    assert got.status == 200, got.body
    label, probabilities = json.loads(got.body)["outputs"]
    assert label["data"] == wanted[0].tolist()
    np.testing.assert_allclose(np.reshape(probabilities["data"], probabilities["shape"]), wanted[1], rtol=1e-5)


def test_each_row_is_answered_by_its_own_side(api: Api) -> None:
    api.switch(**RIGHT)
    for model, (_, right) in MODELS.items():
        got = api.infer(model, ROWS)
        same(got, right(ROWS))
        assert got.headers["lastmile-tier"] == ("heavy" if model == "remote" else "cascade")
        assert "lastmile-degraded" not in got.headers
    before = api.switch()["invocations"]
    sure = ROWS[by(LIGHT, ROWS)[1].max(axis=1) >= THRESHOLD]
    got = api.infer("cascaded", sure)
    same(got, by(LIGHT, sure))
    assert got.headers["lastmile-tier"] == "light"
    assert api.switch()["invocations"] == before  # nobody was asked


def recovered(api: Api) -> None:
    """Until the endpoint is asked again: one that has failed three times in a row is left alone for a while."""
    api.switch(**RIGHT)
    deadline = time.monotonic() + 60
    while "lastmile-degraded" in api.infer("cascaded", unsure()).headers:
        assert time.monotonic() < deadline
        time.sleep(0.3)


def unsure() -> Any:
    return ROWS[by(LIGHT, ROWS)[1].max(axis=1) < THRESHOLD]


def test_whatever_is_wrong_with_the_endpoint_no_request_fails(api: Api) -> None:
    rows = unsure()
    accepted: list[tuple[str, Answer]] = []
    for switches, reason in WRONG:
        recovered(api)
        api.switch(**RIGHT | switches)
        degraded = api.infer("cascaded", rows)
        same(degraded, by(LIGHT, rows))
        assert degraded.headers["lastmile-tier"] == "light"
        # Another process may rest from what was before.
        assert degraded.headers["lastmile-degraded"] in (reason, *REASONS)
        accepted += [(model, api.infer(model, rows)) for model in ("awaited", "remote")]
    api.switch(**RIGHT)
    assert {got.status for _, got in accepted} == {202}
    for model, got in accepted:  # what has failed already is asked again half a minute later, all at the same time
        assert json.loads(got.body)["state"] == "pending"
        answered = api.wait(got.headers["location"], 120)
        same(answered, MODELS[model][1](rows))
        assert answered.headers["lastmile-prediction-id"] == got.headers["lastmile-prediction-id"]


def test_nothing_is_lost_through_a_wake_up(api: Api) -> None:
    """Each request is answered rightly, or degraded and marked, or with a place where the right answer will be."""
    api.switch(**RIGHT | {"asleep": True, "wake_seconds": 3600})
    names = ("cascaded", "cascaded", "cascaded", "awaited", "remote", "cascaded")

    def ask(number: int) -> tuple[str, Any, Answer]:
        model, row = names[number % len(names)], ROWS[number % len(ROWS)][None]
        if number == REQUESTS // 2:
            api.switch(**RIGHT)
        return model, row, api.infer(model, row)

    def state(model: str, row: Any, got: Answer) -> str:
        if got.status == 202:
            same(api.wait(got.headers["location"]), MODELS[model][1](row))
            return "later"
        if "lastmile-degraded" in got.headers:
            same(got, by(LIGHT, row))
            return "degraded"
        same(got, MODELS[model][1](row))
        return "now"

    with ThreadPoolExecutor(4) as pool:
        asked = list(pool.map(ask, range(REQUESTS)))
        states = Counter(pool.map(lambda one: state(*one), asked))
    assert {got.status for _, _, got in asked} <= {200, 202}
    assert states.total() == REQUESTS
    assert {"degraded", "later"} <= states.keys()


def test_a_decision_may_come_later_too(api: Api) -> None:
    rows = unsure()[:2]
    asked = {"instances": rows.tolist()}
    api.switch(**RIGHT | {"asleep": True, "wake_seconds": 0.5})
    got = api.call("POST", "/v1/models/remote:decide", asked)
    if got.status == 202:
        got = api.wait(got.headers["location"])
    decided = json.loads(got.body)
    assert [one["prediction"]["label"] for one in decided["decisions"]] == by(HEAVY, rows)[0].tolist()
    assert api.call("GET", "/v1/predictions/01KAJ4Y5N8V3W6Q2T9XZ7RMBDC").status == 404


def test_a_batch_asks_the_same_endpoint(api: Api, stack: Target, tmp_path: Path) -> None:
    api.switch(**RIGHT)
    pq.write_table(pa.table({"x": ROWS.tolist()}), tmp_path / "rows.parquet")
    asked: dict[str, Any] = {"version": None, "keep": [], "decides": False, "batch_rows": None, "part_rows": 20}
    for model in ("cascaded", "remote"):
        data = str(tmp_path / "rows.parquet")
        batch = job_of(stack, asked | {"model": model}, data, None, form="parquet", actor="test")
        report = followed(stack, batch, begun(stack, batch, 0.0))
        assert (report["state"], report["rows"], report["parts"]) == ("done", len(ROWS), 2), report
        store = store_of(stack, stack.data_bucket)
        found = pa.concat_tables(pq.read_table(pa.BufferReader(store.get(batch.part(part)).data)) for part in (0, 1))
        label, probabilities = MODELS[model][1](ROWS)
        assert found.column("label").to_pylist() == label.tolist()
        np.testing.assert_allclose(found.column("probabilities.a").to_numpy(), probabilities[:, 0], rtol=1e-5)
        assert set(found.column("tier").to_pylist()) == ({"heavy"} if model == "remote" else {"light", "heavy"})
