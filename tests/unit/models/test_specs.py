"""What the five declared models promise: specs that hold, data that fits them, requests that fit the data."""

import importlib
import io
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from functions.retraining.data import Validation, validate
from functions.retraining.recipes import load
from lastmile.decision import policy_of
from lastmile.metrics import find
from lastmile.spec import ModelSpec
from lastmile.tensors import Signature
from models.maker import csv_of
from models.recommendations.data import catalogue

MODELS = Path(importlib.import_module("models").__file__ or "").parent
NAMES = ("demand", "fraud", "maintenance", "recommendations", "tickets")
KINDS = {
    "demand": "order",
    "fraud": "threshold",
    "maintenance": "cost",
    "recommendations": "top",
    "tickets": "route",
}


def spec_of(name: str) -> ModelSpec:
    return ModelSpec.from_toml(MODELS / name / "spec.toml")


def validated(name: str, text: str) -> Validation:
    spec = spec_of(name)
    columns = getattr(load(spec), "columns", None)
    return validate(io.BytesIO(text.encode()), f"{name}.csv", spec, columns=columns and columns(spec))


def test_every_folder_is_known() -> None:
    folders = {path.parent.name for path in MODELS.glob("*/data.py")}
    assert folders == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_spec_is_complete(name: str) -> None:
    spec = spec_of(name)
    assert spec.name == name
    assert spec.training is not None
    assert spec.gates
    assert spec.decision is not None
    assert spec.decision.kind == KINDS[name]
    policy_of(spec.decision.kind, spec.decision.options, Signature(spec.inputs, spec.outputs))


@pytest.mark.parametrize("name", NAMES)
def test_the_gates_are_metrics_of_the_task(name: str) -> None:
    spec = spec_of(name)
    for gate in spec.gates:
        assert spec.task in find(gate.metric).tasks


@pytest.mark.parametrize("name", NAMES)
def test_the_recipe_accepts_the_spec_and_all_of_the_data_can_be_used(name: str) -> None:
    data: Any = importlib.import_module(f"models.{name}.data")
    found = validated(name, csv_of(data.make(2_400, 0)))
    assert found.bad_rows.total == 0
    assert [finding for finding in found.report.findings if finding.level != "note"] == []
    assert found.table.rows == 2_400
    assert found.report.ignored == ()


@pytest.mark.parametrize("name", NAMES)
def test_the_sample_request_names_the_features(name: str) -> None:
    body = json.loads((MODELS / name / "request.json").read_text())
    known = set(spec_of(name).feature_names)
    assert all(set(row) <= known for row in body["rows"])
    assert len(body.get("context", body["rows"])) == len(body["rows"])


def test_frequent_questions_belong_to_teams_and_facts_to_products() -> None:
    faq = tomllib.loads((MODELS / "tickets" / "faq.toml").read_text())
    teams = set(next(output for output in spec_of("tickets").outputs if output.columns).columns)
    assert {question["team"] for question in faq["questions"]} == teams
    identifiers = [question["id"] for question in faq["questions"]]
    assert len(set(identifiers)) == len(identifiers) >= 25
    assert all(question["answer"] and question["variants"] for question in faq["questions"])
    assert {product["item"] for product in faq["products"]} <= {product.item for product in catalogue()}
