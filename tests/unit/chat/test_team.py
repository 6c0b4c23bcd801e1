from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.chat.team import Team
from lastmile.model import OnnxModel
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.spec import validate
from lastmile.store import Store

OPTIONS = {"sure_from": 0.6, "urgent_words": ["urgent"], "priorities": ["normal", "high"]}


def graph(billing: float) -> bytes:
    """Gives every text the same shares: billing, and delivery the rest."""
    shares = np.array([[billing, 1 - billing]], np.float32)
    nodes = [
        helper.make_node("Shape", ["text"], ["rows"], end=1),
        helper.make_node("Concat", ["rows", "two"], ["shape"], axis=0),
        helper.make_node("Expand", ["shares", "shape"], ["probabilities"]),
        helper.make_node("ArgMax", ["probabilities"], ["best"], axis=1, keepdims=0),
        helper.make_node("Gather", ["names", "best"], ["label"]),
    ]
    made = helper.make_graph(
        nodes,
        "shares",
        [helper.make_tensor_value_info("text", TensorProto.STRING, ["n"])],
        [
            helper.make_tensor_value_info("label", TensorProto.STRING, ["n"]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2]),
        ],
        [
            numpy_helper.from_array(shares, "shares"),
            numpy_helper.from_array(np.array([2], np.int64), "two"),
            numpy_helper.from_array(np.array([b"billing", b"delivery"], object), "names"),
        ],
    )
    return bytes(
        onnx.helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


def spec(**sections: Any) -> dict[str, Any]:
    return {
        "name": "tickets",
        "task": "classification",
        "description": "Which team?",
        "inputs": [{"name": "text", "datatype": "BYTES", "shape": [-1]}],
        "outputs": [
            {"name": "label", "datatype": "BYTES", "shape": [-1]},
            {"name": "probabilities", "datatype": "FP32", "shape": [-1, 2], "columns": ["billing", "delivery"]},
        ],
        **sections,
    }


@pytest.fixture
def registry() -> Registry:
    return Registry(Store.open("memory://", environ={}))


@pytest.fixture
def push(registry: Registry) -> Callable[..., None]:
    def push(billing: float, **sections: Any) -> None:
        data = graph(billing)
        signature = OnnxModel.open(data, threads=1).signature
        by: dict[str, Any] = {"actor": "ann", "why": "because"}
        facts: dict[str, Any] = {"metrics": {}, "lineage": {}, "compression": {}}
        manifest = registry.push(validate(spec(**sections)), data, signature=signature, **by, **facts)
        registry.promote("tickets", manifest.version, **by)

    return push


def test_a_sure_model_names_the_queue(registry: Registry, push: Callable[..., None]) -> None:
    push(0.9, decision={"kind": "route", "options": OPTIONS})
    lines: list[Any] = []
    predictor = Predictor(registry, threads=1, capture=lambda **line: lines.append(line))
    routing = Team(predictor, "tickets", warn=print).of("charged twice, urgent!", "c-1")
    assert routing is not None
    assert (routing.queue, routing.priority, routing.sure) == ("billing", "high", True)
    assert routing.confidence == pytest.approx(0.9)
    assert lines[0]["prediction_id"] == routing.prediction


def test_a_promotion_reaches_the_chat_too(registry: Registry, push: Callable[..., None]) -> None:
    push(0.9, decision={"kind": "route", "options": OPTIONS})
    team = Team(Predictor(registry, threads=1, release_seconds=0), "tickets", warn=print)
    assert team.of("x", "c").queue == "billing"  # type: ignore[union-attr]
    push(0.1, decision={"kind": "route", "options": OPTIONS})
    assert team.of("x", "c").queue == "delivery"  # type: ignore[union-attr]


def test_an_unsure_model_says_so(registry: Registry, push: Callable[..., None]) -> None:
    push(0.55, decision={"kind": "route", "options": OPTIONS})
    routing = Team(Predictor(registry, threads=1), "tickets", warn=print).of("x", "c")
    assert routing is not None
    assert (routing.queue, routing.sure) == ("unsure", False)


def test_without_a_model_there_is_no_team(registry: Registry, push: Callable[..., None]) -> None:
    warned: list[str] = []
    team = Team(Predictor(registry, threads=1, release_seconds=0), "tickets", warn=warned.append)
    assert team.of("x", "c") is None
    push(0.9)
    assert team.of("x", "c") is None
    assert "does not exist" in warned[0]
    assert "routes nothing" in warned[1]


def test_a_queue_has_the_class_that_goes_there(registry: Registry, push: Callable[..., None]) -> None:
    warned: list[str] = []
    team = Team(Predictor(registry, threads=1, release_seconds=0), "tickets", warn=warned.append)
    assert team.label("finance") is None
    assert "no class" in warned[0]
    push(0.9, decision={"kind": "route", "options": OPTIONS | {"queues": {"billing": "finance"}}})
    assert [team.label(queue) for queue in ("finance", "delivery", "unsure", "legal")] == [
        "billing",
        "delivery",
        None,
        None,
    ]
