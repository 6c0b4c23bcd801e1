"""Metrics of numbers and of quantiles."""

from dataclasses import dataclass

import numpy as np

from lastmile.metrics.weighing import Weighted, mean
from lastmile.tensors import Array


@dataclass(frozen=True, eq=False)
class Valued:
    """`predicted` is one number per row; `quantiles` is (rows, levels) where there are any."""

    truth: Array
    predicted: Array
    levels: tuple[float, ...] = ()
    quantiles: Array | None = None


def mae(sample: Valued) -> Weighted:
    """Mean absolute error; of the quantile nearest to the median, where there are quantiles."""
    with np.errstate(over="ignore"):
        return mean(np.abs(sample.truth - sample.predicted))


def rmse(sample: Valued) -> Weighted:
    """In parts of the largest error, whose square may be too large for a float."""
    with np.errstate(over="ignore"):
        errors = np.abs(sample.truth - sample.predicted)
    largest = float(errors.max(initial=0.0)) or 1.0
    if largest == np.inf:  # of two numbers, each as large as a float may be
        return mean(errors)
    squared = mean((errors / largest) ** 2)
    return lambda weights: largest * np.sqrt(squared(weights))


def pinball(sample: Valued) -> Weighted:
    """The loss whose smallest mean is at the quantile, averaged over the quantiles."""
    assert sample.quantiles is not None
    error = sample.truth[:, None] - sample.quantiles
    levels = np.array(sample.levels)
    return mean(np.maximum(levels * error, (levels - 1) * error).mean(axis=1))


def coverage(sample: Valued) -> Weighted:
    """The share of the rows between the lowest and the highest quantile."""
    assert sample.quantiles is not None
    low, high = sample.quantiles[:, np.argmin(sample.levels)], sample.quantiles[:, np.argmax(sample.levels)]
    return mean(((low <= sample.truth) & (sample.truth <= high)).astype(float))


def coverage_error(sample: Valued) -> Weighted:
    """How far the coverage is from what the quantiles promise."""
    found, promised = coverage(sample), max(sample.levels) - min(sample.levels)
    return lambda weights: np.abs(found(weights) - promised)
