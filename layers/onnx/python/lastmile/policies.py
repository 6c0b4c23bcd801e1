"""The sections of a spec beside its tensors: how a model is trained, released, captured, watched and decided with."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, ClassVar, Literal

STRICT = {"extra": "forbid"}  # a misspelt option is an error
BOUNDS = ("at_least", "at_most", "champion_margin", "train_gap_at_most", "group_gap_at_most")

# Seconds that API Gateway waits at most, less what the rest of an answer takes; and what a real-time request may have:
# https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
LONGEST_DEADLINE = 25.0
LARGEST_REALTIME = 25 << 20
INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")

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

    def problems(self) -> Iterator[str]:
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            yield f"minimum {self.minimum} is above maximum {self.maximum}"
        if self.categories and (self.minimum is not None or self.maximum is not None or self.monotonic):
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


@dataclass(frozen=True)
class Approval:
    """Who says yes to a version that has passed its gates: the gates themselves, or a person within `expires_hours`."""

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    policy: Literal["auto", "manual"] = "auto"
    expires_hours: float = 72.0

    def problems(self) -> Iterator[str]:
        if not 0 < self.expires_hours <= 24 * 364:
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
        if self.bake_seconds < 0:
            yield f"bake_seconds: {self.bake_seconds} must not be negative"
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
        if self.cooldown_hours < 0:
            yield f"cooldown_hours: {self.cooldown_hours} must not be negative"
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


@dataclass(frozen=True)
class Heavy:
    """The side of a model that answers on a GPU, when it is asked, and what it is packed for.

    In a `cascade` it gets the rows for which the light model's largest probability is below `threshold`. While the
    endpoint sleeps, is slow or fails, the light answer is given and marked `degraded`, or the request is `accepted` and
    answered later. Requests above `realtime_bytes` are accepted always. Each version may have up to `max_instances` of
    `instance`, of which each copy takes one GPU and `memory_mb`; there is another copy for every `concurrency` requests
    at once.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = STRICT

    mode: Literal["always", "cascade"]
    threshold: float = 0.8
    asleep: Literal["degraded", "accepted"] = "accepted"
    deadline_seconds: float = 20.0
    realtime_bytes: int = 6_000_000
    instance: str = "ml.g5.xlarge"
    max_instances: int = 2
    concurrency: float = 8.0
    memory_mb: int = 4096
    precision: Literal["fp16", "fp32"] = "fp16"
    max_batch: int = 32
    batch_delay_us: int = 500
    tensorrt: bool = False

    def problems(self) -> Iterator[str]:
        if not 0 < self.threshold <= 1:
            yield f"threshold: {self.threshold} is no probability above 0"
        if not 0 < self.deadline_seconds <= LONGEST_DEADLINE:
            yield f"deadline_seconds: {self.deadline_seconds} must be above 0 and at most {LONGEST_DEADLINE:g}"
        if not 0 < self.realtime_bytes <= LARGEST_REALTIME:
            yield f"realtime_bytes: {self.realtime_bytes} must be from 1 to {LARGEST_REALTIME}"
        if INSTANCE.fullmatch(self.instance) is None:
            yield f"instance: {self.instance!r} is no instance type like ml.g5.xlarge"
        for key, most in (("max_instances", 100), ("memory_mb", 1 << 20), ("max_batch", 4096)):
            if not 1 <= getattr(self, key) <= most:
                yield f"{key}: {getattr(self, key)} must be from 1 to {most}"
        if not 0 < self.concurrency <= 1000:
            yield f"concurrency: {self.concurrency} must be above 0 and at most 1000"
        if not 0 <= self.batch_delay_us <= 1_000_000:
            yield f"batch_delay_us: {self.batch_delay_us} must be from 0 to a second"


SECTIONS: Mapping[str, type[Any]] = {
    "training": Training,
    "compression": Compression,
    "certificate": Certificate,
    "approval": Approval,
    "canary": Canary,
    "capture": CaptureOptions,
    "drift": Drift,
    "retrain": Retrain,
    "decision": Decision,
    "heavy": Heavy,
}


def restored(section: type[Any], document: Mapping[str, Any]) -> Any:
    """A section from its own document, in which lists stand for tuples."""
    return section(**{key: tuple(value) if type(value) is list else value for key, value in document.items()})
