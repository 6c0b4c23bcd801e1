"""The tickets model with a sentence transformer, as somebody makes it: trained here, and served as a cascade."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from functions.inference.door import LambdaDoor
from functions.inference.local_endpoint import LocalEndpoint
from functions.retraining.compression import Times
from functions.retraining.door import ACTS
from functions.retraining.door import Door as Pipeline
from functions.retraining.here import follow
from functions.retraining.recipes import load
from functions.retraining.steps import compress
from lastmile.errors import InvalidSpec
from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array
from models.maker import csv_of
from models.tickets import data
from tests.unit.inference.doors import Door, Sent, listening, open_serving, through_event
from tests.unit.models.test_specs import MODELS, spec_of
from tests.unit.retraining.pipelines import Clock
from tests.unit.retraining.recipes.transformers import small_transformer

VARIANT = MODELS / "tickets/transformer.toml"
ROWS = 500
ASKED = 60
KEYS = {"AWS_ACCESS_KEY_ID": "AKIDEXAMPLE", "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI", "AWS_REGION": "eu-west-1"}


def variant() -> ModelSpec:
    return ModelSpec.from_toml(VARIANT)


def small() -> ModelSpec:
    """With a transformer of two layers, and without gates, since it knows no English."""
    spec = variant()
    assert spec.training is not None
    options = {**spec.training.options, "encoder": small_transformer(), "encoder_share": 0.2, "steps": 20}
    return replace(spec, training=replace(spec.training, options=options), gates=())


def test_but_for_its_encoder_and_its_sides_it_is_the_tickets_model() -> None:
    plain, with_encoder = spec_of("tickets"), variant()
    assert plain.training is not None
    assert with_encoder.training is not None
    added = {"encoder": "models/tickets/encoder"}
    assert with_encoder.training.options == {**plain.training.options, **added}
    assert with_encoder.heavy is not None
    same: Any = {"training": plain.training, "compression": plain.compression, "heavy": None, "backend": plain.backend}
    assert replace(with_encoder, **same) == plain


def test_half_floats_are_not_what_training_leaves() -> None:
    spec = variant()
    assert spec.heavy is not None
    with pytest.raises(InvalidSpec, match=r"heavy\.precision: .*lastmile push --heavy"):
        load(replace(spec, heavy=replace(spec.heavy, precision="fp16")))


def equally_fast(models: Mapping[str, OnnxModel], feeds: Mapping[str, Array]) -> Times:
    return dict.fromkeys(models, (1e-3, 1e-4))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The stores, after two runs: the plain model's, and then the variant's."""
    uri = tmp_path_factory.mktemp("stores").as_uri()
    clock = Clock()
    pipeline = Pipeline.open({"LASTMILE_ARTIFACTS": uri, "LASTMILE_DATA": uri}, clock=clock)
    pipeline.acts = {**ACTS, "compress": partial(compress, timed=equally_fast)}
    for number, spec in enumerate((replace(spec_of("tickets"), gates=()), small())):
        pipeline.desk.registry.declare(spec, actor="test", why="test")
        key = f"training/tickets/{number}.csv"
        pipeline.desk.data.put(key, csv_of(data.make(ROWS, number)).encode())
        run = follow(pipeline, key, execution="test", say=lambda _: None, sleep=clock.sleep)
        assert run is not None
        assert run["problem"] is None, run["problem"]
    return uri


@pytest.fixture(scope="module")
def registry(place: str) -> Registry:
    return Registry(Store.open(place, environ={}))


@pytest.fixture(scope="module")
def made(registry: Registry) -> Manifest:
    return registry.manifest("tickets", 2)


def has_integer_weights(graph: bytes) -> bool:
    kinds = {tensor.data_type for tensor in onnx.ModelProto.FromString(graph).graph.initializer}
    return bool(kinds & {TensorProto.INT8, TensorProto.UINT8})


def test_its_version_has_both_sides(registry: Registry, made: Manifest) -> None:
    repository = unpacked(registry.file(made, PACKAGE))
    light, heavy = registry.artefact(made), repository.onnx
    assert repository.name == "tickets"
    assert "max_batch_size: 32" in repository.config
    assert made.compression["kind"] == "int8-dynamic"
    assert has_integer_weights(light)
    assert not has_integer_weights(heavy)
    assert made.compression["heavy"]["precision"] == "fp32"
    assert made.compression["heavy"]["bytes"] == len(heavy)
    assert made.compression["heavy"]["metrics"]["accuracy"] > 0.5
    assert registry.release("tickets").champion == 2


def test_its_heavy_side_is_what_was_certified(registry: Registry, made: Manifest) -> None:
    certificate = json.loads(registry.file(made, "certificate.json"))
    assert certificate["probes"] > 100
    numbers = [one for one in certificate["compared"] if one["output"] == "probabilities"]
    assert all(one["largest_difference"] < certificate["tolerance"] for one in numbers)


def test_int8_answers_as_the_trained_graph_does_but_for_rounding(registry: Registry, made: Manifest) -> None:
    rows = {candidate["name"]: candidate for candidate in made.compression["candidates"]}
    assert rows["int8-dynamic"]["bytes"] < rows["fp32"]["bytes"]
    assert rows["int8-dynamic"]["metric"] == pytest.approx(rows["fp32"]["metric"], abs=0.05)


@contextmanager
def served(place: str) -> Iterator[tuple[Door, LocalEndpoint]]:
    told = {"LASTMILE_ARTIFACTS": place, "LASTMILE_STAGE": "test", **KEYS}
    endpoint = LocalEndpoint(told)
    with listening(endpoint, http="httptools") as port:
        serving = open_serving({**told, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": f"http://127.0.0.1:{port}"})
        yield through_event(LambdaDoor(serving)), endpoint
        serving.predictor.heavy.reconnect()


def probabilities(graph: bytes, texts: list[str]) -> Array:
    return OnnxModel.open(graph, threads=1).run(["probabilities"], {"text": np.array(texts, object)})[0]


def test_each_message_is_answered_by_its_own_side(place: str, registry: Registry, made: Manifest) -> None:
    texts = [row["text"] for row in data.requests(3, ASKED)]
    light = probabilities(registry.artefact(made), texts)
    heavy = probabilities(unpacked(registry.file(made, PACKAGE)).onnx, texts)
    assert made.policy["heavy"]["threshold"] == 0.8
    sure = light.max(axis=1) >= 0.8
    assert 0 < sure.sum() < ASKED
    tensor = {"name": "text", "datatype": "BYTES", "shape": [ASKED], "data": texts}
    with served(place) as (door, endpoint):
        got = door(Sent("POST", "/v2/models/tickets/infer", json.dumps({"inputs": [tensor]}).encode()))
        asked = endpoint.counts["invocations"]
    assert got.status == 200, got.body
    assert got.headers["lastmile-tier"] == "cascade"
    assert "lastmile-degraded" not in got.headers
    assert asked == -(-int((~sure).sum()) // 32)
    answers = {output["name"]: output for output in json.loads(got.body)["outputs"]}
    found = np.reshape(answers["probabilities"]["data"], answers["probabilities"]["shape"])
    np.testing.assert_allclose(found, np.where(sure[:, None], light, heavy), atol=1e-6)


def test_while_the_endpoint_sleeps_int8_decides_and_says_so(place: str) -> None:
    with served(place) as (door, endpoint):
        endpoint.set({"asleep": True, "wake_seconds": 60})
        body = json.dumps({"rows": data.requests(3, ASKED)}).encode()
        got = door(Sent("POST", "/v1/models/tickets:decide", body))
    assert got.status == 200, got.body
    assert (got.headers["lastmile-tier"], got.headers["lastmile-degraded"]) == ("light", "asleep")
    assert len(json.loads(got.body)["decisions"]) == ASKED
