from typing import Any

import numpy as np
import pytest

from functions.retraining.certificate import certify
from functions.retraining.recipes import feeding, load
from functions.retraining.recipes.tabular import Tabular
from functions.retraining.table import Table
from lastmile.errors import DataRefused
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from tests.unit.retraining.recipes.examples import KIND, LABEL, NUMBERS, classified, rows, spec, texts


def fitted(wanted: ModelSpec) -> Tabular:
    found = load(wanted).fit(rows(), wanted)
    assert isinstance(found, Tabular)
    return found


def probabilities(model: Tabular, numbers: list[list[float]], kinds: list[str]) -> Array:
    feeds = {"numbers": np.array(numbers, np.float32), "kind": texts(kinds)}
    return OnnxModel.open(model.onnx, threads=1).run(["probabilities"], feeds)[0]


def test_an_unseen_category_counts_as_a_missing_one() -> None:
    model = fitted(classified())
    unseen, missing = (probabilities(model, [[0.5, 0.5]], [kind]) for kind in ("never seen", ""))
    np.testing.assert_array_equal(unseen, missing)


def test_a_monotonic_feature_never_turns() -> None:
    model = fitted(classified(features={"a": {"monotonic": "decreasing"}}))
    steps = [[a, 0.3] for a in np.linspace(-4, 4, 200).tolist()]
    rising = probabilities(model, steps, ["k3"] * 200)[:, 1]
    assert (np.diff(rising) <= 1e-7).all()


def test_three_classes_are_learnt() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 600))
    probabilities_of_three = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3], "columns": ["0", "1", "2"]}
    training = {"recipe": "tabular", "target": "y", "options": {"seconds": 1, "trees": 30}}
    wanted = spec("classification", [NUMBERS, KIND], [LABEL, probabilities_of_three], training)
    y = np.digitize(a, [-0.5, 0.5])
    model = load(wanted).fit(Table({"a": a, "b": b, "kind": texts(["k"] * 600), "y": y}), wanted)
    feeds = {"numbers": np.array([[-2, 0], [0, 0], [2, 0]], np.float32), "kind": texts(["k"] * 3)}
    (label,) = OnnxModel.open(model.onnx, threads=1).run(["label"], feeds)
    assert label.tolist() == [0, 1, 2]


def test_calibration_keeps_the_order_and_balancing_keeps_the_mean() -> None:
    table = rows(2000, 1)
    feeds = [[a, b] for a, b in zip(table["a"].tolist(), table["b"].tolist(), strict=True)]
    plain, raw, balanced = (
        probabilities(fitted(classified(options)), feeds, table["kind"].tolist())[:, 1]
        for options in ({}, {"calibrated": False}, {"balanced": True})
    )
    assert (np.argsort(plain, kind="stable") == np.argsort(raw, kind="stable")).mean() > 0.95
    assert abs(plain.mean() - table["y"].mean()) < 0.05
    assert abs(balanced.mean() - table["y"].mean()) < 0.05


def test_every_option_changes_the_model() -> None:
    changes: list[dict[str, Any]] = [
        {},
        {"products": [["a", "b"]]},
        {"differences": [["a", "b"]]},
        {"ratios": [["a", "b"]]},
        {"balanced": True},
        {"calibrated": False},
        {"trees": 5},
    ]
    assert len({fitted(classified(change)).onnx for change in changes}) == len(changes)


ONE_TREE = {"seconds": 1, "trees": 3}


def test_a_feature_that_is_missing_in_every_training_row_is_not_learnt_from() -> None:
    wanted, table = classified(), rows()
    empty = Table({**table.columns, "b": np.full(table.rows, np.nan)})
    model = load(wanted).fit(empty, wanted)
    assert isinstance(model, Tabular)
    missing, there = (probabilities(model, [[0.5, b]], ["k3"]) for b in (np.nan, 7.0))
    np.testing.assert_array_equal(missing, there)


@pytest.mark.parametrize("time", [None, "when"])
def test_a_class_of_few_rows_or_of_the_newest_ones_alone_is_learnt(time: str | None) -> None:
    three = {"name": "probabilities", "datatype": "FP32", "shape": [-1, 3], "columns": ["0", "1", "2"]}
    training = {"recipe": "tabular", "target": "y", "time": time, "options": ONE_TREE}
    wanted = spec("classification", [NUMBERS, KIND], [LABEL, three], training)
    a, b = np.random.default_rng(0).normal(size=(2, 300))
    y = (a > 0).astype(int)
    y[-1] = 2
    table = Table({"a": a, "b": b, "kind": texts(["k"] * 300), "y": y, "when": np.arange(300.0)})
    assert load(wanted).fit(table, wanted).predict(
        {"numbers": np.zeros((1, 2), np.float32), "kind": texts(["k"])}
    )["probabilities"].shape == (1, 3)  # fmt: skip


def test_rows_of_which_none_can_be_held_aside_are_refused() -> None:
    wanted = classified()
    with pytest.raises(DataRefused, match="of 2 training rows none can be held aside"):
        load(wanted).fit(rows().take(np.array([0, int(np.flatnonzero(rows()["y"] != rows()["y"][0])[0])])), wanted)


def counted(loss: str) -> ModelSpec:
    value = {"name": "value", "datatype": "FP32", "shape": [-1]}
    return spec(
        "regression",
        [NUMBERS, KIND],
        [value],
        {"recipe": "tabular", "target": "y", "options": {**ONE_TREE, "loss": loss}},
    )


@pytest.mark.parametrize(("loss", "count", "size"), [("poisson", 2, 1.0), ("poisson", 300, 1e12), ("gamma", 300, 1e12)])
def test_counts_may_be_seldom_above_zero_and_may_be_huge(loss: str, count: int, size: float) -> None:
    values = np.r_[np.zeros(300 - count), size * (1 + np.random.default_rng(0).random(count))]
    table = Table({**rows(300).columns, "y": values})
    model = load(counted(loss)).fit(table, counted(loss))
    certify(model, model.onnx, feeding.feeds(table, counted(loss).inputs), counted(loss))


@pytest.mark.parametrize(("loss", "values"), [("poisson", (-1.0, 2.0)), ("poisson", (0.0, 0.0)), ("gamma", (0.0, 2.0))])
def test_a_loss_that_does_not_suit_the_targets_is_refused(loss: str, values: tuple[float, float]) -> None:
    table = Table({**rows().columns, "y": np.resize(np.array(values), rows().rows)})
    with pytest.raises(DataRefused, match=f"the loss '{loss}' wants every y"):
        load(counted(loss)).fit(table, counted(loss))
