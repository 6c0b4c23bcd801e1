import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
import pytest

from lastmile.feedback import Feedback, read, write
from lastmile.labelled import joined
from lastmile.policies import Feature
from lastmile.quality import document, quality
from lastmile.scores import MOST_STRANGE
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array, Signature, TensorSpec
from lastmile.ulid import new_ulid
from tests.unit.watching import DAY, HOUR, NOW, PROBABILITIES, predicted, spec, store_captures

SEGMENTED = spec(features={"country": Feature(categories=("DE", "FR"), sensitive=True)})


@pytest.fixture
def store() -> Store:
    return Store.open("memory://", environ={})


def given(store: Store, rows: Sequence[tuple[float, str, Any]], *, at: float = NOW - HOUR, **details: Any) -> str:
    """One request of (amount, country, label) rows, and what is said about each."""
    amounts, countries, labels = zip(*rows, strict=True)
    prediction_id, line = predicted(np.array(amounts), countries, at=at, **details)
    store_captures(store, [line], at=at, batch=prediction_id)
    known = at + 2 * HOUR
    write(store, [Feedback("fraud", prediction_id, row, label, "r", known, known) for row, label in enumerate(labels)])
    return prediction_id


def measured(store: Store, of: ModelSpec = SEGMENTED, **details: Any) -> dict[str, Any]:
    document = quality(store, of, since=NOW - 7 * DAY, until=NOW, **details)
    return json.loads(orjson.dumps(document))  # type: ignore[no-any-return]


def values(metrics: dict[str, Any]) -> dict[str, float | None]:
    return {name: figure["value"] for name, figure in metrics.items()}


# Amounts above 5 are called frauds: two hits, one false alarm, one miss, four rightly passed.
ROWS = [
    (9.5, "DE", 1),
    (8, "FR", 1),
    (7, "DE", 0),
    (1, "FR", 1),
    *((amount, "DE", 0) for amount in (1, 2, 3, 4)),
]


def test_figures_of_a_classifier(store: Store) -> None:
    given(store, ROWS)
    (version,) = measured(store)["versions"]
    found = values(version["metrics"])
    assert (version["version"], version["rows"], version["roles"]) == (1, 8, {"champion": 8})
    assert found["accuracy"] == 6 / 8
    assert found["precision"] == 2 / 3
    assert found["recall"] == 2 / 3
    assert found["f1"] == 2 / 3
    assert found["false_positive_rate"] == 1 / 5
    assert found["false_negative_rate"] == pytest.approx(1 / 3)
    assert found["auc"] == pytest.approx(10.5 / 15)
    assert version["confusion"] == {"classes": ["0", "1"], "counts": [[4, 1], [1, 2]]}
    accuracy = version["metrics"]["accuracy"]
    assert accuracy["low"] < 6 / 8 < accuracy["high"]


def test_reliability_shows_what_was_said_and_what_came_true(store: Store) -> None:
    given(store, ROWS)
    (version,) = measured(store)["versions"]
    assert sum(row["rows"] for row in version["calibration"]) == 8
    nine = next(row for row in version["calibration"] if row["from"] == 0.9)
    assert (nine["rows"], nine["said"], nine["right"]) == (1, pytest.approx(0.95), 1.0)


def test_groups_and_days_have_figures_of_their_own(store: Store) -> None:
    given(store, ROWS[:4], at=NOW - 2 * DAY)
    given(store, ROWS[4:], at=NOW - HOUR)
    found = measured(store)
    groups = {(one["feature"], one["value"]): (one["rows"], one["metrics"]) for one in found["segments"]}
    assert set(groups) == {("country", "DE"), ("country", "FR")}
    assert (groups["country", "FR"][0], groups["country", "FR"][1]["accuracy"]["value"]) == (2, 0.5)
    days = {one["day"]: (one["rows"], one["metrics"]["accuracy"]["value"]) for one in found["days"]}
    assert days == {"2026-03-12": (4, 0.5), "2026-03-14": (4, 1.0)}
    over_time = {
        one["value"]: {of["day"]: (of["rows"], of["metrics"]) for of in one["days"]} for one in found["segments"]
    }
    assert {name: sum(rows for rows, _ in of.values()) for name, of in over_time.items()} == {"DE": 6, "FR": 2}
    assert all(
        set(metrics) == set(groups["country", "DE"][1]) for of in over_time.values() for _, metrics in of.values()
    )
    assert [metrics["accuracy"] for _, metrics in over_time["DE"].values()] != [None, None]


def test_groups_that_come_with_the_labels_have_figures_too(store: Store) -> None:
    at = NOW - HOUR
    prediction_id, line = predicted(np.array([1.0, 9.0, 1.0, 9.0]), ["DE"] * 4, at=at)
    store_captures(store, [line], at=at)
    told = [(0, {"age": "18-29"}), (1, {"age": "18-29"}), (1, {"age": "70+"}), (1, {})]
    write(store, [Feedback("fraud", prediction_id, row, *said(*one, at)) for row, one in enumerate(told)])
    found = measured(store, spec(features={"age": Feature(sensitive=True)}))
    shown = {one["value"]: (one["rows"], one["metrics"]["accuracy"]["value"]) for one in found["segments"]}
    assert shown == {"18-29": (2, 1.0), "70+": (1, 0.0)}


def said(label: int, groups: dict[str, str], at: float) -> tuple[Any, ...]:
    return label, "r", at + HOUR, at + HOUR, groups


def test_versions_are_judged_apart_and_a_shadow_is_called_one(store: Store) -> None:
    prediction_id = given(store, ROWS)
    _, line = predicted(
        np.array([row[0] for row in ROWS]),
        [row[1] for row in ROWS],
        at=NOW - HOUR,
        version=2,
        role="shadow",
        prediction_id=prediction_id,
        outputs={"label": np.array([1, 1, 0, 1, 0, 0, 0, 0])},
    )
    store_captures(store, [line], at=NOW - HOUR, batch="shadow")
    first, second = measured(store)["versions"]
    assert (first["shadow"], second["shadow"]) == (False, True)
    assert (first["metrics"]["accuracy"]["value"], second["metrics"]["accuracy"]["value"]) == (0.75, 1.0)
    assert second["metrics"]["auc"]["reason"] == "the model gives no scores"


def test_what_is_unknown_late_and_not_covered_is_told(store: Store) -> None:
    given(store, ROWS)
    stray = new_ulid(NOW - HOUR)
    write(store, [Feedback("fraud", stray, 0, 1, "r", NOW, NOW)])
    labels = measured(store, predictions=80)["labels"]
    assert (labels["given"], labels["joined"], labels["unknown"], labels["unknown_ids"]) == (9, 8, 1, [stray])
    assert labels["coverage"] == 0.1
    assert labels["delay_hours"] == {"median": 2.0, "p90": 2.0}


def test_without_a_label_nothing_is_claimed(store: Store) -> None:
    found = measured(store)
    assert (found["versions"], found["segments"], found["days"]) == ([], [], [])
    assert found["labels"]["delay_hours"] == {"median": None, "p90": None}
    assert found["labels"]["coverage"] is None
    assert found["notes"] == ["No label has arrived for a prediction of this time."]


def test_one_row_gives_figures_or_reasons_and_never_nan(store: Store) -> None:
    given(store, ROWS[:1])
    (version,) = measured(store)["versions"]
    assert version["metrics"]["accuracy"]["value"] == 1.0
    assert version["metrics"]["auc"] == {
        "value": None,
        "low": None,
        "high": None,
        "reason": "the rows are all of one class",
    }
    assert "NaN" not in json.dumps(measured(store))


def test_a_label_of_another_kind_is_left_out_and_told(store: Store) -> None:
    given(store, [*ROWS, (1, "DE", "fraud")])
    found = measured(store)
    assert found["versions"][0]["rows"] == 8
    assert found["notes"] == ["1 labels are of another kind than the model's answers, and are left out."]


def test_a_feature_with_too_many_values_is_not_told_apart(store: Store) -> None:
    given(store, [(1, f"c{number}", 0) for number in range(30)])
    assert measured(store, spec(features={"country": Feature(sensitive=True)}))["segments"] == []


def floats(values: Any) -> Array:
    return np.array(values, np.float32)


REGRESSION = spec(task="regression", outputs=(TensorSpec("value", "FP32", (-1,)),))
FORECAST = spec(task="forecast", outputs=(TensorSpec("quantiles", "FP32", (-1, 3), ("0.1", "0.5", "0.9")),))
ANOMALY = spec(task="anomaly", outputs=(TensorSpec("score", "FP32", (-1,)), TensorSpec("label", "INT64", (-1,))))
ITEMS = spec(task="recommendation", outputs=(TensorSpec("items", "BYTES", (-1, 2)),))


@pytest.mark.parametrize(
    ("of", "outputs", "labels", "expected"),
    [
        (REGRESSION, {"value": floats([1, 2])}, [2, 4], {"mae": 1.5}),
        (FORECAST, {"quantiles": floats([[1, 2, 3], [1, 2, 3]])}, [2.5, 9], {"mae": 3.75, "coverage": 0.5}),
        (ANOMALY, {"score": floats([9, 1]), "label": np.array([1, 0])}, [1, 0], {"recall": 1.0, "auc": 1.0}),
        (ITEMS, {"items": np.array([["a", "b"], ["c", "d"]], object)}, [["a"], "x"], {"recall@10": 0.5}),
    ],
    ids=["regression", "forecast", "anomaly", "recommendation"],
)
def test_every_task_has_its_figures(
    store: Store, of: ModelSpec, outputs: Any, labels: list[Any], expected: dict[str, float]
) -> None:
    given(store, [(1, "DE", labels[0]), (2, "FR", labels[1])], of=of, outputs=outputs)
    (version,) = measured(store, of)["versions"]
    assert {name: version["metrics"][name]["value"] for name in expected} == pytest.approx(expected)


def test_answers_without_the_output_that_is_needed_give_a_reason(store: Store) -> None:
    given(store, [(1, "DE", 1.5)], of=REGRESSION, outputs={"other": floats([1])})
    (version,) = measured(store, REGRESSION)["versions"]
    assert version["metrics"]["mae"]["reason"] == "the captures hold no output 'value'"


def test_a_version_with_other_classes_than_the_spec_has_now_is_measured_by_its_own(store: Store) -> None:
    outputs = {"probabilities": floats([[0, 0, 1], [0, 1, 0], [1, 0, 0]])}
    given(store, [(1, "DE", 2), (2, "DE", 0), (3, "DE", 0)], outputs=outputs)
    now = spec(outputs=(TensorSpec("probabilities", "FP32", (-1, 2), ("0", "1")),))
    then = Signature(now.inputs, (TensorSpec("probabilities", "FP32", (-1, 3), ("0", "1", "2")),))
    join = joined(store, "fraud", read(store, "fraud", NOW - 7 * DAY, NOW))
    for signatures, accuracy in ((None, None), ({1: then}, pytest.approx(2 / 3))):
        (version,) = document(join, now, since=NOW - 7 * DAY, until=NOW, signatures=signatures)["versions"]
        assert version["metrics"]["accuracy"]["value"] == accuracy


def test_labels_that_no_answer_names_make_few_classes_however_many_they_are(store: Store) -> None:
    of = spec(outputs=(TensorSpec("label", "BYTES", (-1,)), PROBABILITIES))
    rows = [(1, "DE", "0"), *((1, "DE", f"customer {number}") for number in range(120))]
    answers = {"label": np.array(["0"] * 121, object), "probabilities": floats([[1, 0]] * 121)}
    given(store, rows, of=of, outputs=answers)
    (version,) = measured(store, of)["versions"]
    assert version["metrics"]["accuracy"]["value"] == pytest.approx(1 / 121)
    assert version["metrics"]["macro_recall"]["value"] == pytest.approx(1 / (1 + MOST_STRANGE + 1))


def test_probabilities_without_names_and_labels_are_numbered(store: Store) -> None:
    of = spec(outputs=(TensorSpec("probabilities", "FP32", (-1, 2)),))
    given(
        store,
        [(1, "DE", 0), (9, "FR", 1)],
        of=of,
        outputs={"probabilities": floats([[0.9, 0.1], [0.2, 0.8]])},
    )
    (version,) = measured(store, of)["versions"]
    assert version["metrics"]["accuracy"]["value"] == 1.0
    assert version["confusion"] == {"classes": ["0", "1"], "counts": [[1, 0], [0, 1]]}
