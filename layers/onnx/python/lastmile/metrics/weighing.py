"""A metric as a function of row weights: ones give its value, counts of a resample its bootstrap, a mask a group's.

Weights are (resamples, rows), values (resamples,), NaN where the weighted rows leave the metric undefined.
"""

from collections.abc import Callable

import numpy as np

from lastmile.tensors import Array

type Weighted = Callable[[Array], Array]


def divided(part: Array, whole: Array) -> Array:
    """NaN where the whole is nothing."""
    quotient: Array = np.divide(part, whole, out=np.full(np.shape(whole), np.nan), where=whole > 0)
    return quotient


def mean(values: Array) -> Weighted:
    def of(weights: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):  # a sum that is too large for a float is infinite
            return divided(weights @ values, weights.sum(axis=1))

    return of


def share(part: Array, whole: Array) -> Weighted:
    """Of the rows in `whole`, the share that is in `part` as well; both are masks."""
    both, all_of = (part & whole).astype(float), whole.astype(float)
    return lambda weights: divided(weights @ both, weights @ all_of)


def mean_over(values: Array) -> Array:
    """The mean of each row's finite values; NaN where a row has none."""
    finite = np.isfinite(values)
    return divided(np.where(finite, values, 0).sum(axis=1), finite.sum(axis=1))
