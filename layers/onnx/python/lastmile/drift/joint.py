"""Drift that no feature shows by itself: can a classifier tell the current rows from the reference's?

It learns from half of the rows of either side and is judged on the other half (a classifier two-sample test: Lopez-Paz
and Oquab 2017). The half it is judged on is independent of what it learnt, so that the Mann-Whitney test of its scores
is honest however many features there are. It needs rows, not counts: captures hold them.
"""

import math
from collections.abc import Mapping
from itertools import combinations

import numpy as np

from lastmile.drift.distributions import normal_tail
from lastmile.drift.report import Row, Verdict
from lastmile.drift.statistics import NORMAL
from lastmile.drift.verdict import ALPHA, FEWEST_ROWS, LEAST_TOLERANCE
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift
from lastmile.tensors import Array

NAME = "all features together"
MOST_ROWS = 20_000  # of either side
MOST_SINGLES = 1000  # features, and scores or indicators of them: more would take gigabytes and say no more
MOST_PAIRS = 600
MOST_CATEGORIES = 16  # of a feature, the most frequent ones
RIDGE = 0.01
SEED = 20_261_121
POWER = 0.8
SCORES = np.linspace(-6, 6, 2401)  # the normal distribution as a table
SHARES = np.array([NORMAL.cdf(score) for score in SCORES.tolist()])

type Rows = Mapping[str, Array]


def joint(reference: Rows, current: Rows, *, policy: Drift, alpha: float = ALPHA) -> Row:
    """One row for all features together. Arrays are by feature, of numbers or of texts, one element per row.

    The effect is 0 where the classifier does no better than a coin and 1 where it is always right (2 AUC - 1).
    """
    random = np.random.default_rng(SEED)
    one, other = _halved(reference, random), _halved(current, random)
    if min(len(half) for half in (*one, *other)) < FEWEST_ROWS:
        return _row("not enough data", None, None, None, policy, None, (len(one[1]), len(other[1])))
    names = sorted(reference)
    if names != sorted(current):
        raise ProfileMismatch("the two sides have different features")
    names = _some(names, MOST_SINGLES, random)
    places = [*one, *other]
    features = _features([np.concatenate([reference[name], current[name]]) for name in names], random)
    shift = len(next(iter(reference.values())))
    learnt = np.concatenate([places[0], places[2] + shift])
    judged = np.concatenate([places[1], places[3] + shift])
    target = np.concatenate([-np.ones(len(places[0])) / len(places[0]), np.ones(len(places[2])) / len(places[2])])
    scores = features[judged] @ _weights(features[learnt], target)
    n, m = len(places[3]), len(places[1])
    auc = _auc(scores[:m], scores[m:])
    deviation = math.sqrt((n + m + 1) / (12 * n * m))
    p_value = normal_tail((auc - 0.5) / deviation)
    detectable = 2 * deviation * (NORMAL.inv_cdf(1 - max(alpha, 1e-9)) + NORMAL.inv_cdf(POWER))
    effect = max(0.0, 2 * auc - 1)
    verdict = _verdict(p_value <= alpha and alpha > 0, effect, detectable, policy.tolerance)
    return _row(verdict, auc, p_value, effect, policy, detectable, (m, n))


def _halved(rows: Rows, random: np.random.Generator) -> tuple[Array, Array]:
    """Places of the rows to learn from, and of those to judge by."""
    count = len(next(iter(rows.values()))) if rows else 0
    places = random.permutation(count)[:MOST_ROWS]
    return places[::2], places[1::2]


def _features(columns: list[Array], random: np.random.Generator) -> Array:
    """Normal scores of numbers, indicators of categories and of what is missing, and products of any two."""
    singles = _some([single for column in columns for single in _singles(column)], MOST_SINGLES, random)
    plain = np.stack([single - single.mean() for single in singles], axis=1)
    pairs = _some(list(combinations(range(plain.shape[1]), 2)), MOST_PAIRS, random)
    products = [plain[:, one] * plain[:, other] for one, other in pairs]
    return np.concatenate([plain, plain**2, *(product[:, np.newaxis] for product in products)], axis=1)


def _some[T](items: list[T], most: int, random: np.random.Generator) -> list[T]:
    """All of them, or as many drawn from them."""
    return items if len(items) <= most else [items[place] for place in random.choice(len(items), most, replace=False)]


def _singles(column: Array) -> list[Array]:
    if column.dtype.kind in "OUS":
        names, places, counts = np.unique(column.astype(str), return_inverse=True, return_counts=True)
        frequent = np.argsort(-counts, kind="stable")[:MOST_CATEGORIES]
        return [(places == place).astype(np.float64) for place in frequent[: max(1, len(names) - 1)]]
    values = column.astype(np.float64)
    is_missing = np.isnan(values)
    _, places, counts = np.unique(values[~is_missing], return_inverse=True, return_counts=True)
    middles = (np.cumsum(counts) - counts / 2) / max(1, int(counts.sum()))
    scored = np.zeros(len(values))
    scored[~is_missing] = np.interp(middles, SHARES, SCORES)[places]
    return [scored, is_missing.astype(np.float64)] if is_missing.any() else [scored]


def _weights(features: Array, target: Array) -> Array:
    """Ridge regression on the side: Fisher's linear discriminant, held back where features say little."""
    gram = features.T @ features / len(features)
    scale = float(np.diag(gram).mean()) or 1.0
    weights: Array = np.linalg.solve(gram + RIDGE * scale * np.eye(len(gram)), features.T @ target)
    return weights


def _auc(reference: Array, current: Array) -> float:
    """How often a current row scores higher than one of the reference; a tie is half a time (Mann and Whitney 1947)."""
    ordered = np.sort(reference)
    below = np.searchsorted(ordered, current, side="left") + np.searchsorted(ordered, current, side="right")
    return float(below.sum() / 2 / len(reference) / len(current))


def _verdict(is_significant: bool, effect: float, detectable: float, tolerance: float) -> Verdict:
    if is_significant and effect > tolerance:
        return "drifted"
    return "not enough data" if detectable > max(tolerance, LEAST_TOLERANCE) else "stable"


def _row(
    verdict: Verdict,
    auc: float | None,
    p_value: float | None,
    effect: float | None,
    policy: Drift,
    detectable: float | None,
    rows: tuple[int, int],
) -> Row:
    reason = (
        f"only {min(rows)} rows to judge by on one side, {FEWEST_ROWS} are needed"
        if auc is None
        else f"a classifier that has learnt from other rows tells the two sides apart with an AUC of {auc:.3f}"
    )
    noise = rows[1] / sum(rows) if auc is not None else None
    return Row(
        NAME, "joint", verdict, "mann_whitney", auc, p_value, effect, policy.tolerance, detectable,
        *rows, noise, {}, reason,
    )  # fmt: skip
