"""The declared models all the way in one process: made, validated, trained, judged, certified, registered, asked."""

import importlib
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from functions.retraining.certificate import certify
from functions.retraining.data import validate
from functions.retraining.evaluation import evaluate
from functions.retraining.gates import check_gates
from functions.retraining.recipes import load
from lastmile.model import OnnxModel
from lastmile.predictor import Predictor
from lastmile.protocols.messages import Request
from lastmile.protocols.routes import Protocols
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from models.maker import csv_of
from tests.unit.models.test_specs import MODELS, spec_of

ROWS = {"demand": 4_800, "fraud": 9_000, "maintenance": 5_000, "recommendations": 8_000, "tickets": 3_000}
FEWER = {"demand": {"trees": 20}}  # options that make a model a little worse, and a test much shorter
EXPECTED = {
    "demand": {"order", "enough"},
    "fraud": {"allow", "review", "block"},
    "maintenance": {"fine", "schedule", "inspect now"},
    "recommendations": {"recommend"},
    "tickets": {"account", "delivery", "finance", "orders", "product", "returns", "technical", "triage"},
}


@pytest.mark.parametrize("name", ROWS)
def test_a_declared_model_passes_its_gates_and_decides(name: str) -> None:
    spec = shortened(spec_of(name))
    recipe = load(spec)
    data: Any = importlib.import_module(f"models.{name}.data")
    columns = getattr(recipe, "columns", None)
    made = io.BytesIO(csv_of(data.make(ROWS[name], 0)).encode())
    table = validate(made, f"{name}.csv", spec, columns=columns and columns(spec)).table
    training, held_out = recipe.split(table, spec)
    fitted = recipe.fit(training, spec)
    examples = recipe.examples(held_out, spec, training=training)
    learnt = recipe.examples(training, spec, training=training)
    evaluation = evaluate(fitted.onnx, examples, learnt, spec.task, spec)
    certify(fitted, fitted.onnx, examples.feeds, spec)
    assert [outcome.sentence for outcome in check_gates(spec.gates, evaluation) if not outcome.passed] == []
    decisions = decided(name, fitted.onnx)
    assert {one["decision"] for one in decisions} == EXPECTED[name]
    assert all(one["reasons"] for one in decisions)


def shortened(spec: ModelSpec) -> ModelSpec:
    assert spec.training is not None
    options = spec.training.options | FEWER.get(spec.name, {})
    return replace(spec, training=replace(spec.training, options=options))


def decided(name: str, onnx: bytes) -> list[dict[str, Any]]:
    """The sample request and rows that no training saw, over a registry that holds the model."""
    spec, registry = spec_of(name), Registry(Store.open("memory://", environ={}))
    signature = spec.signature(OnnxModel.open(onnx, threads=1).signature)
    who: Any = {"actor": "test", "why": "test"}
    registry.push(spec, onnx, signature=signature, metrics={}, lineage={}, compression={}, **who)
    registry.promote(name, 1, **who)
    protocols = Protocols(Predictor(registry, threads=1))
    decisions: list[dict[str, Any]] = []
    for body in ((MODELS / name / "request.json").read_bytes(), json.dumps(asked(name)).encode()):
        response = protocols.answer(Request("POST", f"/v1/models/{name}:decide", body=body))
        assert response is not None
        assert response.status == 200, response.body
        decisions += json.loads(response.body)["decisions"]
    return decisions


def asked(name: str) -> dict[str, Any]:
    data: Any = importlib.import_module(f"models.{name}.data")
    body = {"rows": data.requests(1, 200)}
    return body | ({"context": data.contexts(1, 200)} if hasattr(data, "contexts") else {})
