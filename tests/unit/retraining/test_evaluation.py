import json
from typing import Any

import numpy as np
import pytest

from functions.retraining.evaluation import Champion, Evaluation, evaluate, incomparable
from functions.retraining.recipes.contract import Examples
from lastmile.errors import InvalidSpec, LastmileError
from lastmile.model import OnnxModel
from lastmile.policies import Feature, Gate
from lastmile.spec import ModelSpec
from lastmile.tensors import Array, Signature, TensorSpec
from tests.unit.retraining.graphs import linear, logistic

X = TensorSpec("x", "FP32", (-1, 2), ("income", "debt"))
OUTPUTS = (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2), ("0", "1")))
CREDIT = ModelSpec("credit", "classification", "Will it be paid back?", (X,), OUTPUTS)
SIGNATURE = Signature((X,), OUTPUTS)


def examples(rows: int = 400, *, seed: int = 1, groups: dict[str, Array] | None = None) -> Examples:
    random = np.random.default_rng(seed)
    x = random.normal(size=(rows, 2)).astype(np.float32)
    label = (x[:, 0] - x[:, 1] + random.normal(size=rows) > 0).astype(int)
    return Examples({"x": x}, {"label": label}, groups or {})


def evaluated(weights: list[float], **options: Any) -> Evaluation:
    spec = options.pop("spec", CREDIT)
    held_out = options.pop("held_out", examples())
    return evaluate(logistic(weights), held_out, examples(800, seed=2), "classification", spec, **options)


def test_the_held_out_rows_are_measured_with_intervals() -> None:
    found = evaluated([2, -2])
    auc = found.metrics["auc"]
    assert auc.low is not None
    assert auc.high is not None
    assert auc.value is not None
    assert 0.8 < auc.low < auc.value < auc.high < 0.95
    assert (found.rows, found.training_rows) == (400, 800)


def test_the_gap_is_the_held_out_value_less_the_training_value() -> None:
    found = evaluated([2, -2])
    accuracy, learnt = found.metrics["accuracy"].value, found.training["accuracy"].value
    assert accuracy is not None
    assert learnt is not None
    assert found.train_gap("accuracy") == pytest.approx(accuracy - learnt)


def test_rows_beyond_one_batch_are_all_answered() -> None:
    assert evaluated([2, -2], held_out=examples(9000)).rows == 9000


def test_the_champion_answers_the_same_rows() -> None:
    champion = Champion(3, logistic([2, 0]), SIGNATURE)
    found = evaluated([2, -2], champion=champion)
    assert found.champion is not None
    assert found.champion.metrics == evaluated([2, 0]).metrics
    difference = found.champion.differences["auc"]
    assert difference.low is not None
    assert difference.low > 0
    assert found.champion.curves.keys() == found.curves.keys()


OTHERS = [
    (Signature((TensorSpec("y", "FP32", (-1, 2)),), OUTPUTS), "its inputs are y, now they are x"),
    (Signature((TensorSpec("x", "FP64", (-1, 2), X.columns),), OUTPUTS), "its input x is FP64, now it is FP32"),
    (Signature((TensorSpec("x", "FP32", (-1, 2), ("debt", "income")),), OUTPUTS), "its columns in another order"),
    (Signature((TensorSpec("x", "FP32", (-1, 2), ("income", "age")),), OUTPUTS), r"other columns \(age, debt\)"),
    (Signature((TensorSpec("x", "FP32", (-1, -1, 2), X.columns),), OUTPUTS), r"has the shape \[-1, -1, 2\]"),
    (Signature((X,), (TensorSpec("value", "FP32", (-1,)),)), "its outputs are value"),
]


@pytest.mark.parametrize(("signature", "reason"), OTHERS)
def test_a_champion_with_another_signature_is_not_compared(signature: Signature, reason: str) -> None:
    found = evaluated([2, -2], champion=Champion(3, b"is not even loaded", signature))
    assert found.champion is not None
    assert found.champion.metrics == {}
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.champion.reason)


def test_a_champion_that_fails_on_the_rows_is_not_compared() -> None:
    found = evaluated([2, -2], champion=Champion(3, logistic([2, 0, 1]), SIGNATURE))
    assert found.champion is not None
    assert str(found.champion.reason).startswith("it cannot answer these rows: ")
    assert found.metrics == evaluated([2, -2]).metrics


def test_an_open_length_agrees_with_any() -> None:
    fixed = Signature((TensorSpec("x", "FP32", (1, 2), X.columns),), OUTPUTS)
    assert incomparable(fixed, CREDIT) is None


def test_groups_are_measured_each_by_itself() -> None:
    held_out = examples(600)
    sex = np.array(["f", "m"], object)[np.arange(600) % 2]
    wrong = {"label": np.where(sex == "f", held_out.truth["label"], 1 - held_out.truth["label"])}
    found = evaluated([2, -2], held_out=Examples(held_out.feeds, wrong, {"sex": sex}))
    women, men = found.groups["sex"]
    assert (women.name, women.rows, men.name) == ("f", 300, "m")
    assert women.metrics["accuracy"].low is not None
    gap = found.group_gap("accuracy")
    assert gap is not None
    assert gap > 0.4


def test_small_groups_are_named_and_not_measured() -> None:
    some = np.array(["a"] * 380 + ["b"] * 20, object)
    found = evaluated([2, -2], held_out=examples(groups={"region": some}))
    small = found.groups["region"][1]
    assert (small.name, small.rows, small.is_too_small, small.metrics) == ("b", 20, True, {})
    assert found.group_gap("accuracy") is None


def test_many_numbers_are_grouped_in_quarters_and_many_texts_by_the_frequent_ones() -> None:
    ages = np.arange(400.0)
    ages[:40] = np.nan
    cities = np.array([f"city {min(number % 50, 20)}" for number in range(400)], object)
    found = evaluated([2, -2], held_out=examples(groups={"age": ages, "city": cities, "text": ages.astype(str)}))
    assert [group.name for group in found.groups["age"]][-1] == "missing"
    assert [group.rows for group in found.groups["age"]] == [90, 90, 90, 90, 40]
    assert len(found.groups["city"]) == 13
    assert found.groups["city"][-1].name == "others"
    assert sum(group.rows for group in found.groups["city"]) == 400
    assert [group.rows for group in found.groups["text"]] == [90, 90, 90, 90, 40]


@pytest.mark.parametrize("sign", [1, -1])
def test_rows_that_share_a_number_are_a_group_beside_the_others(sign: int) -> None:
    debts = sign * np.r_[np.zeros(340), np.arange(1.0, 61.0)]
    found = evaluated([2, -2], held_out=examples(groups={"debts": debts}))
    assert sorted(group.rows for group in found.groups["debts"]) == [60, 340]
    assert found.group_gap("accuracy") is not None


def test_metrics_that_only_gates_or_compression_name_are_measured_too() -> None:
    outputs = (TensorSpec("value", "FP32", (-1,)),)
    spec = ModelSpec("price", "regression", "How dear?", (X,), outputs, gates=(Gate("mae", at_most=1),))
    held_out = Examples({"x": np.ones((50, 2), np.float32)}, {"value": np.full(50, 3.0)}, {})
    found = evaluate(linear([1, 1]), held_out, held_out, "regression", spec)
    assert found.metrics["mae"].value == 1
    with pytest.raises(InvalidSpec, match="no metric 'mea'"):
        wrong = ModelSpec("price", "regression", "How dear?", (X,), outputs, gates=(Gate("mea", at_most=1),))
        evaluate(linear([1, 1]), held_out, held_out, "regression", wrong)


def test_an_evaluation_comes_back_from_its_document() -> None:
    sex = np.array(["f", "m"], object)[np.arange(400) % 2]
    spec = ModelSpec("credit", "classification", "?", (X,), OUTPUTS, features={"sex": Feature(sensitive=True)})
    champion = Champion(3, logistic([2, 0]), SIGNATURE)
    found = evaluated([2, -2], champion=champion, held_out=examples(groups={"sex": sex}), spec=spec)
    text = json.dumps(found.to_document(), allow_nan=False)
    assert Evaluation.from_document(json.loads(text)) == found


def test_a_graph_that_cannot_take_the_rows_is_an_error() -> None:
    with pytest.raises(LastmileError):
        evaluated([2, -2, 1])


def test_the_curves_begin_and_end_where_they_must() -> None:
    curves = evaluated([2, -2]).curves
    assert (curves["roc"]["x"][0], curves["roc"]["y"][0]) == (0, 0)
    assert (curves["roc"]["x"][-1], curves["roc"]["y"][-1]) == (1, 1)
    assert curves["precision_recall"]["x"][-1] == 1
    assert np.sum(curves["confusion"]["counts"]) == 400
    assert sum(curves["calibration"]["rows"]) == 400


def test_the_graphs_of_these_tests_are_what_they_say() -> None:
    (value,) = OnnxModel.open(linear([1, 2], 3), threads=1).run(None, {"x": np.ones((1, 2), np.float32)})
    assert value.tolist() == [6.0]
