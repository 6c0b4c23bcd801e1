"""Candidates are adopted when they are measured better, and only then."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.retraining import pruning, rewriting
from functions.retraining.compression import (
    TIMED_ROWS,
    Candidate,
    Compressed,
    Timed,
    Times,
    candidates,
    compress,
    seconds,
)
from functions.retraining.recipes import load
from functions.retraining.recipes.contract import Examples
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from tests.unit.retraining.recipes.examples import (
    LABEL,
    PROBABILITIES,
    classified,
    mail,
    messages,
    rows,
    spec,
    texts,
)

WIDTH = 64
DENSE = spec(
    "classification",
    [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}],
    [LABEL, PROBABILITIES],
    {"recipe": "own", "target": "y"},
)


def dense(scale: float = 1.0, hidden: int = 128) -> bytes:
    """A layer and a softmax over two classes."""
    rng = np.random.default_rng(0)
    weights = {
        "w": (rng.normal(size=(WIDTH, hidden)) * scale).astype(np.float32),
        "v": rng.normal(size=(2, hidden)).astype(np.float32) / np.float32(scale * 10),
        "b": np.zeros(2, np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["h"], name="first"),
        helper.make_node("Gemm", ["h", "v", "b"], ["s"], name="second", transB=1),
        helper.make_node("Softmax", ["s"], ["probabilities"], axis=1),
        helper.make_node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, WIDTH])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
            helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, 2]),
        ],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    return bytes(model.SerializeToString())


def asked(model: bytes, count: int = 200) -> Examples:
    """Rows of which the model itself says what is right."""
    x = np.random.default_rng(1).normal(size=(count, WIDTH)).astype(np.float32)
    label, _ = OnnxModel.open(model, threads=1).run(None, {"x": x})
    return Examples({"x": x}, {"label": label}, {})


def answers(model: bytes, feeds: dict[str, Array]) -> list[Array]:
    return OnnxModel.open(model, threads=1).run(None, feeds)


def only(name: str, onnx: bytes) -> Callable[[bytes, ModelSpec, Mapping[str, Array]], Iterator[Candidate]]:
    return lambda model, wanted, rows: iter([Candidate(name, onnx)])


def taking(batch: float, single: float | None = None) -> Timed:
    """Every graph but fp32 takes so many times as long as that."""

    def timed(models: Mapping[str, OnnxModel], feeds: Mapping[str, Array]) -> Times:
        factors = (batch if single is None else single, batch)
        return {name: (1e-4, 1e-5) if name == "fp32" else (1e-4 * factors[0], 1e-5 * factors[1]) for name in models}

    return timed


def row(found: Compressed, name: str) -> dict[str, Any]:
    return next(row for row in found.table if row["name"] == name)


@pytest.mark.parametrize("rewrite", [rewriting.fp16, rewriting.int8_dynamic, rewriting.optimised])
def test_a_rewritten_graph_is_smaller_and_answers_nearly_the_same(rewrite: Callable[[bytes], bytes]) -> None:
    model = dense()
    small, feeds = rewrite(model), asked(model).feeds
    assert len(small) < len(model) * (1.05 if rewrite is rewriting.optimised else 0.6)
    np.testing.assert_allclose(answers(small, feeds)[1], answers(model, feeds)[1], atol=0.15)


def test_a_static_scale_does_not_depend_on_the_other_rows() -> None:
    model = dense()
    feeds = asked(model).feeds
    small = rewriting.int8_static(model, feeds)
    whole, alone = answers(small, feeds)[1], answers(small, {"x": feeds["x"][:1]})[1]
    np.testing.assert_array_equal(whole[:1], alone)
    np.testing.assert_allclose(whole, answers(model, feeds)[1], atol=0.15)


def test_pruned_trees_are_smaller_and_answer_nearly_the_same() -> None:
    wanted = classified()
    recipe = load(wanted)
    training, held_out = recipe.split(rows(), wanted)
    fitted = recipe.fit(training, wanted)
    feeds = recipe.examples(held_out, wanted, training=training).feeds
    small = pruning.pruned(fitted.onnx)
    onnx.checker.check_model(onnx.ModelProto.FromString(small))
    assert len(small) < 0.95 * len(fitted.onnx)
    np.testing.assert_allclose(answers(small, feeds)[1], answers(fitted.onnx, feeds)[1], atol=0.1)


def test_a_vocabulary_of_words_alone_can_be_pruned() -> None:
    """Of texts of four letters there are no n-grams of eight."""
    wanted, table = messages(characters=[8]), mail()
    table.columns["text"] = texts([f"{team[:2]} {row % 9}" for row, team in enumerate(table["team"].tolist())])
    fitted = load(wanted).fit(table, wanted)
    before, after = (
        OnnxModel.open(graph, threads=1).run(["label"], {"text": texts(["ca 1", "lo 2", "re 3", ""]).reshape(-1, 1)})[0]
        for graph in (fitted.onnx, pruning.pruned(fitted.onnx))
    )
    assert before.tolist()[:3] == ["card", "login", "refund"]
    assert after.shape == before.shape


def test_a_pruned_vocabulary_is_smaller_and_tells_the_classes_apart() -> None:
    wanted = messages()
    recipe = load(wanted)
    training, held_out = recipe.split(mail(), wanted)
    fitted = recipe.fit(training, wanted)
    examples = recipe.examples(held_out, wanted, training=training)
    small = pruning.pruned(fitted.onnx)
    onnx.checker.check_model(onnx.ModelProto.FromString(small))
    assert len(small) < 0.95 * len(fitted.onnx)
    label, _ = answers(small, examples.feeds)
    np.testing.assert_array_equal(label, examples.truth["label"])
    odd = {"text": texts(["", " ", "zzz qqq", "card" * 300]).reshape(-1, 1)}
    np.testing.assert_allclose(answers(small, odd)[1].sum(axis=1), 1, rtol=1e-5)
    found = compress(fitted.onnx, wanted, examples, tried=only("pruned", small))
    assert row(found, "pruned")["bytes"] == len(small)
    assert row(found, "pruned")["loss"] <= wanted.compression.max_loss


def test_what_a_graph_has_nothing_for_says_so_in_the_table() -> None:
    model = dense()
    reasons = {each.name: each.reason for each in candidates(model, DENSE, asked(model).feeds)}
    assert reasons == {
        "optimised": "",
        "int8-dynamic": "",
        "int8-static": "",
        "fp16": "",
        "pruned": "it has neither trees nor a vocabulary",
    }


def test_a_smaller_graph_within_the_bound_is_adopted_and_the_table_is_kept() -> None:
    model = dense()
    found = compress(model, DENSE, asked(model), tried=only("fp16", rewriting.fp16(model)), timed=taking(1.09))
    assert (found.adopted, len(found.table)) == ("fp16", 2)
    assert len(found.onnx) < len(model)
    assert row(found, "fp32")["adopted"] is False
    assert row(found, "fp16")["loss"] == pytest.approx(0, abs=0.005)
    assert (row(found, "fp16")["seconds"], row(found, "fp16")["seconds_per_row"]) == (1e-4 * 1.09, 1e-5 * 1.09)


def test_an_int8_that_loses_accuracy_is_rejected() -> None:
    model = dense()
    proto = onnx.ModelProto.FromString(rewriting.int8_dynamic(model))
    for tensor in proto.graph.initializer:
        if tensor.name == "w_step":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    found = compress(
        model, DENSE, asked(model), tried=only("int8-dynamic", proto.SerializeToString()), timed=taking(0.1)
    )
    assert (found.adopted, found.onnx) == ("fp32", model)
    assert "it loses" in row(found, "int8-dynamic")["reason"]


@pytest.mark.parametrize(
    ("timed", "adopted", "reason"),
    [
        (taking(1.0), "fp32", "it is neither smaller nor faster"),
        (taking(0.96), "fp32", "it is neither smaller nor faster"),
        (taking(0.94), "optimised", ""),
        (taking(1.0, single=0.94), "optimised", ""),
        (taking(0.5, single=1.2), "fp32", "it takes 1.20 times as long"),
    ],
)
def test_one_of_the_same_size_is_adopted_where_it_is_faster(timed: Timed, adopted: str, reason: str) -> None:
    model = dense()
    found = compress(model, DENSE, asked(model), tried=only("optimised", model), timed=timed)
    assert (found.adopted, row(found, "optimised")["reason"]) == (adopted, reason)


@pytest.mark.parametrize("timed", [taking(1.11), taking(0.9, single=1.11)])
def test_an_int8_that_is_slower_is_rejected(timed: Timed) -> None:
    model = dense()
    found = compress(model, DENSE, asked(model), tried=only("int8-dynamic", rewriting.int8_dynamic(model)), timed=timed)
    assert (found.adopted, found.onnx) == ("fp32", model)
    assert row(found, "int8-dynamic")["reason"] == "it takes 1.11 times as long"


def test_of_several_the_one_with_the_smallest_product_of_size_and_time_is_adopted() -> None:
    model = dense()
    small = rewriting.fp16(model)
    found = compress(
        model,
        DENSE,
        asked(model),
        tried=lambda *_: iter([Candidate("optimised", model), Candidate("fp16", small)]),
        timed=lambda models, feeds: {"fp32": (1e-4, 1e-5), "optimised": (0.9e-4, 0.9e-5), "fp16": (1e-4, 1e-5)},
    )
    assert found.adopted == "fp16"


@dataclass
class Counted:
    """A graph of which is counted how often it ran."""

    model: OnnxModel
    rows: list[int] = field(default_factory=list)

    def run(self, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        self.rows.append(len(feeds["x"]))
        return self.model.run(names, feeds)


def test_every_graph_runs_equally_often_alone_and_in_a_batch() -> None:
    """What they are measured to take is different each time: of that is asked only that it was measured."""
    models = {name: Counted(OnnxModel.open(dense(), threads=1)) for name in ("fp32", "fp16", "int8-dynamic")}
    found = seconds(cast(Any, models), asked(dense(), 300).feeds)
    assert found.keys() == models.keys()
    assert all(taken > 0 for each in found.values() for taken in each)
    one, *others = (sorted(model.rows) for model in models.values())
    assert all(rows == one for rows in others)
    assert set(one) == {1, TIMED_ROWS}


@dataclass
class Clock:
    """Stands still but for what runs take."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Interrupted:
    """Takes so many seconds for each row, and two of three runs are interrupted besides."""

    clock: Clock
    pace: float
    runs: int = 0

    def run(self, names: list[str] | None, feeds: dict[str, Array]) -> list[Array]:
        self.runs += 1
        self.clock.now += self.pace * len(feeds["x"]) + bool(self.runs % 3) * self.runs
        return []


def test_interruptions_change_nothing_of_what_is_measured() -> None:
    clock = Clock()
    models = {"fp32": Interrupted(clock, 0.5), "fp16": Interrupted(clock, 0.25)}
    found = seconds(cast(Any, models), asked(dense(), 300).feeds, clock=clock)
    assert found == {"fp32": (0.5, 0.5), "fp16": (0.25, 0.25)}


def test_the_candidates_of_the_spec_are_tried_and_no_others() -> None:
    model = dense()
    wanted = spec(
        "classification",
        [{"name": "x", "datatype": "FP32", "shape": [-1, WIDTH]}],
        [LABEL, PROBABILITIES],
        {"recipe": "own", "target": "y"},
        compression={"candidates": ["fp16"]},
    )
    found = compress(model, wanted, asked(model))
    assert [row["name"] for row in found.table] == ["fp32", "fp16"]
