"""How often a classifier is right, estimated before anybody has told: from how sure it is, and how often it was right
when it was as sure.

Confidence-based performance estimation, on probabilities that are calibrated bin by bin with the reference's labels.
It holds as long as the same confidence means the same: where inputs are far from where the reference had them, or where
what they mean has changed (concept drift), it does not, and only the former can be seen without labels.
"""

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np

from lastmile.drift.effects import category_effect, number_effect
from lastmile.drift.verdict import drawn
from lastmile.profile import FeatureProfile, Profile
from lastmile.tensors import Array

Z = 1.96  # of a band of 95 %
CONTRADICTION = 3.0  # standard deviations between the estimate and what feedback says
FEWEST_LABELS = 200  # of the reference
FEWEST_ROWS = 100
FAR = 0.25  # effect of a feature's drift beyond which nobody knows what a confidence still means
OUTSIDE = 0.05  # share of the rows outside the reference's support that is not believed any more


class Feedback(NamedTuple):
    """Labels that have arrived for rows of the same time: how many, and how many of the answers were right."""

    right: int
    rows: int


@dataclass(frozen=True)
class Estimate:
    """`low` and `high` are the band in which the share of right answers among these `rows` lies in 95 % of cases.

    It is `trusted` unless there are `reasons` not to be. Without any estimate the figures are None.
    """

    metric: str
    value: float | None
    low: float | None
    high: float | None
    rows: int
    trusted: bool
    reasons: tuple[str, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self) | {"reasons": list(self.reasons)}


def accuracy(reference: Profile, current: Profile, *, feedback: Feedback | None = None) -> Estimate:
    """The estimated share of right answers in the current rows. Raises ProfileMismatch on different layouts.

    Profiles of an hour or a day each are the chunks of a timeline.
    """
    reference.check_layout(current)
    confidence = current.outputs.get("confidence")
    rows = 0 if confidence is None else confidence.values
    if reference.correct is None or confidence is None or not reference.outputs["confidence"].values:
        return _none(rows, "how often the model was right at each confidence is not known: no labels in the reference")
    if not rows:
        return _none(rows, "no confidence was captured")
    known = reference.outputs["confidence"].counts
    chances = calibrated(known, reference.correct)
    weights = confidence.counts / rows
    value = min(1.0, float(weights @ chances))
    spread = chances * (1 - chances)
    uncertain = float((weights**2 * spread / (known + 1)).sum())
    half = Z * math.sqrt(uncertain + float(weights @ spread) / rows)
    reasons = (
        *_too_few(int(known.sum()), rows),
        *outside(reference.features, current.features),
        *moved(reference.features, current.features),
        *_contradiction(value, uncertain, feedback),
    )
    return Estimate("accuracy", value, max(0.0, value - half), min(1.0, value + half), rows, not reasons, reasons)


def calibrated(known: Array, correct: Array) -> Array:
    """How likely the answer is right, per bin of confidence: as often as it was, drawn a little to the mean.

    Isotonic, as more confidence is never less right: by pooling adjacent violators (Ayer et al. 1955). Bins without
    rows get their neighbours' value.
    """
    overall = correct.sum() / max(1, known.sum())
    pools: list[tuple[float, float, int]] = []  # right answers, rows, bins
    for right, rows in zip((correct + overall).tolist(), (known + 1).tolist(), strict=True):
        pools.append((right, rows, 1))
        while len(pools) > 1 and pools[-2][0] / pools[-2][1] >= pools[-1][0] / pools[-1][1]:
            last, before = pools.pop(), pools.pop()
            pools.append((last[0] + before[0], last[1] + before[1], last[2] + before[2]))
    return np.repeat([right / rows for right, rows, _ in pools], [bins for *_, bins in pools])


def outside(reference: dict[str, FeatureProfile], current: dict[str, FeatureProfile]) -> Iterator[str]:
    """Which features have more rows where the reference had none than can be overlooked."""
    for name, known in reference.items():
        now = current[name]
        if not now.elements or known.layout.kind == "text":
            continue
        strange = int(now.counts[known.counts == 0].sum())
        strange += 0 if known.missing else now.missing
        strange += 0 if known.infinite else now.infinite
        if strange > OUTSIDE * now.elements:
            yield f"{strange / now.elements:.0%} of '{name}' lies outside what the reference had"


def moved(reference: dict[str, FeatureProfile], current: dict[str, FeatureProfile]) -> Iterator[str]:
    """Which features are elsewhere than where the confidence was calibrated."""
    for name, known in reference.items():
        now = current[name]
        if not known.values or not now.values or known.layout.kind == "text":
            continue
        is_category = known.layout.kind == "category"
        measure = category_effect if is_category else number_effect
        sides = drawn(known.counts, known.rows), drawn(now.counts, now.rows)
        if not all(side.any() for side in sides):
            continue  # of so few rows with many elements each nobody can say where they are
        effect = measure(known.counts, now.counts, sides)
        if effect > FAR:
            by = f"a distance of {effect:.2g}" if is_category else f"{effect:.2g} standard deviations"
            yield f"'{name}' has moved by {by}"


def _too_few(labels: int, rows: int) -> Iterator[str]:
    if labels < FEWEST_LABELS:
        yield f"the reference has only {labels} labelled rows, {FEWEST_LABELS} are needed"
    if rows < FEWEST_ROWS:
        yield f"only {rows} rows, {FEWEST_ROWS} are needed"


def _contradiction(value: float, uncertain: float, feedback: Feedback | None) -> Iterator[str]:
    if feedback is None or not feedback.rows:
        return
    measured = feedback.right / feedback.rows
    deviation = math.sqrt(uncertain + max(value * (1 - value), 0.25 / feedback.rows) / feedback.rows)
    if abs(measured - value) > CONTRADICTION * deviation:
        yield (
            f"feedback contradicts it: {measured:.1%} of {feedback.rows} labelled rows were right, "
            f"{value:.1%} were to be expected"
        )


def _none(rows: int, reason: str) -> Estimate:
    return Estimate("accuracy", None, None, None, rows, False, (reason,))
