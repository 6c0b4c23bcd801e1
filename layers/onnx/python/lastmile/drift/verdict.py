"""From two profiles to verdicts: what drifted, what is stable, and what nobody can tell from so few rows."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from lastmile.drift.effects import (
    category_effect,
    detectable_divergence,
    detectable_elsewhere,
    detectable_shift,
    number_effect,
)
from lastmile.drift.homogeneity import Test, category_test, number_test
from lastmile.drift.report import Aspect, DriftReport, Row, Verdict
from lastmile.drift.statistics import CHOICES, STATISTICS
from lastmile.policies import Drift
from lastmile.profile import FeatureProfile, Profile
from lastmile.tensors import Array

ALPHA = 0.04  # 0.05 is promised: the rest is for the approximations of tails
FEWEST_ROWS = 20  # on either side, for any verdict but `not enough data`
LEAST_ALPHA = 1e-9  # to say what can be found where nothing may be called drifted
LEAST_TOLERANCE = 0.01  # no data are enough to show that nothing at all has changed


@dataclass(frozen=True)
class Comparison:
    """Counts of one aspect on both sides; `drawn` are as many as there were independent rows."""

    name: str
    aspect: Aspect
    kind: str
    reference: Array
    current: Array
    drawn: tuple[Array, Array]

    @property
    def sizes(self) -> tuple[int, int]:
        return int(self.drawn[0].sum()), int(self.drawn[1].sum())


@dataclass(frozen=True)
class Measured:
    comparison: Comparison
    test: Test
    effect: float


def compare(
    reference: Profile,
    current: Profile,
    *,
    policy: Drift,
    alpha: float = ALPHA,
    variation: Mapping[tuple[str, Aspect], float] | None = None,
) -> DriftReport:
    """The verdict on each feature and output. Raises ProfileMismatch when the two do not count the same.

    `alpha` bounds the probability that anything is called drifted where nothing has changed, whatever the number of
    features and however they depend on each other. With 0, nothing is.
    `variation` (of lastmile.drift.variation) raises the tolerance of what is known to wander by itself.
    """
    reference.check_layout(current)
    features = [*_comparisons(reference.features, current.features)]
    outputs = [each for each in _comparisons(reference.outputs, current.outputs) if any(each.sizes)]
    measured = [_measured(each) if all(each.sizes) else None for each in (*features, *outputs)]
    p_values = [each.test.p_value for each in measured if each is not None and each.test.freedom > 0]
    threshold = significant_up_to(p_values, alpha)
    level = max(alpha, LEAST_ALPHA) / max(1, len(p_values))
    wandering = variation or {}
    rows = [
        _row(each, found, max(policy.tolerance, wandering.get((each.name, each.aspect), 0.0)), threshold, level)
        for each, found in zip((*features, *outputs), measured, strict=True)
    ]
    return DriftReport(tuple(rows[: len(features)]), tuple(rows[len(features) :]), alpha, len(p_values))


def significant_up_to(p_values: list[float], alpha: float) -> float:
    """The largest p-value that counts as a discovery; below 0 when none does.

    Benjamini and Hochberg's rule (1995) says which, but only once the smallest passes Bonferroni's: with nothing to be
    discovered any discovery is then made with probability alpha at most under any dependence, which theirs alone does
    not promise.
    """
    ordered = np.sort(np.array(p_values, dtype=np.float64))
    if not len(ordered) or alpha <= 0 or ordered[0] > alpha / len(ordered):
        return -1.0
    passed = ordered <= alpha * np.arange(1, len(ordered) + 1) / len(ordered)
    return float(ordered[passed].max())


def _comparisons(
    reference: Mapping[str, FeatureProfile], current: Mapping[str, FeatureProfile]
) -> Iterator[Comparison]:
    for name, one in reference.items():
        other = current[name]
        kind = "category" if one.layout.kind == "category" else "numeric"
        yield _comparison(name, "values", kind, (one.counts, one.rows), (other.counts, other.rows))
        if one.layout.kind == "text":
            yield _comparison(name, "words", "category", (one.words, one.rows), (other.words, other.rows))
        for aspect, sides in _rates(one, other):
            if any(side[1] for side in sides):
                counts = [np.array([side[0] - side[1], side[1]], np.int64) for side in sides]
                yield _comparison(name, aspect, "category", (counts[0], one.rows), (counts[1], other.rows))


def _rates(one: FeatureProfile, other: FeatureProfile) -> Iterator[tuple[Aspect, list[tuple[int, int]]]]:
    """Aspects that are shares, with elements and those of them that count, on either side."""
    yield "missing", [(side.elements, side.missing) for side in (one, other)]
    yield "infinite", [(side.elements, side.infinite) for side in (one, other)]
    yield "unseen", [(side.values, side.unseen) for side in (one, other)]


def _comparison(name: str, aspect: Aspect, kind: str, one: tuple[Array, int], other: tuple[Array, int]) -> Comparison:
    return Comparison(name, aspect, kind, one[0], other[0], (drawn(*one), drawn(*other)))


def drawn(counts: Array, rows: int) -> Array:
    """Elements of one row are not independent: together they count as one."""
    elements = int(counts.sum())
    return counts if elements <= rows else np.floor(counts * (rows / elements)).astype(np.int64)


def _measured(comparison: Comparison) -> Measured:
    test, effect = (number_test, number_effect) if comparison.kind == "numeric" else (category_test, category_effect)
    return Measured(
        comparison,
        test(*comparison.drawn),
        effect(comparison.reference, comparison.current, comparison.drawn),
    )


def _row(comparison: Comparison, found: Measured | None, tolerance: float, threshold: float, level: float) -> Row:
    m, n = comparison.sizes
    choice = CHOICES[comparison.kind]
    if found is None:
        reason = _nothing(comparison)
        return Row(
            comparison.name, comparison.aspect, "not enough data", choice.test, None, None, None, tolerance, None,
            m, n, None, {}, reason,
        )  # fmt: skip
    detectable = _detectable(comparison, found.test, level)
    verdict, reason = _verdict(found, tolerance, detectable, threshold)
    return Row(
        name=comparison.name,
        aspect=comparison.aspect,
        verdict=verdict,
        statistic=choice.test,
        value=found.test.value,
        p_value=found.test.p_value,
        effect=found.effect,
        tolerance=tolerance,
        detectable=detectable,
        reference_rows=m,
        current_rows=n,
        reference_noise=n / (m + n),
        distances={
            name: row.measure(comparison.reference, comparison.current)
            for name, row in STATISTICS.items()
            if comparison.kind in row.kinds
        },
        reason=reason,
    )


def _detectable(comparison: Comparison, test: Test, level: float) -> float:
    is_constant = test.freedom == 0
    if is_constant:
        return detectable_elsewhere(*comparison.sizes, level, ordered=comparison.kind == "numeric")
    if comparison.kind == "numeric":
        return detectable_shift(*comparison.sizes, level)
    return detectable_divergence(*comparison.sizes, test.freedom, level)


def _verdict(found: Measured, tolerance: float, detectable: float, threshold: float) -> tuple[Verdict, str]:
    fewest = min(found.comparison.sizes)
    if fewest < FEWEST_ROWS:
        return "not enough data", f"only {fewest} rows on one side, {FEWEST_ROWS} are needed"
    is_significant = found.test.freedom > 0 and found.test.p_value <= threshold
    if is_significant and found.effect > tolerance:
        return "drifted", f"an effect of {found.effect:.3g} is significant and beyond the tolerance of {tolerance:g}"
    if detectable > max(tolerance, LEAST_TOLERANCE):
        return (
            "not enough data",
            f"so many rows show an effect of {detectable:.2g} or more, the tolerance is {tolerance:g}",
        )
    if is_significant:
        return "stable", f"an effect of {found.effect:.3g} is significant but within the tolerance of {tolerance:g}"
    return "stable", "no significant difference"


def _nothing(comparison: Comparison) -> str:
    what = "rows" if comparison.aspect in ("missing", "infinite") else "values"
    if not any(comparison.sizes):
        return f"no {what} on either side"
    return f"no {what} in the {'current rows' if comparison.sizes[0] else 'reference'}"
