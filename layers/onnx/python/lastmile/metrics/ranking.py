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
    """From weights to those of the positives and of the others at each distinct score, the highest first."""
    order = np.argsort(-scores, kind="stable")
    ranked, is_positive = scores[order], positive[order]
    starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]])

    def at_each(weights: Array) -> tuple[Array, Array]:
        sorted_weights = weights[:, order]
        return (
            np.add.reduceat(sorted_weights * is_positive, starts, axis=1),
            np.add.reduceat(sorted_weights * ~is_positive, starts, axis=1),
        )

    return at_each


def _area(positives: Array, others: Array) -> Array:
    below = others.sum(axis=1, keepdims=True) - others.cumsum(axis=1)
    won = (positives * (below + others / 2)).sum(axis=1)
    return divided(won, positives.sum(axis=1) * others.sum(axis=1))


def _average_precision(positives: Array, others: Array) -> Array:
    hits = positives.cumsum(axis=1)
    seen = hits + others.cumsum(axis=1)
    gained = positives * np.divide(hits, seen, out=np.zeros_like(hits), where=seen > 0)
    return divided(gained.sum(axis=1), positives.sum(axis=1))


def _each(sample: Classified, metric: Callable[[Array, Array], Array]) -> Weighted:
    ranked = [steps(scores, positive) for scores, positive in sample.ranked()]
    return lambda weights: mean_over(np.stack([metric(*one(weights)) for one in ranked], axis=1))
