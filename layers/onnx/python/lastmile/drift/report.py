"""What a comparison found out."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

type Verdict = Literal["stable", "drifted", "not enough data"]
type Aspect = Literal["values", "words", "missing", "infinite", "unseen", "joint"]

WORST_FIRST: tuple[Verdict, ...] = ("drifted", "not enough data", "stable")


@dataclass(frozen=True)
class Row:
    """One aspect of one feature or output.

    `value` is the test statistic's, `effect` the distance that `tolerance` is about, less what chance adds, and
    `detectable` the smallest one that so many rows show in four of five checks. `reference_noise` is the part of the
    uncertainty that the reference's size contributes; the rest is the current rows'. What could not be computed is
    None, and `reason` says why.
    """

    name: str
    aspect: Aspect
    verdict: Verdict
    statistic: str
    value: float | None
    p_value: float | None
    effect: float | None
    tolerance: float
    detectable: float | None
    reference_rows: int
    current_rows: int
    reference_noise: float | None
    distances: dict[str, float]
    reason: str

    def to_document(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "verdict": self.verdict,
            "statistic": self.statistic,
            "value": self.value,
            "p_value": self.p_value,
            "effect": self.effect,
            "tolerance": self.tolerance,
            "aspect": self.aspect,
            "detectable": self.detectable,
            "rows": {"reference": self.reference_rows, "current": self.current_rows},
            "noise": None
            if self.reference_noise is None
            else {"reference": self.reference_noise, "current": 1 - self.reference_noise},
            "distances": self.distances,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class DriftReport:
    """`alpha` is the probability of any row being called drifted where nothing has changed."""

    features: tuple[Row, ...]
    outputs: tuple[Row, ...]
    alpha: float
    tests: int

    @property
    def rows(self) -> tuple[Row, ...]:
        return self.features + self.outputs

    @property
    def drifted(self) -> tuple[Row, ...]:
        return tuple(row for row in self.rows if row.verdict == "drifted")

    @property
    def verdict(self) -> Verdict:
        return worst(row.verdict for row in self.rows)

    @property
    def alarm(self) -> bool:
        return bool(self.drifted)

    def by_feature(self) -> tuple[Row, ...]:
        """One row per feature: of its aspects the one that decides."""
        return deciding(self.features)

    def by_output(self) -> tuple[Row, ...]:
        return deciding(self.outputs)

    def to_document(self) -> dict[str, Any]:
        """`features` and `predictions` have one row per name, the deciding one; the rates have rows of their own."""
        return {
            "verdict": self.verdict,
            "alarm": self.alarm,
            "alpha": self.alpha,
            "tests": self.tests,
            "verdicts": dict(Counter(row.verdict for row in self.by_feature())),
            "features": [row.to_document() for row in self.by_feature()],
            "predictions": [row.to_document() for row in self.by_output()],
            "missing": [row.to_document() for row in self.rows if row.aspect in ("missing", "infinite")],
            "unseen": [row.to_document() for row in self.rows if row.aspect == "unseen"],
        }


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    there = {*verdicts}
    return next((verdict for verdict in WORST_FIRST if verdict in there), "not enough data")


def deciding(rows: Iterable[Row]) -> tuple[Row, ...]:
    """Of each name the drifted row with the smallest p-value, else that of its values."""
    kept: dict[str, Row] = {}
    for row in rows:
        before = kept.get(row.name)
        if before is None or _weight(row) < _weight(before):
            kept[row.name] = row
    return tuple(kept.values())


def _weight(row: Row) -> tuple[bool, float]:
    is_drifted = row.verdict == "drifted"
    return not is_drifted, row.p_value or 0.0 if is_drifted else 0.0
