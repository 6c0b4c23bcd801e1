"""Candidates are adopted when they are measured better, and only then."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from functions.retraining import pruning, rewriting
from functions.retraining.compression import Candidate, Compressed, candidates, compress
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
    model = dense(hidden=512)
    found = compress(model, DENSE, asked(model), tried=only("fp16", rewriting.fp16(model)))
    assert (found.adopted, len(found.table)) == ("fp16", 2)
    assert len(found.onnx) < len(model)
    assert row(found, "fp32")["adopted"] is False
    assert row(found, "fp16")["loss"] == pytest.approx(0, abs=0.005)


def test_an_int8_that_loses_accuracy_is_rejected() -> None:
    model = dense()
    proto = onnx.ModelProto.FromString(rewriting.int8_dynamic(model))
    for tensor in proto.graph.initializer:
        if tensor.name == "w_step":
            tensor.CopyFrom(numpy_helper.from_array(-numpy_helper.to_array(tensor), tensor.name))
    found = compress(model, DENSE, asked(model), tried=only("int8-dynamic", proto.SerializeToString()))
    assert (found.adopted, found.onnx) == ("fp32", model)
    assert "it loses" in row(found, "int8-dynamic")["reason"]


def test_an_int8_that_is_slower_is_rejected() -> None:
    model = dense()
    proto = onnx.ModelProto.FromString(rewriting.int8_dynamic(model))
    slow = [helper.make_node("Sin", ["x"], ["slow_0"])]
    slow += [helper.make_node("Sin", [f"slow_{number}"], [f"slow_{number + 1}"]) for number in range(200)]
    slow.append(helper.make_node("Mul", ["slow_200", "nothing"], ["slow_zero"]))
    slow.append(helper.make_node("Add", ["x", "slow_zero"], ["x_slow"]))
    for node in proto.graph.node:
        node.input[:] = ["x_slow" if name == "x" else name for name in node.input]
    nodes = [*slow, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.append(numpy_helper.from_array(np.array(0, np.float32), "nothing"))
    found = compress(model, DENSE, asked(model), tried=only("int8-dynamic", proto.SerializeToString()))
    assert (found.adopted, found.onnx) == ("fp32", model)
    assert "times as long" in row(found, "int8-dynamic")["reason"]


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
