"""A binary request whose header came before gets the answer of one whose header is new."""

import json
from typing import Any

import numpy as np
import pytest

from lastmile.capture import Capture
from lastmile.model import OnnxModel
from lastmile.predictor import Predictor
from lastmile.protocols import plans
from lastmile.protocols.messages import Request, Response
from lastmile.protocols.routes import Protocols
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from tests.unit.inference import graphs

WHO: Any = {"actor": "test", "why": "test"}
HEADER = "inference-header-content-length"


class Served:
    """A model with one FP32 input and one FP32 output, behind the protocols, and the lines of its captures."""

    def __init__(self, data: bytes) -> None:
        registry = Registry(Store.open("memory://", environ={}))
        signature = OnnxModel.open(data, threads=1).signature
        spec = ModelSpec("lin", "regression", "", signature.inputs, signature.outputs)
        facts: dict[str, Any] = {"metrics": {}, "lineage": {}, "compression": {}}
        registry.push(spec, data, signature=signature, **facts, **WHO)
        registry.promote("lin", 1, **WHO)
        self.lines: list[bytes] = []
        self.predictor = Predictor(registry, threads=1, capture=Capture(self.lines.append))
        self.protocols = Protocols(self.predictor)

    def ask(self, header: dict[str, Any], binary: bytes) -> Response:
        said = json.dumps(header).encode()
        request = Request("POST", "/v2/models/lin/infer", "", {HEADER: str(len(said))}, said + binary)
        response = self.protocols.answer(request)
        assert response is not None
        return response

    def plans(self) -> dict[bytes, Any]:
        return self.predictor.resolve("lin").loaded.plans


@pytest.fixture
def served() -> Served:
    return Served(graphs.linear())


def header(rows: int, *, size: int | None = None, **more: Any) -> dict[str, Any]:
    parameters = {"binary_data_size": rows * 12 if size is None else size}
    tensor = {"name": "x", "shape": [rows, 3], "datatype": "FP32", "parameters": parameters}
    return {"inputs": [tensor], "parameters": {"binary_data_output": True}, **more}


def rows(count: int, seed: int) -> bytes:
    return np.random.default_rng(seed).random((count, 3), dtype=np.float32).tobytes()


def numbers(response: Response) -> np.ndarray[Any, Any]:
    said = json.loads(response.body[: int(response.headers[HEADER])])
    (output,) = said["outputs"]
    assert output["parameters"]["binary_data_size"] == len(response.body) - int(response.headers[HEADER])
    return np.frombuffer(response.body[int(response.headers[HEADER]) :], np.float32).reshape(output["shape"])


def test_a_header_that_came_before_is_answered_alike(served: Served) -> None:
    first, again, other = (served.ask(header(4), rows(4, seed)) for seed in (1, 1, 2))
    assert len(served.plans()) == 1
    assert first.body == again.body
    assert first.headers.keys() == again.headers.keys()
    assert first.headers["lastmile-prediction-id"] != again.headers["lastmile-prediction-id"]
    fresh = Served(graphs.linear())
    np.testing.assert_array_equal(numbers(other), numbers(fresh.ask(header(4), rows(4, 2))))
    assert not np.array_equal(numbers(other), numbers(first))
    captured = [json.loads(line) for line in served.lines]
    assert captured[0]["inputs"] == captured[1]["inputs"] != captured[2]["inputs"]


def test_a_known_header_with_other_data_behind_it_is_refused_as_ever(served: Served) -> None:
    wrong = (rows(4, 1)[:-1], rows(4, 1) + b"x", b"")
    refused = [served.ask(header(4), data) for data in wrong]
    assert not served.plans()
    assert served.ask(header(4), rows(4, 1)).status == 200
    assert len(served.plans()) == 1
    assert [response.status for response in refused] == [400] * 3
    assert [served.ask(header(4), data).body for data in wrong] == [response.body for response in refused]


@pytest.mark.parametrize(
    "more",
    [
        {"id": "mine"},
        {"parameters": {}},
        {"outputs": [{"name": "y"}], "parameters": {}},
        {"inputs": [{"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1.0, 2.0, 3.0]}]},
    ],
)
def test_what_is_not_all_binary_or_has_an_id_is_not_planned(served: Served, more: dict[str, Any]) -> None:
    data = b"" if "inputs" in more else rows(4, 1)
    answers = [served.ask({**header(4), **more}, data) for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert answers[0].body == answers[1].body
    assert not served.plans()


def test_no_rows_at_all_are_planned_too(served: Served) -> None:
    assert [numbers(served.ask(header(0), b"")).shape for _ in range(2)] == [(0, 2)] * 2


def test_plans_are_bounded(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(plans, "MOST_PLANS", 3)
    for count in range(1, 9):
        assert served.ask(header(count), rows(count, 1)).status == 200
        assert len(served.plans()) <= 3
    long = {"parameters": {"binary_data_output": True, "note": "a" * 5000}}
    assert served.ask({**header(2), **long}, rows(2, 1)).status == 200
    assert all(len(known) < 5000 for known in served.plans())


def test_the_header_of_another_shape_is_worked_out(served: Served) -> None:
    response = served.ask(header(4), rows(4, 1))
    (plan,) = served.plans().values()
    plan.headers.clear()
    assert served.ask(header(4), rows(4, 1)).body == response.body
    assert len(plan.headers) == 1
