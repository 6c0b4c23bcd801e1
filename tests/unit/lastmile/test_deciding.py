"""Decisions over the protocol: features by name, policies from the version, lines in the capture."""

import json
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from lastmile.capture import Capture
from lastmile.policies import Decision
from lastmile.predictor import Predictor
from lastmile.protocols.deciding import MAX_ROWS
from lastmile.protocols.messages import Request, Response
from lastmile.protocols.routes import Protocols
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec

WHO: Any = {"actor": "test", "why": "test"}
SIGNATURE = Signature(
    (
        TensorSpec("numbers", "FP32", (-1, 2), columns=("risk", "amount")),
        TensorSpec("age", "FP32", (-1, 1), nullable=True),
        TensorSpec("category", "BYTES", (-1,)),
    ),
    (
        TensorSpec("probabilities", "FP32", (-1, 2), columns=("0", "1")),
        TensorSpec("category_again", "BYTES", (-1,)),
        TensorSpec("age_again", "FP32", (-1, 1)),
    ),
)
COSTS = {"amount": "amount", "review_cost": 5.0, "review_finds": 0.9, "block_cost": 20.0}
ROW = {"risk": 0.45, "amount": 100.0, "age": 7.0, "category": "food"}


def payments() -> bytes:
    """The probability is the risk itself; the other inputs come back."""
    graph = helper.make_graph(
        [
            helper.make_node("Gather", ["numbers", "first"], ["risk"], axis=1),
            helper.make_node("Sub", ["one", "risk"], ["rest"]),
            helper.make_node("Concat", ["rest", "risk"], ["probabilities"], axis=1),
            helper.make_node("Identity", ["category"], ["category_again"]),
            helper.make_node("Identity", ["age"], ["age_again"]),
        ],
        "payments",
        [
            helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("age", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("category", TensorProto.STRING, ["n"]),
        ],
        [
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
            helper.make_tensor_value_info("category_again", TensorProto.STRING, ["n"]),
            helper.make_tensor_value_info("age_again", TensorProto.FLOAT, ["n", 1]),
        ],
        [numpy_helper.from_array(np.array([0]), "first"), numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


class World:
    """Version 1 has the policy above, version 2 another, version 3 none; 1 is champion."""

    def __init__(self) -> None:
        self.lines: list[Any] = []
        store = Store.open("memory://", environ={})
        self.registry = Registry(store)
        for decision in (
            Decision("threshold", COSTS),
            Decision("threshold", COSTS | {"block_from": 0.4}),
            None,
        ):
            spec = ModelSpec("payments", "classification", "", SIGNATURE.inputs, SIGNATURE.outputs, decision=decision)
            self.registry.push(spec, payments(), signature=SIGNATURE, metrics={}, lineage={}, compression={}, **WHO)
        self.registry.promote("payments", 1, **WHO)
        predictor = Predictor(self.registry, threads=1, release_seconds=0.0, capture=Capture(self.lines.append))
        self.protocols = Protocols(predictor)

    def ask(self, body: Any, path: str = "/v1/models/payments:decide") -> Response:
        response = self.protocols.answer(Request("POST", path, body=json.dumps(body).encode()))
        assert response is not None
        return response

    def decide(self, *rows: Any, **more: Any) -> Any:
        response = self.ask({"rows": list(rows), **more})
        assert response.status == 200, response.body
        return json.loads(response.body)

    def refused(self, body: Any, path: str = "/v1/models/payments:decide") -> str:
        response = self.ask(body, path)
        assert response.status == 400, response.body
        assert self.lines == []
        return str(json.loads(response.body)["error"])


@pytest.fixture
def world() -> World:
    return World()


def test_rows_are_decided_in_order_with_reasons_and_the_prediction_that_led_there(world: World) -> None:
    response = world.ask({"rows": [ROW, ROW | {"risk": 0.01}, ROW | {"risk": 0.99, "age": 0.25}]})
    answer = json.loads(response.body)
    assert [row["decision"] for row in answer["decisions"]] == ["review", "allow", "block"]
    assert (answer["model"], answer["version"]) == ("payments", "1")
    assert answer["prediction_id"] == response.headers["lastmile-prediction-id"]
    assert response.headers["lastmile-role"] == "champion"
    assert answer["decisions"][2] == {
        "decision": "block",
        "reasons": [
            "The probability of class 1 is 99.0 % with 100.00 EUR at stake.",
            "Expected cost in EUR: allow 99.00, review 14.90, block 0.20.",
            "At this amount review begins at 5.6 % and block at 50.0 %.",
        ],
        "review": False,
        "details": {
            "probability": 0.99,
            "amount": 100.0,
            "expected_costs": {"allow": 99.0, "review": 14.9, "block": 0.2},
            "review_from": 0.055556,
            "block_from": 0.5,
        },
        "prediction": {
            "probabilities": {"0": pytest.approx(0.01, abs=1e-6), "1": 0.99},
            "category_again": "food",
            "age_again": [0.25],
        },
    }


def test_instances_are_taken_as_tensorflow_serving_has_them(world: World) -> None:
    instance = {"numbers": [0.45, 100.0], "age": [7.0], "category": "food"}
    by_instance = json.loads(world.ask({"instances": [instance]}).body)["decisions"]
    assert by_instance == world.decide(ROW)["decisions"]


def test_what_may_be_missing_may_be_left_out_or_null_and_the_answer_is_json(world: World) -> None:
    for row in (ROW | {"age": None}, {key: value for key, value in ROW.items() if key != "age"}):
        assert world.decide(row)["decisions"][0]["prediction"]["age_again"] == [None]


def test_a_text_that_is_missing_is_null_or_empty(world: World) -> None:
    for nothing in (None, ""):
        assert world.decide(ROW | {"category": nothing})["decisions"][0]["prediction"]["category_again"] == ""


def recommender(length: int) -> bytes:
    """The history comes back as the items, each with a score of one."""
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["history"], ["items"]),
            helper.make_node("Shape", ["history"], ["shape"]),
            helper.make_node("ConstantOfShape", ["shape"], ["zeros"]),
            helper.make_node("Add", ["zeros", "one"], ["scores"]),
        ],
        "recommender",
        [helper.make_tensor_value_info("history", TensorProto.STRING, ["n", "m" if length == -1 else length])],
        [
            helper.make_tensor_value_info("items", TensorProto.STRING, ["n", "m"]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", "m"]),
        ],
        [numpy_helper.from_array(np.ones(1, np.float32), "one")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.mark.parametrize(("length", "filled"), [(-1, 2), (4, 4)])
def test_lists_of_texts_may_differ_in_length(world: World, length: int, filled: int) -> None:
    signature = Signature(
        (TensorSpec("history", "BYTES", (-1, length)),),
        (TensorSpec("items", "BYTES", (-1, -1)), TensorSpec("scores", "FP32", (-1, -1))),
    )
    spec = ModelSpec("shop", "recommendation", "", signature.inputs, signature.outputs, decision=Decision("top"))
    kept: Any = {"signature": signature, "metrics": {}, "lineage": {}, "compression": {}}
    world.registry.push(spec, recommender(length), **kept, **WHO)
    world.registry.promote("shop", 1, **WHO)
    body = {"rows": [{"history": ["tent", "mat"]}, {"history": ["rope"]}, {"history": []}, {"history": None}]}
    answer = json.loads(world.ask(body, "/v1/models/shop:decide").body)
    assert [row["decision"] for row in answer["decisions"]] == ["recommend", "recommend", "nothing", "nothing"]
    assert answer["decisions"][1]["details"]["items"] == [{"item": "rope", "score": 1.0}]
    assert len(answer["decisions"][0]["prediction"]["items"]) == filled


def test_policy_and_version_move_together(world: World) -> None:
    assert world.decide(ROW)["decisions"][0]["decision"] == "review"
    world.registry.promote("payments", 2, **WHO)
    answer = world.decide(ROW)
    assert (answer["version"], answer["decisions"][0]["decision"]) == ("2", "block")
    pinned = json.loads(world.ask({"rows": [ROW]}, "/v1/models/payments/versions/1:decide").body)
    assert (pinned["version"], pinned["decisions"][0]["decision"]) == ("1", "review")


def test_the_capture_line_holds_the_decisions_and_which_ask_for_a_person(world: World) -> None:
    answer = world.decide(ROW, ROW | {"risk": 0.01})
    (captured,) = map(json.loads, world.lines)
    assert captured["id"] == answer["prediction_id"]
    assert captured["decisions"] == [
        {"row": 0, "decision": "review", "reasons": answer["decisions"][0]["reasons"], "review": True},
        {"row": 1, "decision": "allow", "reasons": answer["decisions"][1]["reasons"]},
    ]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({}, "the body needs either rows (objects of features) or instances"),
        ({"rows": [ROW], "instances": [ROW]}, "the body needs either rows (objects of features) or instances"),
        ({"rows": [ROW], "contexts": []}, "'contexts' is unknown; the body has rows or instances, and context"),
        ({"rows": []}, "rows is empty"),
        ({"rows": ROW}, "rows must be a list"),
        ({"rows": [[1, 2]]}, "rows[0] must be a JSON object"),
        ({"rows": [ROW] * (MAX_ROWS + 1)}, f"rows has {MAX_ROWS + 1} rows, at most {MAX_ROWS} are decided at once"),
        (
            {"rows": [ROW, ROW | {"colour": 1}]},
            "rows[1]: 'colour' is unknown; the model takes risk, amount, age, category",
        ),
        ({"rows": [ROW, {"age": 1.0, "risk": 0.1}]}, "rows[1]: missing amount, category"),
        ({"rows": [ROW, ROW | {"amount": "much"}]}, "input 'amount': element 1 is a string, FP32 is wanted"),
        ({"rows": [ROW | {"amount": None}]}, "input 'amount': element 0 is null, and the tensor is not nullable"),
        ({"rows": [ROW | {"amount": [1.0]}]}, "input 'amount': one value is wanted in each row"),
        ({"rows": [ROW | {"amount": -1.0}]}, "rows[0]: 'amount' is -1, and the decision takes none below 0"),
        ({"instances": [{}]}, "missing inputs: numbers, age, category"),
        ({"rows": [ROW], "context": {}}, "context must be a list"),
        ({"rows": [ROW], "context": [1]}, "context[0] must be a JSON object"),
        ({"rows": [ROW], "context": [{}, {}]}, "context has 2 entries for 1 rows"),
        ({"rows": [ROW], "context": [{"stock": 1}]}, "context[0]: 'stock' is unknown; this policy takes no context"),
    ],
)
def test_what_is_wrong_is_named_before_the_model_runs(world: World, body: Any, said: str) -> None:
    assert world.refused(body) == said


def test_a_version_without_a_policy_says_so(world: World) -> None:
    said = world.refused({"rows": [ROW]}, "/v1/models/payments/versions/3:decide")
    assert said == "version 3 of model 'payments' has no decision policy; its spec needs a [decision]"
