"""Distances between two samples, as pure functions of counts per bin (or of the values), and the table of them.

Each takes the reference's counts first. Logarithms are natural except where said otherwise.
"""

import math
from collections.abc import Callable
from statistics import NormalDist
from typing import Literal, NamedTuple

import numpy as np

from lastmile.tensors import Array

NORMAL = NormalDist()
LEAST_EXPECTED = 5.0  # per cell, on the smaller side: Cochran's rule for the chi-square approximation


def shares(counts: Array) -> Array:
    total = counts.sum()
    return counts / total if total else np.zeros(len(counts))


def psi(reference: Array, current: Array) -> float:
    """Population stability index, the symmetric Kullback-Leibler divergence.

    Half a row is added to every bin, so that an empty one gives no infinity (Jeffreys' prior).
    """
    p, q = shares(reference + 0.5), shares(current + 0.5)
    return float(((p - q) * np.log(p / q)).sum())


def jensen_shannon(reference: Array, current: Array) -> float:
    """The Jensen-Shannon distance with base 2: 0 where the shares are equal, 1 where they have no bin in common."""
    return math.sqrt(jensen_shannon_divergence(shares(reference), shares(current)))


def jensen_shannon_divergence(p: Array, q: Array) -> float:
    """In bits, of two vectors of shares (Lin 1991)."""
    middle = (p + q) / 2
    return max(0.0, float(_entropy(middle) - _entropy(p) / 2 - _entropy(q) / 2))


def kolmogorov_smirnov(reference: Array, current: Array) -> float:
    """The largest distance of the two distribution functions at the edges of the bins."""
    return float(np.abs(np.cumsum(shares(reference)) - np.cumsum(shares(current))).max(initial=0.0))


def wasserstein(reference: Array, current: Array, positions: Array) -> float:
    """How far the rows of one must be moved to be those of the other, each lying at its bin's position."""
    apart = np.cumsum(shares(reference) - shares(current))[:-1]
    return float((np.abs(apart) * np.diff(positions)).sum())


def energy(reference: Array, current: Array, positions: Array) -> float:
    """Half of the squared energy distance (Székely 2003): the integral of the squared distance of the two distribution
    functions, each row lying at its bin's position."""
    apart = np.cumsum(shares(reference) - shares(current))[:-1]
    return float((apart**2 * np.diff(positions)).sum())


def wasserstein_of_samples(reference: Array, current: Array) -> float:
    """The first Wasserstein distance of two samples of numbers, exactly."""
    both = np.sort(np.concatenate([reference, current]))
    steps = np.diff(both)
    p = np.searchsorted(np.sort(reference), both[:-1], side="right") / len(reference)
    q = np.searchsorted(np.sort(current), both[:-1], side="right") / len(current)
    return float((np.abs(p - q) * steps).sum())


def chi_square(reference: Array, current: Array) -> tuple[float, int]:
    """Pearson's statistic of homogeneity and its degrees of freedom; empty bins do not count."""
    table = np.array([reference, current], dtype=np.float64)
    table = table[:, table.sum(axis=0) > 0]
    total = table.sum()
    if not total or table.shape[1] < 2 or not table.sum(axis=1).all():
        return 0.0, 0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / total
    return float(((table - expected) ** 2 / expected).sum()), table.shape[1] - 1


def pooled(reference: Array, current: Array, *, least: float = LEAST_EXPECTED) -> tuple[Array, Array]:
    """Both with rare bins put together, until each expects `least` rows on the smaller side.

    Bins are joined in the order of their size on both sides together: which ones, says nothing of how they differ, and
    tests that are conditional on the margins stay valid. Bins of equal size are taken by their places, which must not
    depend on the counts of one side.
    """
    both = reference + current
    smaller = min(reference.sum(), current.sum()) / max(1, both.sum())
    order = np.argsort(-both, kind="stable")
    order = order[both[order] > 0]
    expected = both[order] * smaller
    group = np.zeros(len(order), np.int64)
    number, held = 0, 0.0
    for place, amount in enumerate(expected.tolist()):
        if held >= least:
            number, held = number + 1, 0.0
        group[place] = number
        held += amount
    if held < least and number:
        group[group == number] = number - 1
    groups = int(group.max(initial=-1)) + 1
    return (
        np.bincount(group, reference[order], groups).astype(reference.dtype),
        np.bincount(group, current[order], groups).astype(current.dtype),
    )


def scores(counts: Array) -> Array:
    """The normal score of each bin: the standard normal quantile of the middle of its ranks (van der Waerden 1952).

    Distances between them are standard deviations if the feature is normal, and whatever its unit and its tails are.
    Ranks are moved by half a row inwards: an empty bin beyond all rows has a place, too.
    """
    total = float(counts.sum())
    middles = (np.cumsum(counts) - counts / 2 + 0.5) / (total + 1)
    return np.array([NORMAL.inv_cdf(middle) for middle in middles.tolist()])


def _entropy(p: Array) -> float:
    there = p[p > 0]
    return -float((there * np.log2(there)).sum())


class Statistic(NamedTuple):
    """One row of the table: `kinds` of features for which it says something."""

    name: str
    kinds: tuple[Literal["numeric", "category"], ...]
    measure: Callable[[Array, Array], float]


STATISTICS: dict[str, Statistic] = {
    row.name: row
    for row in (
        Statistic("psi", ("numeric", "category"), psi),
        Statistic("jensen_shannon", ("numeric", "category"), jensen_shannon),
        Statistic("kolmogorov_smirnov", ("numeric",), kolmogorov_smirnov),
        Statistic("wasserstein", ("numeric",), lambda p, q: wasserstein(p, q, scores(p))),
        Statistic("energy", ("numeric",), lambda p, q: energy(p, q, scores(p + q))),
        Statistic("chi_square", ("category",), lambda p, q: chi_square(*pooled(p, q))[0]),
    )
}


class Choice(NamedTuple):
    """What the verdict rests on: a test, and the distance that its tolerance is about."""

    test: str
    effect: str


CHOICES: dict[str, Choice] = {
    "numeric": Choice(test="energy", effect="wasserstein"),
    "category": Choice(test="chi_square", effect="jensen_shannon"),
}
