"""The sections of a spec that say how a version is released, captured, watched and decided with."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

from lastmile.policies.learning import STRICT

# A run may last a year: https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
LONGEST_HOURS = 24 * 364
LONGEST_COOLDOWN = 24 * 3653


@dataclass(frozen=True)
class Approval:
    """Who says yes to a version that has passed its gates: the gates themselves, or a person within `expires_hours`."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    policy: Literal["auto", "manual"] = "auto"
    expires_hours: float = 72.0

    def problems(self) -> Iterator[str]:
        if not 0 < self.expires_hours <= LONGEST_HOURS:
            yield f"expires_hours: {self.expires_hours} must be above 0 and at most 364 days"


@dataclass(frozen=True)
class Canary:
    """Shares of the requests that the new version gets one after the other, each for `bake_seconds`.

    The judge decides when each side has had `min_requests`. `false_alarm` is the probability that a version as good
    as the champion is rolled back, over the whole canary, however often one looks.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    steps: tuple[float, ...] = (0.05, 0.25)
    bake_seconds: float = 600.0
    min_requests: int = 200
    max_error_increase: float = 0.02
    max_latency_ratio: float = 1.5
    false_alarm: float = 0.05

    def problems(self) -> Iterator[str]:
        if any(not 0 < share <= 1 for share in self.steps) or any(a >= b for a, b in pairwise(self.steps)):
            yield f"steps: {list(self.steps)} must rise between 0 and 1"
        if not 0 <= self.bake_seconds * max(1, len(self.steps)) <= LONGEST_HOURS * 3600:
            yield f"bake_seconds: {self.bake_seconds:g} must not be negative, nor all steps longer than 364 days"
        if self.min_requests < 1:
            yield f"min_requests: {self.min_requests} must be at least 1"
        if not 0 <= self.max_error_increase < 1:
            yield f"max_error_increase: {self.max_error_increase} is no share from 0 to below 1"
        if self.max_latency_ratio < 1:
            yield f"max_latency_ratio: {self.max_latency_ratio} must be at least 1"
        if not 0 < self.false_alarm < 1:
            yield f"false_alarm: {self.false_alarm} is no probability between 0 and 1"


@dataclass(frozen=True)
class CaptureOptions:
    """`rate` is the share of the requests whose inputs and outputs are kept; the others are only counted."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    rate: float = 1.0

    def problems(self) -> Iterator[str]:
        if not 0 <= self.rate <= 1:
            yield f"rate: {self.rate} is no share from 0 to 1"


@dataclass(frozen=True)
class Drift:
    """How often, over how long and how strictly the predictions are compared with the reference.

    A smaller effect than `tolerance` is no drift. `alarms_per_year` is the number of false alarms to be expected.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    every_hours: float = 24.0
    window_hours: float = 24.0
    tolerance: float = 0.1
    alarms_per_year: float = 1.0
    joint: bool = False

    def problems(self) -> Iterator[str]:
        for key in ("every_hours", "window_hours"):
            if not 1 <= getattr(self, key) <= 24 * 366:
                yield f"{key}: {getattr(self, key)} must be from 1 hour to 366 days"
        if not 0 <= self.tolerance < 1:
            yield f"tolerance: {self.tolerance} must be from 0 to below 1"
        if not 0 < self.alarms_per_year <= 365:
            yield f"alarms_per_year: {self.alarms_per_year} must be above 0 and at most 365"


@dataclass(frozen=True)
class Retrain:
    """When the learning pipeline starts by itself: on drift, and with so many new labelled rows (0: never)."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    on_drift: bool = False
    cooldown_hours: float = 168.0
    feedback_rows: int = 0

    def problems(self) -> Iterator[str]:
        if not 0 <= self.cooldown_hours <= LONGEST_COOLDOWN:
            yield f"cooldown_hours: {self.cooldown_hours:g} must be from 0 to {LONGEST_COOLDOWN}, ten years"
        if self.feedback_rows < 0:
            yield f"feedback_rows: {self.feedback_rows} must not be negative"


@dataclass(frozen=True)
class Decision:
    """What turns a prediction into a decision; `options` are those of the kind."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    kind: Literal["threshold", "route", "top", "cost", "order"]
    options: dict[str, Any] = field(default_factory=dict)

    def problems(self) -> Iterator[str]:
        yield from ()
