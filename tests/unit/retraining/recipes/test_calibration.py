import numpy as np

from functions.retraining.recipes.calibration import Calibration


def test_scores_that_tell_the_opposite_leave_how_frequent_the_class_is_and_the_order() -> None:
    raw = np.linspace(-1, 1, 1000)[:, None]
    labels = (np.arange(1000) % 50 == 0) & (raw[:, 0] < 0)
    positive = Calibration.of(raw, labels.astype(int)).probabilities(raw)[:, 1]
    assert abs(positive.mean() - labels.mean()) < 0.002
    assert (np.diff(positive) > 0).all()


def test_classes_that_were_learnt_as_if_equally_frequent_get_their_shares_back() -> None:
    rng, shares = np.random.default_rng(0), np.array([0.9, 0.08, 0.02])
    labels = rng.choice(3, 5000, p=shares)
    seen = labels + rng.normal(size=5000)
    raw = -((seen[:, None] - np.arange(3)) ** 2) / 2  # the logarithms of the likelihoods
    probabilities = Calibration.of(raw, labels, shares).probabilities(raw)
    np.testing.assert_allclose(probabilities.mean(axis=0), np.bincount(labels) / 5000, atol=0.01)
