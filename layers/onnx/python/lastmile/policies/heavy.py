"""The section of a spec about its heavy side."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

from lastmile.policies.learning import STRICT

# Seconds that API Gateway waits at most, less what the rest of an answer takes; and what a real-time request may have:
# https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
LONGEST_DEADLINE = 25.0
LARGEST_REALTIME = 25 << 20
INSTANCE = re.compile(r"ml\.[a-z0-9-]+\.[a-z0-9]+")


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
