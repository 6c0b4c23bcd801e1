"""Metrics of an order: how well scores put the rows of a class before the others. Equal scores are one step."""

from collections.abc import Callable

import numpy as np

from lastmile.metrics.classes import Classified
from lastmile.metrics.weighing import Weighted, divided, mean_over
from lastmile.tensors import Array

type Steps = Callable[[Array], tuple[Array, Array]]


def auc(sample: Classified) -> Weighted:
    """Area under the ROC curve: how often a row of the class has the higher score, ties counting half."""
    return _each(sample, _area)


def average_precision(sample: Classified) -> Weighted:
    """Precision at each step, weighted by the recall gained there."""
    return _each(sample, _average_precision)


def steps(scores: Array, positive: Array) -> Steps:
    """From weights to those of the positives and of the others down to each distinct score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked, is_positive = scores[order], positive[order].astype(float)
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])

    def down_to_each(weights: Array) -> tuple[Array, Array]:
        sorted_weights = weights[:, order]
        seen = sorted_weights.cumsum(axis=1)[:, ends]
        sorted_weights *= is_positive
        hits = sorted_weights.cumsum(axis=1)[:, ends]
        return hits, seen - hits

    return down_to_each


def _area(hits: Array, misses: Array) -> Array:
    """By trapezoids: a step up and to the right at once is a tie."""
    heights = hits.copy()
    heights[:, 1:] += hits[:, :-1]
    won = (_gained(misses) * heights).sum(axis=1) / 2
    return divided(won, hits[:, -1] * misses[:, -1])


def _average_precision(hits: Array, misses: Array) -> Array:
    seen = hits + misses
    precision = np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return divided((_gained(hits) * precision).sum(axis=1), hits[:, -1])


def _gained(sums: Array) -> Array:
    return np.diff(sums, axis=1, prepend=0)


def _each(sample: Classified, metric: Callable[[Array, Array], Array]) -> Weighted:
    ranked = [steps(scores, positive) for scores, positive in sample.ranked()]
    return lambda weights: mean_over(np.stack([metric(*one(weights)) for one in ranked], axis=1))
