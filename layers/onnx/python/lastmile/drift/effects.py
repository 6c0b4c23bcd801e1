"""How large a difference is, less what mere chance adds to it, and how small a one could have been found.

A distance is never negative, so that two samples of one source are some way apart: the fewer the rows, the further.
"""

import math

import numpy as np

from lastmile.drift.homogeneity import bridge
from lastmile.drift.statistics import NORMAL, jensen_shannon_divergence, scores, shares, wasserstein
from lastmile.tensors import Array

POWER = 0.8
QUADRATIC = 30.0  # rows expected in a cell from which on its part of the divergence is a square
REACH = 8.0  # standard deviations summed over where it is not


def corrected(measured: float, by_chance: float) -> float:
    """A distance without the part that chance adds to its square."""
    return math.sqrt(max(0.0, measured * measured - by_chance))


def number_effect(reference: Array, current: Array, drawn: tuple[Array, Array]) -> float:
    """The Wasserstein distance at the reference's normal scores: in standard deviations, were the feature normal.

    `drawn` are the counts that chance has had a say in: fewer than the counts where a row has many elements.
    """
    positions = scores(reference)
    return corrected(wasserstein(reference, current, positions), _wasserstein_by_chance(*drawn, np.diff(positions)))


def category_effect(reference: Array, current: Array, drawn: tuple[Array, Array]) -> float:
    """The Jensen-Shannon distance of the shares, base 2."""
    divergence = jensen_shannon_divergence(shares(reference), shares(current))
    return math.sqrt(max(0.0, divergence - divergence_by_chance(*drawn)))


def detectable_shift(reference: float, current: float, level: float) -> float:
    """The smallest shift, in standard deviations, found in four of five checks with so many rows on either side."""
    return (NORMAL.inv_cdf(1 - level / 2) + NORMAL.inv_cdf(POWER)) * math.sqrt(1 / reference + 1 / current)


def detectable_divergence(reference: float, current: float, freedom: int, level: float) -> float:
    """The smallest Jensen-Shannon distance found in four of five checks of that many degrees of freedom.

    The critical value is Wilson and Hilferty's; the noncentral chi-square is taken as normal.
    """
    f = max(1, freedom)
    critical = f * (1 - 2 / (9 * f) + NORMAL.inv_cdf(1 - level) * math.sqrt(2 / (9 * f))) ** 3
    noncentral = critical - f
    for _ in range(20):
        noncentral = critical - f + NORMAL.inv_cdf(POWER) * math.sqrt(2 * (f + 2 * max(0.0, noncentral)))
    return math.sqrt(max(0.0, noncentral) * (1 / reference + 1 / current) / (8 * math.log(2)))


def detectable_departure(reference: int, current: int, level: float) -> float:
    """The share of the rows that must leave a constant to be noticed.

    So many rows that all of them are current ones with a probability of at most `level`, and one for good luck.
    """
    rows = math.ceil(math.log(level) / math.log(current / (reference + current))) + 1
    return min(1.0, rows / current)


def detectable_elsewhere(reference: int, current: int, level: float, *, ordered: bool) -> float:
    """The effect of that share of the rows."""
    share = detectable_departure(reference, current, level)
    if ordered:
        return share * float(scores(np.array([0, reference, 0]))[-1])
    return math.sqrt(jensen_shannon_divergence(np.array([1.0, 0.0]), np.array([1 - share, share])))


def _wasserstein_by_chance(reference: Array, current: Array, gaps: Array) -> float:
    """The mean of the squared distance under homogeneity: E|XY| of two normals (Nabeya 1951), summed over the edges."""
    covariance = bridge(reference, current)
    deviations = np.sqrt(np.diag(covariance))
    both = np.outer(deviations, deviations)
    correlation = np.clip(np.divide(covariance, both, out=np.zeros_like(both), where=both > 0), -1, 1)
    means = 2 / math.pi * both * (np.sqrt(1 - correlation**2) + correlation * np.arcsin(correlation))
    return float(gaps @ means @ gaps)


def divergence_by_chance(reference: Array, current: Array) -> float:
    """The mean Jensen-Shannon divergence under homogeneity, in bits: exact where rows are few, else its square term."""
    both = (reference + current).astype(np.float64)
    both = both[both > 0]
    m, n = sorted((float(reference.sum()), float(current.sum())), reverse=True)
    total = m + n
    h = both / total
    variance = n * h * (1 - h) * m / max(1.0, total - 1)
    is_rare = n * h < QUADRATIC
    parts = variance * (1 / n + 1 / m) ** 2 / (8 * math.log(2) * h)
    return float(parts[~is_rare].sum()) + _rare_divergence(both[is_rare], m, n)


def _rare_divergence(both: Array, m: float, n: float) -> float:
    """Summed over how many of a cell's rows are on the smaller side, by their hypergeometric probability."""
    if not len(both):
        return 0.0
    k, total = both[:, np.newaxis], m + n
    most = float(both.max()) * n / total
    x = np.arange(math.ceil(most + REACH * math.sqrt(most) + REACH), dtype=np.float64)
    possible = (x <= k) & (x <= n) & (k - x <= m)
    # From the ratio of neighbours; numbers below the first possible one are out of reach, and the larger side has
    # more rows than a rare cell.
    ratios = np.maximum(k - x, 0) * np.maximum(n - x, 0) / ((x + 1) * np.maximum(total - k - n + x + 1, 1))
    with np.errstate(divide="ignore"):
        logs = np.concatenate([np.zeros((len(both), 1)), np.cumsum(np.log(ratios[:, :-1]), axis=1)], axis=1)
    chances = np.where(possible, np.exp(logs - logs.max(axis=1, keepdims=True)), 0.0)
    chances /= chances.sum(axis=1, keepdims=True)
    p, q = np.maximum(k - x, 0) / m, x / n
    middle = (p + q) / 2
    return float((chances * (_part(p, middle) + _part(q, middle)) / 2).sum())


def _part(share: Array, middle: Array) -> Array:
    return share * np.log2(np.divide(share, middle, out=np.ones_like(middle), where=share > 0))
