import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastmile.drift.estimate import Estimate, Feedback, accuracy, calibrated
from lastmile.errors import ProfileMismatch
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP64", (-1,)),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2))),
)


def answered(x: Array, *, boast: float = 1.0) -> dict[str, Array]:
    """A classifier whose probabilities are right when `boast` is 1, and too sure of themselves above."""
    one = 1 / (1 + np.exp(-2 * boast * x))
    return {"label": (one > 0.5).astype(np.int64), "probabilities": np.stack([1 - one, one], axis=1)}


def truth(random: np.random.Generator, x: Array, *, turned: float = 0.0) -> Array:
    label = (random.random(len(x)) < 1 / (1 + np.exp(-2 * x))).astype(np.int64)
    return np.where(random.random(len(x)) < turned, 1 - label, label)


def made(random: np.random.Generator, *, boast: float = 1.0, rows: int = 4000) -> Profile:
    x = random.normal(size=rows)
    outputs = answered(x, boast=boast)
    return reference(SIGNATURE, "classification", {"x": x}, outputs, truth={"label": truth(random, x)})


def estimated(profile: Profile, x: Array, *, boast: float = 1.0, feedback: Feedback | None = None) -> Estimate:
    found = accuracy(profile, Profile.of(profile.layout, {"x": x}, answered(x, boast=boast)), feedback=feedback)
    json.dumps(found.to_document(), allow_nan=False)
    return found


@pytest.mark.parametrize("boast", [1.0, 3.0])
@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_the_estimate_is_near_the_truth_and_says_how_near(boast: float, shift: float) -> None:
    random = np.random.default_rng(0)
    profile = made(random, boast=boast)
    inside = 0
    for _ in range(50):
        x = random.normal(shift, size=1000)
        right = float((answered(x)["label"] == truth(random, x)).mean())
        found = estimated(profile, x, boast=boast)
        assert found.value is not None
        assert found.low is not None
        assert found.high is not None
        assert found.trusted
        assert abs(found.value - right) < 0.06
        inside += found.low <= right <= found.high
    assert inside >= 43


def test_without_labels_in_the_reference_there_is_no_estimate() -> None:
    x = np.random.default_rng(0).normal(size=500)
    found = estimated(reference(SIGNATURE, "classification", {"x": x}, answered(x)), x)
    assert (found.value, found.trusted) == (None, False)
    assert "no labels in the reference" in found.reasons[0]


def test_without_confidence_there_is_no_estimate() -> None:
    profile = made(np.random.default_rng(0))
    found = accuracy(profile, Profile.of(profile.layout, {"x": np.zeros(9)}, {}))
    assert found.reasons == ("no confidence was captured",)


def test_inputs_outside_what_the_reference_had_are_not_trusted() -> None:
    random = np.random.default_rng(0)
    found = estimated(made(random), random.normal(5, size=500))
    assert not found.trusted
    assert "of 'x' lies outside what the reference had" in found.reasons[0]


def test_inputs_that_moved_are_not_trusted() -> None:
    random = np.random.default_rng(0)
    found = estimated(made(random), random.normal(0.5, size=2000))
    assert "'x' has moved by 0.4" in found.reasons[0]


def test_missing_values_that_the_reference_never_had_are_not_trusted() -> None:
    random = np.random.default_rng(0)
    profile = made(random)
    x = random.normal(size=1000)
    outputs = answered(x)
    x[:100] = np.nan
    assert "10% of 'x'" in accuracy(profile, Profile.of(profile.layout, {"x": x}, outputs)).reasons[0]


def test_feedback_that_contradicts_is_believed_and_not_the_estimate() -> None:
    random = np.random.default_rng(0)
    profile = made(random)
    x = random.normal(size=1000)
    for turned, trusted in ((0.0, True), (0.4, False)):
        right = int((answered(x)["label"] == truth(random, x, turned=turned)).sum())
        found = estimated(profile, x, feedback=Feedback(right, len(x)))
        assert found.trusted == trusted
    assert "feedback contradicts it" in found.reasons[0]


def test_too_few_rows_are_not_trusted() -> None:
    random = np.random.default_rng(0)
    assert "only 50 rows" in estimated(made(random), random.normal(size=50)).reasons[0]
    assert "only 50 labelled rows" in estimated(made(random, rows=50), random.normal(size=100)).reasons[0]


def test_one_row_of_many_elements_is_too_few_and_nothing_else() -> None:
    signature = Signature((TensorSpec("picture", "FP64", (-1, 64)),), SIGNATURE.outputs)
    random = np.random.default_rng(3)
    pictures = random.normal(size=(500, 64))
    label = {"label": truth(random, pictures[:, 0])}
    known = reference(signature, "classification", {"picture": pictures}, answered(pictures[:, 0]), truth=label)
    found = accuracy(known, Profile.of(known.layout, {"picture": pictures[:1]}, answered(pictures[:1, 0])))
    assert (found.rows, found.reasons) == (1, ("only 1 rows, 100 are needed",))


def test_profiles_of_another_layout_are_refused() -> None:
    random = np.random.default_rng(0)
    with pytest.raises(ProfileMismatch):
        accuracy(made(random), made(random))


def test_right_answers_are_kept_with_the_profile() -> None:
    profile = made(np.random.default_rng(0))
    again = Profile.from_document(json.loads(json.dumps(profile.to_document())))
    assert again.correct is not None
    assert profile.correct is not None
    assert again.correct.tolist() == profile.correct.tolist()
    broken = profile.to_document() | {"correct": [1]}
    with pytest.raises(ProfileMismatch, match="right answers"):
        Profile.from_document(broken)


@given(arrays(np.int64, 8, elements=st.integers(0, 50)), arrays(np.float64, 8, elements=st.floats(0, 1)))
def test_calibrated_chances_are_probabilities_that_rise_with_confidence(known: Array, share: Array) -> None:
    chances = calibrated(known, np.floor(known * share).astype(np.int64))
    assert len(chances) == 8
    assert (chances >= 0).all()
    assert (chances <= 1).all()
    assert (np.diff(chances) >= -1e-12).all()
