"""The sections of a spec that say how a version is made: from which features, through which gates, how small."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

STRICT = {"extra": "forbid"}  # a misspelt option is an error
BOUNDS = ("at_least", "at_most", "champion_margin", "train_gap_at_most", "group_gap_at_most")

type Candidate = Literal["optimised", "int8-dynamic", "int8-static", "fp16", "pruned"]


@dataclass(frozen=True)
class Feature:
    """What is known of one column. `categories` are of texts, the bounds of numbers; `sensitive` asks for metrics per
    group of its values."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    monotonic: Literal["increasing", "decreasing"] | None = None
    sensitive: bool = False

    @property
    def is_of_numbers(self) -> bool:
        return self.minimum is not None or self.maximum is not None or self.monotonic is not None

    def problems(self) -> Iterator[str]:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield f"minimum {self.minimum} is above maximum {self.maximum}"
        if self.categories and self.is_of_numbers:
            yield "categories are of texts; minimum, maximum and monotonic are of numbers"
        if len(set(self.categories)) != len(self.categories):
            yield "a category is there more than once"


@dataclass(frozen=True)
class Training:
    """`target` names the label's column, `time` one that orders the rows: the held-out ones are then the newest.

    `holdout` and `max_bad_share` are shares of the rows; `options` are the recipe's own.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    recipe: Literal["tabular", "text", "recommender", "forecast", "anomaly", "xgboost", "own"]
    target: str | None = None
    time: str | None = None
    holdout: float = 0.2
    seed: int = 0
    max_bad_share: float = 0.05
    options: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        if not 0 < self.holdout < 1:
            yield f"holdout: {self.holdout} is no share between 0 and 1"
        if not 0 <= self.max_bad_share < 1:
            yield f"max_bad_share: {self.max_bad_share} is no share from 0 to below 1"
        if self.seed < 0:
            yield f"seed: {self.seed} must not be negative"


@dataclass(frozen=True)
class Gate:
    """What a metric on the held-out rows must satisfy. `champion_margin` is how far the new version may be from the
    champion, in the metric's better direction; gaps are absolute differences."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    metric: str
    at_least: float | None = None
    at_most: float | None = None
    champion_margin: float | None = None
    train_gap_at_most: float | None = None
    group_gap_at_most: float | None = None

    @property
    def bound(self) -> tuple[str, float]:
        """Its kind and value."""
        kind = next(kind for kind in BOUNDS if getattr(self, kind) is not None)
        return kind, getattr(self, kind)

    def problems(self) -> Iterator[str]:
        if sum(getattr(self, kind) is not None for kind in BOUNDS) != 1:
            yield f"exactly one of {', '.join(BOUNDS)} is needed"
        for kind in ("train_gap_at_most", "group_gap_at_most"):
            gap = getattr(self, kind)
            if gap is not None and gap < 0:
                yield f"{kind}: {gap} must not be negative"


@dataclass(frozen=True)
class Compression:
    """A candidate is adopted if it is measured smaller or faster and loses at most `max_loss` of `metric` (None: the
    first of the task)."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    metric: str | None = None
    max_loss: float = 0.005
    candidates: tuple[Candidate, ...] = ("optimised", "int8-dynamic", "int8-static", "fp16", "pruned")

    def problems(self) -> Iterator[str]:
        if self.max_loss < 0:
            yield f"max_loss: {self.max_loss} must not be negative"


@dataclass(frozen=True)
class Certificate:
    """How far the ONNX graph may be from the trained object: `tolerance` in absolute units of the outputs, labels in
    a share of the rows."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    tolerance: float = 1e-4
    max_mismatch_share: float = 0.001

    def problems(self) -> Iterator[str]:
        if self.tolerance < 0:
            yield f"tolerance: {self.tolerance} must not be negative"
        if not 0 <= self.max_mismatch_share < 1:
            yield f"max_mismatch_share: {self.max_mismatch_share} is no share from 0 to below 1"
