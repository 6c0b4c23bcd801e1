"""Real rows in the order of time: half-hourly electricity prices, whose market was widened at row 17,424."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from lastmile.drift import Estimate, Feedback, accuracy, compare, natural_variation
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

DATA = Path(__file__).parents[5] / "shared/data/elec2/elec.csv.gz"
COLUMNS = ("period", "nswprice", "nswdemand", "vicprice", "vicdemand", "transfer")
SIGNATURE = Signature(
    (TensorSpec("x", "FP64", (-1, len(COLUMNS)), columns=COLUMNS),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2))),
)
CHANGE = 17_424
DAY = 48
WINDOW = 1000
REFERENCE = 12_000


@pytest.fixture(scope="module")
def rows() -> tuple[Array, Array]:
    if not DATA.is_file():
        pytest.skip(f"the electricity data are not at {DATA}")
    table = np.loadtxt(DATA, delimiter=",", skiprows=1, max_rows=CHANGE + 8000)
    return table[:, :-1], table[:, -1].astype(np.int64)


def test_the_change_is_found_within_2000_rows_and_nothing_before_it(rows: tuple[Array, Array]) -> None:
    x, _ = rows
    profile = reference(SIGNATURE, "classification", {"x": x[:REFERENCE]}, {})
    windows = [Profile.of(profile.layout, {"x": x[at : at + WINDOW]}, {}) for at in range(0, REFERENCE, WINDOW)]
    variation = natural_variation(windows)
    found = {}
    for at in range(REFERENCE, CHANGE + 2000 - WINDOW, 200):
        current = Profile.of(profile.layout, {"x": x[at : at + WINDOW]}, {})
        found[at + WINDOW] = compare(profile, current, policy=Drift(), variation=variation)
    assert not any(report.alarm for end, report in found.items() if end <= CHANGE)
    alarms = [end for end, report in found.items() if report.alarm]
    assert CHANGE < min(alarms) <= CHANGE + 2000
    names = {row.name for row in found[max(found)].drifted}
    assert {"vicprice", "vicdemand", "transfer"} <= names


def watched(
    rows: tuple[Array, Array], learnt: Array, known: Array, at: Array, *, labels: int = 0
) -> tuple[Estimate, float]:
    """The estimate for the rows `at`, and how often the answers were right."""
    x, y = rows
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[learnt], y[learnt])

    def answered(places: Array) -> dict[str, Array]:
        probabilities = model.predict_proba(x[places])
        return {"label": probabilities.argmax(axis=1), "probabilities": probabilities}

    profile = reference(SIGNATURE, "classification", {"x": x[known]}, answered(known), truth={"label": y[known]})
    outputs = answered(at)
    right = outputs["label"] == y[at]
    feedback = Feedback(int(right[:labels].sum()), labels) if labels else None
    found = accuracy(profile, Profile.of(profile.layout, {"x": x[at]}, outputs), feedback=feedback)
    return found, float(right.mean())


def test_the_estimate_is_within_three_points_where_the_classifier_is_calibrated(rows: tuple[Array, Array]) -> None:
    day = np.arange(CHANGE) // DAY
    learnt, known, at = (np.flatnonzero(day % 3 == which) for which in range(3))
    found, right = watched(rows, learnt, known, at)
    assert found.trusted
    assert found.value == pytest.approx(right, abs=0.03)


def test_after_the_change_the_estimate_is_not_to_be_trusted(rows: tuple[Array, Array]) -> None:
    learnt, known = np.arange(8000), np.arange(8000, REFERENCE)
    found, right = watched(rows, learnt, known, np.arange(20_000, 22_000))
    assert found.value is not None
    assert abs(found.value - right) > 0.1
    assert not found.trusted
    assert "'transfer' lies outside what the reference had" in " ".join(found.reasons)


def test_a_change_of_meaning_is_told_by_the_first_labels(rows: tuple[Array, Array]) -> None:
    learnt, known = np.arange(8000), np.arange(8000, REFERENCE)
    found, right = watched(rows, learnt, known, np.arange(15_000, 16_000), labels=300)
    assert found.value is not None
    assert abs(found.value - right) > 0.1
    assert "feedback contradicts it" in " ".join(found.reasons)
