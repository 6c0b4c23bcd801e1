"""Metrics of labels and of class probabilities. With two classes, the second is the positive one, as usual; with more,
a metric that needs a positive class takes each in turn against the others and gives the mean ("macro")."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from lastmile.metrics.weighing import Weighted, divided, mean, mean_over, share
from lastmile.tensors import Array

BINS = 15
SMALLEST = float(np.finfo(np.float32).eps)  # a probability that a graph's FP32 output can tell from 0


@dataclass(frozen=True, eq=False)
class Classified:
    """Classes by number, and their names in that order. `scores` is (rows, classes), what ranks the rows for each
    class; `probabilities` likewise."""

    truth: Array
    predicted: Array
    names: tuple[str, ...]
    scores: Array | None = None
    probabilities: Array | None = None

    @property
    def classes(self) -> int:
        return len(self.names)

    @property
    def is_binary(self) -> bool:
        return self.classes == 2

    def ranked(self) -> Iterator[tuple[Array, Array]]:
        """(scores, whether the row is of the class), for the positive class or for each."""
        assert self.scores is not None
        for number in (1,) if self.is_binary else range(self.classes):
            yield self.scores[:, number], self.truth == number


def accuracy(sample: Classified) -> Weighted:
    return mean((sample.truth == sample.predicted).astype(float))


def precision(sample: Classified) -> Weighted:
    if not sample.is_binary:
        return macro_precision(sample)
    return share(sample.truth == 1, sample.predicted == 1)


def recall(sample: Classified) -> Weighted:
    if not sample.is_binary:
        return macro_recall(sample)
    return share(sample.predicted == 1, sample.truth == 1)


def f1(sample: Classified) -> Weighted:
    if not sample.is_binary:
        return macro_f1(sample)
    truth, predicted = sample.truth == 1, sample.predicted == 1
    both, either = 2.0 * (truth & predicted), truth.astype(float) + predicted
    return lambda weights: divided(weights @ both, weights @ either)


def false_positive_rate(sample: Classified) -> Weighted:
    return _one_against_others(sample, lambda truth, predicted: share(predicted, ~truth))


def false_negative_rate(sample: Classified) -> Weighted:
    return _one_against_others(sample, lambda truth, predicted: share(~predicted, truth))


def macro_precision(sample: Classified) -> Weighted:
    return _macro(sample, lambda hits, true, predicted: (hits, predicted))


def macro_recall(sample: Classified) -> Weighted:
    return _macro(sample, lambda hits, true, predicted: (hits, true))


def macro_f1(sample: Classified) -> Weighted:
    return _macro(sample, lambda hits, true, predicted: (2 * hits, true + predicted))


def log_loss(sample: Classified) -> Weighted:
    assert sample.probabilities is not None
    whole = sample.probabilities.sum(axis=1)
    of_truth = sample.probabilities[np.arange(len(sample.truth)), sample.truth]
    likelihood = np.divide(of_truth, whole, out=np.zeros_like(whole), where=whole > 0)
    return mean(-np.log(np.clip(likelihood, SMALLEST, 1 - SMALLEST)))


def brier(sample: Classified) -> Weighted:
    """Half the squared distance from the probabilities to the truth: from 0 to 1, whatever the number of classes."""
    assert sample.probabilities is not None
    distance = sample.probabilities - np.eye(sample.classes)[sample.truth]
    return mean((distance**2).sum(axis=1) / 2)


def calibration_error(sample: Classified) -> Weighted:
    """Expected calibration error over equal bins: of the positive class's probability, or of the label's confidence.

    Guo et al. 2017, On Calibration of Modern Neural Networks, equation 3.
    """
    said, right = confidence(sample)
    bins = (said * BINS).clip(0, BINS - 1).astype(int)
    of_bin = np.eye(BINS)[bins]
    gaps = of_bin * (right - said)[:, None]
    return lambda weights: divided(np.abs(weights @ gaps).sum(axis=1), weights.sum(axis=1))


def confidence(sample: Classified) -> tuple[Array, Array]:
    """The probability that is said, and whether (1 or 0) what it was said of came true."""
    assert sample.probabilities is not None
    if sample.is_binary:
        return sample.probabilities[:, 1], (sample.truth == 1).astype(float)
    return sample.probabilities.max(axis=1), (sample.truth == sample.probabilities.argmax(axis=1)).astype(float)


def _one_against_others(sample: Classified, metric) -> Weighted:  # type: ignore[no-untyped-def]
    numbers: Sequence[int] = (1,) if sample.is_binary else range(sample.classes)
    each = [metric(sample.truth == number, sample.predicted == number) for number in numbers]
    return lambda weights: mean_over(np.stack([one(weights) for one in each], axis=1))


def _macro(sample: Classified, parts) -> Weighted:  # type: ignore[no-untyped-def]
    """The mean over the classes that are there, in the truth or in the answers; 0 for one that was never found."""
    true, predicted = np.eye(sample.classes)[sample.truth], np.eye(sample.classes)[sample.predicted]
    hits = true * predicted

    def values(weights: Array) -> Array:
        sums = weights @ hits, weights @ true, weights @ predicted
        each = np.nan_to_num(divided(*parts(*sums)))
        return divided(each.sum(axis=1), ((sums[1] + sums[2]) > 0).sum(axis=1))

    return values
