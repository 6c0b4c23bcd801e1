"""How likely two samples of one source differ as much: p-values that count the reference as a sample, too.

All tests are conditional on the margins: under homogeneity the current counts are a draw without replacement from both
samples together. What is rare gets exact or simulated tails instead of asymptotic ones.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from lastmile.drift.distributions import chi_square_tail, exact_tail, mixture_tail
from lastmile.drift.statistics import chi_square, energy, pooled, scores
from lastmile.tensors import Array

DRAWS = 1999
RESOLUTION = 1 / (DRAWS + 1)
SEED = 20_261_121
SCREEN = 0.1  # an asymptotic p above it needs no closer look
DENSE = 20.0  # rows expected in a cell, on the smaller side, from which on the asymptotic tail is close
SPARSE_SHARE = 0.2  # of the numeric statistic's mean that may come from edges with less
MOST_DRAWN = 10**9  # numpy's limit for the hypergeometric
CANDIDATES = 3  # cells whose exact tail is computed

type Statistics = Callable[[Array, Array], Array]


class Test(NamedTuple):
    value: float
    p_value: float
    freedom: int


def category_test(reference: Array, current: Array) -> Test:
    """Chi-square homogeneity of counts, rare categories pooled; exact for two cells."""
    one, other = pooled(reference, current)
    if len(one) < 2:
        # Together they are too few for a cell; the largest against all others has an exact tail at least.
        one, other = _largest_against_rest(reference, current)
    value, freedom = chi_square(one, other)
    if freedom < 1:
        return Test(0.0, 1.0, 0)
    if freedom == 1:
        return Test(value, _exact(one, other, 0), 1)
    p_value = chi_square_tail(value, freedom)
    smallest = float((one + other).min()) * min(one.sum(), other.sum()) / (one.sum() + other.sum())
    if p_value <= SCREEN and smallest < DENSE:
        p_value = _refined(one, other, p_value, value, np.eye(len(one), dtype=bool), chi_square_of)
    return Test(value, p_value, freedom)


def number_test(reference: Array, current: Array) -> Test:
    """The energy distance of counts in ordered bins, at the normal scores of both samples together."""
    both = reference + current
    there = both > 0
    one, other = reference[there], current[there]
    if not one.sum() or not other.sum() or len(one) < 2:
        return Test(0.0, 1.0, 0)
    positions = scores(one + other)
    value = energy(one, other, positions)
    if len(one) == 2:
        return Test(value, _exact(one, other, 0), 1)
    covariance, gaps = bridge(one, other), np.diff(positions)
    roots = np.sqrt(gaps)
    p_value = mixture_tail(value, np.linalg.eigvalsh(roots[:, None] * covariance * roots))
    if p_value <= SCREEN and _sparse(one, other, gaps * np.diag(covariance)):
        splits = np.tri(len(one), dtype=bool)[:-1]
        p_value = _refined(one, other, p_value, value, splits, lambda p, q: energies(p, q, gaps))
    return Test(value, p_value, len(one) - 1)


def bridge(reference: Array, current: Array) -> Array:
    """The covariance of the distance of the two distribution functions at the edges, under homogeneity, exactly."""
    m, n = float(reference.sum()), float(current.sum())
    h = np.cumsum(reference + current)[:-1] / (m + n)
    factor = (m + n) / m * (m + n) / n / max(1.0, m + n - 1)
    covariance: Array = factor * (np.minimum.outer(h, h) - np.outer(h, h))
    return covariance


def chi_square_of(reference: Array, current: Array) -> Array:
    """Of many tables with the same margins, each a row of both arrays."""
    both = (reference + current)[:1].astype(np.float64)
    n = float(current[0].sum())
    expected = both * n / both.sum()
    # Both sides' terms are proportional to (current - expected)².
    found: Array = ((current - expected) ** 2 / expected).sum(axis=1) * both.sum() / (both.sum() - n)
    return found


def energies(reference: Array, current: Array, gaps: Array) -> Array:
    m, n = reference[0].sum(), current[0].sum()
    apart: Array = np.cumsum(reference / m - current / n, axis=1)[:, :-1]
    found: Array = (apart**2 * gaps).sum(axis=1)
    return found


def _refined(
    reference: Array, current: Array, p_value: float, value: float, splits: Array, statistic: Statistics
) -> float:
    """The p-value where bins are too thin for the asymptotic one.

    Far out, an exact test of single cells (or splits) against all others, Bonferroni-corrected: twice its p, because
    there are two tests. Else a simulation of the whole statistic, which says nothing below its resolution: half of
    that is what the exact test may have used up.
    """
    sides = np.array([current[cells].sum() for cells in splits]), np.array([reference[cells].sum() for cells in splits])
    n, total = int(current.sum()), int(current.sum() + reference.sum())
    inside = sides[0] + sides[1]
    deviation = np.abs(sides[0] - inside * (n / total)) / np.sqrt(np.maximum(inside * (1 - inside / total), 0.5))
    furthest = np.argsort(-deviation)[:CANDIDATES]
    tails = [exact_tail(int(inside[i]), int(total - inside[i]), n, int(sides[0][i])) for i in furthest]
    exact = 2 * len(splits) * min(tails)
    if exact < RESOLUTION:
        return exact
    if total >= MOST_DRAWN:
        return p_value
    return min(1.0, _simulated(reference, current, value, statistic) + RESOLUTION / 2)


def _simulated(reference: Array, current: Array, value: float, statistic: Statistics) -> float:
    """(1 + those at least as large) / (1 + draws): valid with any number of draws."""
    both = (reference + current).astype(np.int64)
    random = np.random.default_rng(SEED)
    draws = random.multivariate_hypergeometric(both, int(current.sum()), size=DRAWS, method="marginals")
    found = statistic(both - draws, draws)
    return float(1 + (found >= value * (1 - 1e-9)).sum()) / (DRAWS + 1)


def _sparse(reference: Array, current: Array, parts: Array) -> bool:
    h = np.cumsum(reference + current)[:-1] / (reference.sum() + current.sum())
    expected = np.minimum(h, 1 - h) * min(reference.sum(), current.sum())
    return bool(parts[expected < DENSE].sum() > SPARSE_SHARE * parts.sum())


def _exact(reference: Array, current: Array, cell: int) -> float:
    inside = int(reference[cell] + current[cell])
    total = int(reference.sum() + current.sum())
    return exact_tail(inside, total - inside, int(current.sum()), int(current[cell]))


def _largest_against_rest(reference: Array, current: Array) -> tuple[Array, Array]:
    largest = int(np.argmax(reference + current))
    sides = [np.array([side[largest], side.sum() - side[largest]]) for side in (reference, current)]
    return sides[0], sides[1]
