"""What holds for every recipe."""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import onnx
import pytest

from functions.retraining.certificate import certify
from functions.retraining.recipes import load
from functions.retraining.recipes.contract import Examples, Fitted, Recipe
from functions.retraining.table import Table
from lastmile.metrics import measure
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from tests.unit.retraining.recipes.examples import (
    KIND,
    NUMBERS,
    classified,
    mail,
    messages,
    purchases,
    rows,
    sales,
    shop,
    sold,
    spec,
    strange,
)
from tests.unit.retraining.recipes.transformers import small_transformer

REGRESSED = spec(
    "regression",
    [NUMBERS, KIND],
    [{"name": "value", "datatype": "FP32", "shape": [-1]}],
    {"recipe": "tabular", "target": "value", "options": {"seconds": 1, "trees": 30}},
)
CASES: dict[str, tuple[ModelSpec, Callable[[], Table], str, float]] = {
    "tabular": (classified(), rows, "auc", 0.9),
    "regression": (REGRESSED, rows, "mae", 12.0),
    "text": (messages(), mail, "accuracy", 0.95),
    "encoder": (messages(encoder=small_transformer(), pieces=20), mail, "accuracy", 0.95),
    "recommender": (shop(), purchases, "recall@10", 0.5),
    "user": (shop(by_user=True), purchases, "recall@10", 0.5),
    "forecast": (sales(), sold, "mae", 15.0),
    "anomaly": (strange(), rows, "auc", 0.0),
}
every_case = pytest.mark.parametrize("case", CASES)


class Trained(NamedTuple):
    recipe: Recipe
    spec: ModelSpec
    training: Table
    fitted: Fitted
    examples: Examples


@cache
def trained(case: str) -> Trained:
    wanted, made, _, _ = CASES[case]
    recipe = load(wanted)
    training, held_out = recipe.split(made(), wanted)
    return Trained(
        recipe, wanted, training, recipe.fit(training, wanted), recipe.examples(held_out, wanted, training=training)
    )


@every_case
def test_the_same_rows_give_the_same_bytes(case: str) -> None:
    recipe, wanted, training, fitted, _ = trained(case)
    assert recipe.fit(Table.from_bytes(training.to_bytes()), wanted).onnx == fitted.onnx


@every_case
def test_the_graph_answers_as_the_trained_object_and_well(case: str) -> None:
    _, wanted, _, fitted, examples = trained(case)
    report = certify(fitted, fitted.onnx, examples.feeds, wanted)
    assert report.probes > 10
    model = OnnxModel.open(fitted.onnx, threads=1)
    wanted.signature(model.signature)
    outputs = dict(zip([o.name for o in model.signature.outputs], model.run(None, examples.feeds), strict=True))
    columns, (_, _, metric, bound) = wanted.outputs[-1].columns, CASES[case]
    value = measure(wanted.task, outputs, examples.truth, columns=columns, names=[metric])[metric].value
    assert value is not None
    assert value < bound if metric == "mae" else value >= bound


@every_case
def test_no_rows_are_an_answer_of_no_rows(case: str) -> None:
    _, wanted, _, fitted, examples = trained(case)
    feeds = {name: array[:0] for name, array in examples.feeds.items()}
    model = OnnxModel.open(fitted.onnx, threads=1)
    assert [len(array) for array in model.run(None, feeds)] == [0] * len(wanted.outputs)


@every_case
def test_a_row_is_answered_alone_as_among_others(case: str) -> None:
    _, _, _, fitted, examples = trained(case)
    model = OnnxModel.open(fitted.onnx, threads=1)
    whole = model.run(None, examples.feeds)
    for row in range(3):
        alone = model.run(None, {name: array[row : row + 1] for name, array in examples.feeds.items()})
        for one, other in zip(whole, alone, strict=True):
            if other.dtype.kind == "f":
                np.testing.assert_allclose(other[0], one[row], rtol=1e-6, atol=1e-6)
            else:
                np.testing.assert_array_equal(other[0], one[row])


@pytest.mark.parametrize("case", ["text", "recommender", "user"])
def test_what_is_as_wide_as_a_vocabulary_is_there_for_one_row_at_a_time(case: str) -> None:
    model = onnx.ModelProto.FromString(trained(case).fitted.onnx)
    assert not {node.op_type for node in model.graph.node} & {"Tokenizer", "ScatterElements", "TopK"}
    onnx.checker.check_model(model)
