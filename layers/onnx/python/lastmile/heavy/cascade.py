"""Who answers a version's rows: its light side, its heavy side, or each its own."""

import time
from typing import Any, NamedTuple, Protocol

import numpy as np

from lastmile.binary import array_to_binary
from lastmile.capture import Tier
from lastmile.errors import AnswerLater, EndpointUnavailable
from lastmile.heavy.backend import SageMakerBackend, rows_of
from lastmile.tensors import Array

CONFIDENCE = "probabilities"

type Feeds = dict[str, Array]
type Outputs = dict[str, Array]


class Light(Protocol):
    """A model in this process."""

    def run(self, outputs: list[str] | None, feeds: Feeds) -> list[Array]: ...


class Policy(NamedTuple):
    """What of the spec's `[heavy]` decides who answers."""

    mode: str
    threshold: float
    asleep: str
    realtime_bytes: int

    @classmethod
    def of(cls, heavy: dict[str, Any]) -> "Policy":
        return cls(*(heavy[name] for name in cls._fields))


class Tiers:
    """Light and heavy side of one version; without a light one, the heavy side answers all rows.

    A row goes to the heavy side when the light side's largest probability is below the threshold. Where the heavy side
    does not answer, the light side's answer stands, and says so, or AnswerLater is raised: as the policy wants it.
    """

    def __init__(self, light: Light | None, heavy: SageMakerBackend, policy: Policy, *, can_wait: bool) -> None:
        """`can_wait`: there is a place where answers can be waited for."""
        self.light = light
        self.heavy = heavy
        self._policy = policy
        self._can_wait = can_wait

    def answer(
        self, names: list[str], feeds: Feeds, *, may_wait: bool = True, seconds: float | None = None
    ) -> tuple[Outputs, Tier]:
        """`may_wait`: whoever asks can come back for the answer. `seconds`: all that the heavy side gets, and once."""
        self.heavy.check_size(feeds)
        light, rows = None, None
        if self._policy.mode == "cascade" and self.light is not None:
            light = self._light(self.light, names, feeds)
            rows = self._uncertain(light)
            if not len(rows):
                return _chosen(light, names), Tier("light")
        asked = feeds if rows is None else {name: array[rows] for name, array in feeds.items()}
        started = time.perf_counter()
        try:
            self._check_bytes(asked)
            found = dict(zip(names, self.heavy.run(names, asked, seconds=seconds), strict=True))
            took = (time.perf_counter() - started) * 1e3
            return merged(light, found, rows, names, total=rows_of(feeds), took=took)
        except EndpointUnavailable as error:
            wants = self._policy.asleep == "accepted" or error.reason == "large"
            if wants and may_wait and self._can_wait:
                raise AnswerLater(error.reason, None if rows is None else rows.tolist()) from error
            if self.light is None:
                raise
            stands = light or self._light(self.light, names, feeds)
            return _chosen(stands, names), Tier("light", degraded=error.reason)

    def settled(self, names: list[str], feeds: Feeds, found: list[Array], rows: list[int] | None) -> Outputs:
        """The answer when the heavy side's has come: `found` are all its outputs, for these rows."""
        heavy = dict(zip(self.heavy.names, found, strict=True))
        light = None if rows is None or self.light is None else self._light(self.light, names, feeds)
        chosen = None if rows is None else np.array(rows, np.int64)
        return merged(light, heavy, chosen, names, total=rows_of(feeds), took=0.0)[0]

    def _check_bytes(self, feeds: Feeds) -> None:
        if sum(map(sent_bytes, feeds.values())) > self._policy.realtime_bytes:
            raise EndpointUnavailable("large", "the request is too large to be answered at once")

    def _light(self, light: Light, names: list[str], feeds: Feeds) -> Outputs:
        wanted = names if self._policy.mode != "cascade" or CONFIDENCE in names else [*names, CONFIDENCE]
        return dict(zip(wanted, light.run(wanted, feeds), strict=True))

    def _uncertain(self, light: Outputs) -> Array:
        """Indices; a confidence that is no number is none."""
        confidence = light[CONFIDENCE].max(axis=-1, initial=0.0)
        return np.flatnonzero(~(confidence >= self._policy.threshold))


def merged(
    light: Outputs | None, heavy: Outputs, rows: Array | None, names: list[str], *, total: int, took: float
) -> tuple[Outputs, Tier]:
    """In the order of the rows."""
    if rows is None or len(rows) == total:
        return _chosen(heavy, names), Tier("heavy", total, took)
    assert light is not None
    outputs = {}
    for name in names:
        if light[name].shape[1:] != heavy[name].shape[1:]:
            raise EndpointUnavailable("garbage", f"output '{name}' has another shape on the endpoint than here")
        outputs[name] = light[name].copy()
        outputs[name][rows] = heavy[name]
    return outputs, Tier("cascade", len(rows), took)


def sent_bytes(array: Array) -> int:
    """As it is sent: an array of texts holds only where they are."""
    return len(array_to_binary(array)) if array.dtype.kind in "OUS" else array.nbytes


def _chosen(outputs: Outputs, names: list[str]) -> Outputs:
    return {name: outputs[name] for name in names}
