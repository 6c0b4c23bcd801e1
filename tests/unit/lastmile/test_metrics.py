from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn import metrics as sklearn

from lastmile.errors import InvalidSpec
from lastmile.metrics import METRICS, bootstrapped, compared, find, gain, measure, of_task, prepare, primary
from lastmile.tensors import Array

SOME = np.random.default_rng(7)


def answers(classes: int, *, rows: int = 300, ties: bool = False) -> tuple[dict[str, Array], Array]:
    """Outputs of a fair classifier, and the truth."""
    truth = SOME.integers(0, classes, rows)
    scores = SOME.gamma(1, size=(rows, classes)) + 1.5 * np.eye(classes)[truth] * SOME.random((rows, 1))
    if ties:
        scores = np.round(scores) + 0.5
    probabilities = scores / scores.sum(axis=1, keepdims=True)
    return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}, truth


def columns(classes: int) -> list[str]:
    return [str(number) for number in range(classes)]


def value(task: str, outputs: dict[str, Array], truth: dict[str, Array], name: str, **options: Any) -> float:
    found = measure(task, outputs, truth, names=[name], **options)[name].value
    assert found is not None
    return found


def per_class(outputs: dict[str, Array], truth: Array, classes: int) -> list[Any]:
    return list(sklearn.multilabel_confusion_matrix(truth, outputs["label"], labels=range(classes)))


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("classes", [2, 5])
def test_classification_agrees_with_scikit_learn(classes: int, ties: bool) -> None:
    outputs, truth = answers(classes, ties=ties)
    label, probabilities = outputs["label"], outputs["probabilities"]
    scores = probabilities[:, 1] if classes == 2 else probabilities
    average = "binary" if classes == 2 else "macro"
    one_hot = np.eye(classes)[truth]
    matrices = per_class(outputs, truth, classes)[1 if classes == 2 else 0 :]
    expected = {
        "accuracy": sklearn.accuracy_score(truth, label),
        "precision": sklearn.precision_score(truth, label, average=average),
        "recall": sklearn.recall_score(truth, label, average=average),
        "f1": sklearn.f1_score(truth, label, average=average),
        "macro_precision": sklearn.precision_score(truth, label, average="macro"),
        "macro_recall": sklearn.recall_score(truth, label, average="macro"),
        "macro_f1": sklearn.f1_score(truth, label, average="macro"),
        "auc": sklearn.roc_auc_score(truth, scores, multi_class="ovr"),
        "average_precision": sklearn.average_precision_score(truth if classes == 2 else one_hot, scores),
        "log_loss": sklearn.log_loss(truth, probabilities),
        "brier": sklearn.brier_score_loss(truth, probabilities, scale_by_half=True),
        "false_positive_rate": np.mean([fp / (fp + tn) for (tn, fp), _ in matrices]),
        "false_negative_rate": np.mean([fn / (fn + tp) for _, (fn, tp) in matrices]),
    }
    found = measure("classification", outputs, {"label": truth}, columns=columns(classes))
    assert {name: found[name].value for name in expected} == pytest.approx(expected, abs=1e-6)
    assert found.keys() == expected.keys() | {"calibration_error"}


@given(st.data())
def test_any_binary_order_agrees_with_scikit_learn(data: st.DataObject) -> None:
    rows = data.draw(st.integers(2, 30))
    truth = np.array(data.draw(st.lists(st.integers(0, 1), min_size=rows, max_size=rows)))
    scores = np.array(data.draw(st.lists(st.sampled_from([0, 0.25, 0.5, 0.75, 1]), min_size=rows, max_size=rows)))
    outputs = {"probabilities": np.stack([1 - scores, scores], axis=1)}
    found = measure("classification", outputs, {"label": truth}, columns=["0", "1"], names=["auc", "average_precision"])
    if truth.min() == truth.max():
        assert found["auc"].reason == "the rows are all of one class"
        assert found["auc"].value is None
    else:
        assert found["auc"].value == pytest.approx(sklearn.roc_auc_score(truth, scores))
        assert found["average_precision"].value == pytest.approx(sklearn.average_precision_score(truth, scores))


def test_weights_agree_with_scikit_learn() -> None:
    outputs, truth = answers(2, ties=True)
    prepared = prepare("classification", outputs, {"label": truth}, columns=["0", "1"])
    weights = SOME.integers(0, 4, len(truth)).astype(float)
    scores = outputs["probabilities"][:, 1]
    for name, function, answer in (
        ("auc", sklearn.roc_auc_score, scores),
        ("average_precision", sklearn.average_precision_score, scores),
        ("f1", sklearn.f1_score, outputs["label"]),
        ("macro_f1", lambda *of, **w: sklearn.f1_score(*of, average="macro", **w), outputs["label"]),
        ("accuracy", sklearn.accuracy_score, outputs["label"]),
    ):
        expected = function(truth, answer, sample_weight=weights)
        assert prepared.weighted[name](weights[None])[0] == pytest.approx(expected), name


def test_calibration_is_the_mean_gap_over_the_bins() -> None:
    said = np.array([0.05, 0.05, 0.95, 0.95])
    outputs = {"probabilities": np.stack([1 - said, said], axis=1)}
    found = value("classification", outputs, {"label": np.array([0, 1, 1, 1])}, "calibration_error", columns=["0", "1"])
    assert found == pytest.approx((0.45 + 0.05) / 2)


def test_what_is_far_beyond_a_probability_is_in_the_last_bin() -> None:
    outputs = {"probabilities": np.array([[0.0, 1e30], [0.0, 1.0]])}
    found = value("classification", outputs, {"label": np.array([1, 1])}, "calibration_error", columns=["0", "1"])
    assert found == pytest.approx(0.5e30)


def test_a_well_calibrated_model_has_a_small_calibration_error() -> None:
    said = SOME.random(20_000)
    outputs = {"probabilities": np.stack([1 - said, said], axis=1)}
    truth = {"label": (SOME.random(20_000) < said).astype(int)}
    assert value("classification", outputs, truth, "calibration_error", columns=["0", "1"]) < 0.02


def test_numbers_agree_with_scikit_learn() -> None:
    truth, said = SOME.normal(size=(2, 50))
    found = measure("regression", {"value": said}, {"value": truth})
    assert found["mae"].value == pytest.approx(sklearn.mean_absolute_error(truth, said))
    assert found["rmse"].value == pytest.approx(sklearn.root_mean_squared_error(truth, said))
    assert found.keys() == {"mae", "rmse"}


def test_quantiles_agree_with_scikit_learn() -> None:
    truth, levels = SOME.normal(size=500), [0.1, 0.5, 0.9]
    quantiles = np.sort(SOME.normal(size=(500, 3)), axis=1)
    found = measure("forecast", {"quantiles": quantiles}, {"value": truth}, columns=["0.1", "0.5", "0.9"])
    losses = [sklearn.mean_pinball_loss(truth, quantiles[:, i], alpha=level) for i, level in enumerate(levels)]
    inside = np.mean((quantiles[:, 0] <= truth) & (truth <= quantiles[:, 2]))
    assert found["pinball"].value == pytest.approx(np.mean(losses))
    assert found["coverage"].value == pytest.approx(inside)
    assert found["coverage_error"].value == pytest.approx(abs(inside - 0.8))
    assert found["mae"].value == pytest.approx(sklearn.mean_absolute_error(truth, quantiles[:, 1]))


def items(rows: Sequence[Sequence[str]]) -> Array:
    return np.array(rows, dtype=object)


def wanted(*rows: set[str] | list[str]) -> Array:
    array = np.empty(len(rows), object)
    array[:] = rows
    return array


@pytest.mark.parametrize("k", [1, 3, 10])
def test_ranked_items_agree_with_scikit_learn(k: int) -> None:
    catalogue = [f"item {number}" for number in range(12)]
    ranked = [list(SOME.permutation(catalogue)) for _ in range(40)]
    right = [set(SOME.choice(catalogue, SOME.integers(1, 6), replace=False)) for _ in ranked]
    outputs = {"items": items(ranked), "scores": np.tile(np.arange(12, 0, -1.0), (40, 1))}
    relevance = [[item in these for item in row] for row, these in zip(ranked, right, strict=True)]
    recall = np.mean([len(set(row[:k]) & these) / len(these) for row, these in zip(ranked, right, strict=True)])
    truth = {"items": wanted(*right)}
    assert value("recommendation", outputs, truth, f"recall@{k}") == pytest.approx(recall)
    expected = sklearn.ndcg_score(relevance, outputs["scores"], k=k)
    assert value("recommendation", outputs, truth, f"ndcg@{k}") == pytest.approx(expected)


def test_users_who_wanted_nothing_and_repeated_items_do_not_count() -> None:
    outputs = {"items": items([["a", "a", "b"], ["a", "b", "c"], ["", "", ""]])}
    truth = {"items": wanted({"a", "z"}, set(), {"c"})}
    assert value("recommendation", outputs, truth, "recall@3") == 0.25
    assert value("recommendation", outputs, truth, "ndcg@1") == 0.5


def test_an_anomaly_is_ranked_by_its_score_and_counted_by_its_label() -> None:
    outputs = {"score": np.array([0.9, 0.1, 0.8, 0.2]), "label": np.array([1, 0, 1, 0])}
    found = measure("anomaly", outputs, {"label": np.array([1, 0, 0, 0])})
    assert found["auc"].value == 1.0
    assert found["precision"].value == 0.5
    assert found["recall"].value == 1.0
    assert primary("anomaly").name == "auc"


def test_labels_of_any_type_meet_the_names_of_the_columns() -> None:
    outputs = {"label": np.array(["team b", "team a"], object)}
    assert value("classification", outputs, {"label": np.array(["team b", "team b"], object)}, "accuracy") == 0.5
    outputs = {"label": np.array([1, 0])}
    assert value("classification", outputs, {"label": np.array([1.0, 0.0])}, "accuracy", columns=["0", "1"]) == 1.0


def test_a_class_that_the_model_does_not_know_is_an_error_of_the_model() -> None:
    outputs = {"probabilities": np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])}
    found = measure("classification", outputs, {"label": np.array([0, 1, 2])}, columns=["0", "1"])
    assert found["accuracy"].value == pytest.approx(2 / 3)
    assert found["log_loss"].value == pytest.approx(-np.log(np.array([0.9, 0.8, 2**-23])).mean())


DEGENERATE = [
    ("anomaly", {"score": np.ones(2)}, {}, "auc", "there are no labels"),
    ("regression", {"value": np.ones(0)}, {"value": np.ones(0)}, "mae", "there are no rows"),
    ("regression", {"value": np.array([1, np.nan])}, {"value": np.ones(2)}, "mae", "1 of 2 answers are no finite"),
    ("regression", {"value": np.ones(2)}, {"value": np.array([1, np.nan])}, "rmse", "1 of 2 labels are no finite"),
    ("classification", {"label": np.array([0, 0])}, {"label": np.array([0, 1])}, "auc", "the model gives no scores"),
    ("classification", {"label": np.array([0, 0])}, {"label": np.array([0, 1])}, "precision", "said to be positive"),
    ("classification", {"label": np.array([0, 1])}, {"label": np.array([0, 0])}, "recall", "of the positive class"),
    ("classification", {"label": np.array([0, 1])}, {"label": np.array([0, 0])}, "pinball", "no metric of classif"),
    ("recommendation", {"items": items([["a"]])}, {"items": wanted(set())}, "recall@10", "no row wanted any"),
    ("forecast", {"quantiles": np.ones((2, 3))}, {"value": np.ones(2)}, "pinball", "3 quantiles and names 2"),
    ("forecast", {"quantiles": np.ones(2)}, {"value": np.ones(2)}, "pinball", "quantiles in 1 axes"),
    ("regression", {"value": np.ones((2, 3))}, {"value": np.ones(2)}, "mae", "3 answers for each row"),
    ("regression", {"value": np.array(["a", "b"])}, {"value": np.ones(2)}, "mae", "the answers are no numbers"),
    ("regression", {"value": np.full(2, -1e308)}, {"value": np.full(2, 7e307)}, "mae", "too large for a number"),
    ("regression", {"value": np.full(2, -1e308)}, {"value": np.full(2, 1e308)}, "rmse", "too large for a number"),
    ("regression", {"value": np.ones(3)}, {"value": np.ones(2)}, "mae", "'value' of shape [3] for 2 rows"),
    ("anomaly", {"score": np.ones((2, 2))}, {"label": np.array([0, 1])}, "auc", "2 scores for each row"),
    (
        "recommendation",
        {"items": np.array(["a", "b"])},
        {"items": wanted({"a"}, {"b"})},
        "recall@10",
        "items in 1 axes",
    ),
    ("classification", {"label": np.ones((2, 2))}, {"label": np.array([0, 1])}, "accuracy", "2 labels for each row"),
    ("classification", {"probabilities": np.ones(2)}, {"label": np.array([0, 1])}, "accuracy", "of named classes"),
]


def test_levels_that_are_no_numbers_leave_quantiles_unmeasured() -> None:
    found = measure("forecast", {"quantiles": np.ones((2, 1))}, {"value": np.ones(2)}, columns=("low",))
    assert found["pinball"].reason == "the model's quantiles are named low: numbers are wanted"


@pytest.mark.parametrize("probabilities", [np.full((2, 3), 1 / 3), np.ones(2)])
def test_labels_are_measured_where_nobody_knows_the_classes_of_probabilities(probabilities: Array) -> None:
    outputs = {"label": np.array([0, 0]), "probabilities": probabilities}
    found = measure("classification", outputs, {"label": np.array([0, 1])}, columns=("0", "1"))
    assert (found["accuracy"].value, found["log_loss"].value) == (0.5, None)


def test_an_error_whose_square_is_too_large_for_a_float_counts() -> None:
    outputs, truth = {"value": np.array([0.0, 0.0])}, {"value": np.array([3e300, 4e300])}
    assert value("regression", outputs, truth, "rmse") == pytest.approx(12.5**0.5 * 1e300)


@pytest.mark.parametrize(("task", "outputs", "truth", "name", "reason"), DEGENERATE)
def test_what_cannot_be_measured_has_a_reason_and_no_value(
    task: str, outputs: dict[str, Array], truth: dict[str, Array], name: str, reason: str
) -> None:
    prepared = prepare(task, outputs, truth, columns=("0", "1"), names=[name])
    found = bootstrapped(prepared)[name]
    assert found.value is found.low is found.high is None
    assert reason in (found.reason or "")


def test_constant_scores_are_worth_a_coin() -> None:
    outputs = {"probabilities": np.full((4, 2), 0.5)}
    assert value("classification", outputs, {"label": np.array([0, 1, 0, 1])}, "auc", columns=["0", "1"]) == 0.5


@pytest.mark.parametrize("name", ["accuracy", "auc", "f1", "log_loss"])
def test_intervals_cover_the_true_value_about_as_often_as_they_promise(name: str) -> None:
    outputs, truth = answers(2, rows=20_000)
    whole = value("classification", outputs, {"label": truth}, name, columns=["0", "1"])
    covered = 0
    for part in range(100):
        rows = slice(200 * part, 200 * part + 200)
        some = {key: array[rows] for key, array in outputs.items()}
        prepared = prepare("classification", some, {"label": truth[rows]}, columns=["0", "1"], names=[name])
        found = bootstrapped(prepared, resamples=200, seed=part)[name]
        assert found.low is not None
        assert found.high is not None
        covered += found.low <= whole <= found.high
    assert 88 <= covered <= 100


def test_intervals_are_seeded() -> None:
    outputs, truth = answers(2)
    prepared = prepare("classification", outputs, {"label": truth}, columns=["0", "1"])
    assert bootstrapped(prepared, seed=1) == bootstrapped(prepared, seed=1)
    assert bootstrapped(prepared, seed=1) != bootstrapped(prepared, seed=2)


def test_a_difference_on_the_same_rows_is_sharper_than_two_intervals() -> None:
    truth = SOME.normal(size=400)
    good, bad = truth + SOME.normal(size=400), truth + SOME.normal(size=400)
    bad = good + 0.05 * np.sign(good - truth)
    ours = prepare("regression", {"value": good}, {"value": truth})
    theirs = prepare("regression", {"value": bad}, {"value": truth})
    found = compared(ours, theirs).differences["mae"]
    assert found.value == pytest.approx(-0.05)
    assert found.high is not None
    assert found.high < 0
    assert compared(ours, theirs).ours == bootstrapped(ours)


def test_a_difference_needs_both_values() -> None:
    ours = prepare("anomaly", {"score": np.ones(2)}, {})
    assert compared(ours, ours).differences["auc"].reason == "there are no labels"


def test_a_mask_measures_a_group() -> None:
    said, truth = np.array([1.0, 2.0, 3.0]), np.array([1.0, 1.0, 1.0])
    prepared = prepare("regression", {"value": said}, {"value": truth}, names=["mae"])
    assert prepared.measured(mask=np.array([False, True, True]))["mae"].value == 1.5
    found = bootstrapped(prepared, mask=np.array([False, True, True]))["mae"]
    assert (found.low, found.value, found.high) == (1.0, 1.5, 2.0)
    assert bootstrapped(prepared, mask=np.zeros(3, bool))["mae"].reason == "there are no rows"


def test_names_are_found_for_every_k_and_no_others() -> None:
    assert find("recall@7").name == "recall@7"
    with pytest.raises(InvalidSpec, match="there is no metric 'acuracy'; there are accuracy, "):
        find("acuracy")
    with pytest.raises(InvalidSpec):
        find("recall@0")


def test_a_gain_is_in_the_better_direction() -> None:
    assert gain(METRICS["accuracy"], 0.9, 0.8) == pytest.approx(0.1)
    assert gain(METRICS["mae"], 1.0, 3.0) == 2.0


@pytest.mark.parametrize("task", ["classification", "regression", "anomaly", "recommendation", "forecast"])
def test_every_task_has_metrics(task: str) -> None:
    assert primary(task) in list(of_task(task))
