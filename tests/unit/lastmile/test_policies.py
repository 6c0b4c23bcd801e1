from collections.abc import Mapping
from typing import Any

import pytest

from lastmile.errors import InvalidSpec
from lastmile.policies import SECTIONS, Canary, Feature, Gate
from lastmile.spec import ModelSpec, validate

FULL: dict[str, dict[str, Any]] = {
    "training": {"recipe": "tabular", "target": "fraud", "time": "at", "options": {"rounds": 5}},
    "compression": {"metric": "accuracy", "max_loss": 0.01, "candidates": ["int8-static"]},
    "certificate": {"tolerance": 1e-3, "max_mismatch_share": 0.01},
    "approval": {"policy": "manual", "expires_hours": 1},
    "canary": {"steps": [0.1, 0.5], "bake_seconds": 5, "false_alarm": 0.01},
    "capture": {"rate": 0.25},
    "drift": {"every_hours": 1, "window_hours": 48, "tolerance": 0.2, "joint": True},
    "retrain": {"on_drift": True, "cooldown_hours": 1, "feedback_rows": 500},
    "decision": {"kind": "route", "options": {"sure_from": 0.9}},
    "heavy": {"mode": "cascade", "threshold": 0.7, "asleep": "degraded", "instance": "ml.g6.xlarge", "tensorrt": True},
}


def spec(**sections: Any) -> dict[str, Any]:
    backend = {"backend": "sagemaker"} if "heavy" in sections else {}
    return {
        "name": "fraud",
        "task": "classification",
        "description": "Is this payment a fraud?",
        "inputs": [
            {"name": "numbers", "datatype": "FP32", "shape": [-1, 2], "columns": ["amount", "age"]},
            {"name": "country", "datatype": "BYTES", "shape": [-1]},
        ],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["no", "yes"]},
        ],
        **backend,
        **sections,
    }


def test_every_section_is_optional() -> None:
    bare = validate(spec())
    assert bare.training is None
    assert bare.decision is None
    assert bare.canary == Canary()


@pytest.mark.parametrize("name", SECTIONS)
def test_a_section_says_what_it_says(name: str) -> None:
    section = getattr(validate(spec(**{name: FULL[name]})), name)
    assert section != getattr(validate(spec()), name)
    for key, value in FULL[name].items():
        assert getattr(section, key) == (tuple(value) if isinstance(value, list) else value)


@pytest.mark.parametrize("name", SECTIONS)
def test_an_unknown_key_in_a_section_is_an_error(name: str) -> None:
    with pytest.raises(InvalidSpec, match=rf"{name}.tolerence: unknown key"):
        validate(spec(**{name: FULL[name] | {"tolerence": 1}}))


def test_a_spec_with_every_section_comes_back_from_its_document() -> None:
    features = {"amount": {"minimum": 0, "monotonic": "increasing"}, "country": {"categories": ["DE", "FR"]}}
    gates = [{"metric": "auc", "at_least": 0.9}, {"metric": "auc", "champion_margin": -0.01}]
    full = validate(spec(**FULL, features=features, gates=gates))
    assert full.features["country"] == Feature(categories=("DE", "FR"))
    assert full.gates == (Gate("auc", at_least=0.9), Gate("auc", champion_margin=-0.01))
    assert ModelSpec.from_document(full.to_document()) == full
    assert validate(full.to_document()) == full


def test_what_serving_needs_is_the_policy() -> None:
    policy = validate(spec(capture={"rate": 0.5}, decision={"kind": "route", "options": {"margin": 0.1}})).policy()
    assert policy == {
        "task": "classification",
        "capture": {"rate": 0.5},
        "decision": {"kind": "route", "options": {"margin": 0.1}},
        "heavy": None,
    }


def test_who_answers_on_a_gpu_is_part_of_the_policy() -> None:
    heavy = validate(spec(heavy=FULL["heavy"])).policy()["heavy"]
    assert heavy | FULL["heavy"] == heavy
    assert (heavy["deadline_seconds"], heavy["realtime_bytes"], heavy["max_batch"]) == (20.0, 6_000_000, 32)


def test_a_cascade_needs_probabilities_of_a_classification() -> None:
    document = spec(heavy={"mode": "cascade"})
    for broken in ({"outputs": document["outputs"][:1]}, {"task": "anomaly"}):
        with pytest.raises(InvalidSpec, match="heavy.mode: a cascade needs a classification"):
            validate(document | broken)
        assert validate(document | broken | {"heavy": {"mode": "always"}}).heavy


@pytest.mark.parametrize("shape", [[-1], [-1, 2, 2]])
def test_a_cascade_needs_the_probabilities_of_each_row(shape: list[int]) -> None:
    document = spec(heavy={"mode": "cascade"})
    (probabilities,) = (output for output in document["outputs"] if output["name"] == "probabilities")
    probabilities["shape"] = [-1, -1]
    probabilities.pop("columns", None)
    assert validate(document).heavy
    probabilities["shape"] = shape
    with pytest.raises(InvalidSpec, match=r"heavy.mode: a cascade needs 'probabilities' of shape \[rows, classes\]"):
        validate(document)
    assert validate(document | {"heavy": {"mode": "always"}}).heavy


def test_the_heavy_side_takes_batches() -> None:
    document = spec(heavy={"mode": "always"})
    document["inputs"][0]["shape"] = [1, 2]
    with pytest.raises(InvalidSpec, match=r"inputs\[0\].shape: on the heavy side the first axis must be -1"):
        validate(document)


def test_a_feature_is_a_column_or_a_tensor_without_columns() -> None:
    assert validate(spec()).feature_names == ("amount", "age", "country")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"features": {"amout": {}}}, "features.amout: no input has such a column .*; did you mean 'amount'"),
        ({"features": {"country": {"minimum": 1}}}, "features.country: minimum, maximum and monotonic are of numbers"),
        ({"features": {"age": {"categories": ["a"]}}}, "features.age: categories are of texts, and it is a number"),
        ({"features": {"amount": {"minimum": 2, "maximum": 1}}}, "features.amount: minimum 2.0 is above maximum 1.0"),
        ({"features": {"country": {"categories": ["a"], "minimum": 1}}}, "categories are of texts"),
        ({"features": {"country": {"categories": ["a", "a"]}}}, "more than once"),
        ({"training": {"recipe": "magic"}}, "training.recipe: Input should be"),
        ({"training": {"recipe": "text", "holdout": 1}}, "training.holdout: 1.0 is no share"),
        ({"training": {"recipe": "text", "max_bad_share": 1}}, "training.max_bad_share"),
        ({"training": {"recipe": "text", "seed": -1}}, "training.seed"),
        ({"gates": [{"metric": "auc"}]}, r"gates\[0\]: exactly one of at_least"),
        ({"gates": [{"metric": "auc", "at_least": 1, "at_most": 2}]}, r"gates\[0\]: exactly one of"),
        ({"gates": [{"metric": "acuracy", "at_least": 1}]}, r"gates\[0\].metric: there is no metric 'acuracy'"),
        ({"gates": [{"metric": "mae", "at_most": 1}]}, r"gates\[0\].metric: mae is no metric of classification"),
        ({"gates": [{"metric": "auc", "group_gap_at_most": 1}]}, r"gates\[0\]: group_gap_at_most needs a feature"),
        ({"gates": [{"metric": "auc", "train_gap_at_most": -1}]}, r"gates\[0\]: train_gap_at_most: -1.0 must not be"),
        ({"gates": [{"metric": "auc", "at_least": 95}]}, r"gates\[0\].at_least: 95 is above 1, the most that auc"),
        ({"gates": [{"metric": "auc", "at_most": -1}]}, r"gates\[0\].at_most: -1 is below all that auc"),
        ({"compression": {"metric": "rmse"}}, "compression.metric: rmse is no metric of classification"),
        ({"compression": {"max_loss": -1}}, "compression.max_loss"),
        ({"certificate": {"tolerance": -1}}, "certificate.tolerance"),
        ({"certificate": {"max_mismatch_share": 1}}, "certificate.max_mismatch_share"),
        ({"approval": {"expires_hours": 0}}, "approval.expires_hours"),
        ({"canary": {"steps": [0.5, 0.1]}}, r"canary.steps: \[0.5, 0.1\] must rise"),
        ({"canary": {"steps": [0]}}, "canary.steps"),
        ({"canary": {"bake_seconds": -1}}, "canary.bake_seconds"),
        ({"canary": {"bake_seconds": 16e6}}, "canary.bake_seconds: 1.6e.07 must not be negative, nor all steps longer"),
        ({"canary": {"min_requests": 0}}, "canary.min_requests"),
        ({"canary": {"max_error_increase": 1}}, "canary.max_error_increase"),
        ({"canary": {"max_latency_ratio": 0.5}}, "canary.max_latency_ratio"),
        ({"canary": {"false_alarm": 0}}, "canary.false_alarm"),
        ({"capture": {"rate": 1.5}}, "capture.rate"),
        ({"drift": {"every_hours": 0}}, "drift.every_hours"),
        ({"drift": {"window_hours": 0}}, "drift.window_hours"),
        ({"drift": {"tolerance": 1}}, "drift.tolerance"),
        ({"drift": {"alarms_per_year": 0}}, "drift.alarms_per_year"),
        ({"retrain": {"cooldown_hours": -1}}, "retrain.cooldown_hours"),
        ({"retrain": {"cooldown_hours": 1e6}}, "retrain.cooldown_hours: 1e.06 must be from 0 to 87672, ten years"),
        ({"retrain": {"feedback_rows": -1}}, "retrain.feedback_rows"),
        ({"decision": {"kind": "dice"}}, "decision.kind: Input should be"),
        ({"backend": "sagemaker"}, r'"sagemaker" and the section \[heavy\] go together'),
        ({"backend": "onnx", "heavy": {"mode": "always"}}, r'"sagemaker" and the section \[heavy\] go together'),
        ({"heavy": {}}, "heavy.mode: missing"),
        ({"heavy": {"mode": "sometimes"}}, "heavy.mode: Input should be"),
        ({"heavy": {"mode": "always", "threshold": 0}}, "heavy.threshold: 0.0 is no probability"),
        ({"heavy": {"mode": "always", "deadline_seconds": 29}}, "heavy.deadline_seconds: 29.0 must be above 0"),
        ({"heavy": {"mode": "always", "realtime_bytes": 26 << 20}}, "heavy.realtime_bytes: 27262976 must be"),
        ({"heavy": {"mode": "always", "instance": "g5.xlarge"}}, "heavy.instance: 'g5.xlarge' is no instance type"),
        ({"heavy": {"mode": "always", "max_instances": 0}}, "heavy.max_instances: 0 must be from 1 to 100"),
        ({"heavy": {"mode": "always", "memory_mb": 0}}, "heavy.memory_mb: 0 must be"),
        ({"heavy": {"mode": "always", "max_batch": 0}}, "heavy.max_batch: 0 must be from 1 to 4096"),
        ({"heavy": {"mode": "always", "concurrency": 0}}, "heavy.concurrency: 0.0 must be above 0"),
        ({"heavy": {"mode": "always", "batch_delay_us": -1}}, "heavy.batch_delay_us: -1 must be"),
        ({"heavy": {"mode": "always", "precision": "int4"}}, "heavy.precision: Input should be"),
    ],
)
def test_what_is_wrong_is_named(sections: Mapping[str, Any], message: str) -> None:
    with pytest.raises(InvalidSpec, match=message):
        validate(spec(**sections))


def test_a_sensitive_column_may_be_none_of_the_inputs() -> None:
    assert validate(spec(features={"sex": {"sensitive": True}})).features["sex"].sensitive


@pytest.mark.parametrize("section", ["training", "decision"])
def test_two_inputs_cannot_share_a_column_that_is_trained_on_or_decided_by(section: str) -> None:
    doubled = spec(**{section: FULL[section]})
    doubled["inputs"][1]["name"] = "age"
    with pytest.raises(InvalidSpec, match="inputs: 'age' is there more than once"):
        validate(doubled)


def test_the_bound_of_a_gate_is_its_kind_and_value() -> None:
    assert Gate("auc", train_gap_at_most=0.05).bound == ("train_gap_at_most", 0.05)
