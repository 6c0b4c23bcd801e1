"""Who answers the rows of a version that has a heavy side: the light side, the heavy one, or each its own.

No row of a batch is answered by the light side because the heavy one does not answer just now: it is waited for.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from functions.batch.pieces import Answered, Feeds, Outputs, in_pieces, joined, length, places
from lastmile.errors import EndpointUnavailable, ModelFailed
from lastmile.heavy.backend import SageMakerBackend
from lastmile.heavy.cascade import CONFIDENCE, Light, Policy, Tiers, sent_bytes
from lastmile.heavy.opening import Heavy
from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.tensors import DATATYPES, Array, TensorSpec

CALL_SECONDS = 60.0  # SageMaker gives no model more: https://docs.aws.amazon.com/general/latest/gr/sagemaker.html
CALLS_AT_ONCE = 2  # for each slice, of which many are done together
PAUSES = (1.0, 2.0, 4.0, 8.0, 15.0, 30.0)  # then the slice fails, and the state machine waits

type Ask = Callable[[Feeds], Answered]


class Opening(Heavy):
    """Nobody waits for single answers of a batch, so no place for them is needed."""

    def open(self, manifest: Manifest, light: Light | None) -> Tiers:
        return Tiers(light, self.backend(manifest), Policy.of(manifest.policy["heavy"]), can_wait=False)


class Told(NamedTuple):
    """What was answered and, where there are two sides, whether it was the heavy one, by row without a problem."""

    answered: Answered
    by_heavy: Array | None


@dataclass(frozen=True, slots=True)
class Sides:
    """`threshold` is the cascade's, None where the heavy side answers all rows. `rows` are those that it answers, where
    that was decided before."""

    outputs: tuple[TensorSpec, ...]
    threshold: float | None
    ask: Ask
    rows: Array | None = None

    @classmethod
    def of(cls, manifest: Manifest, ask: Ask) -> "Sides":
        heavy = manifest.policy["heavy"]
        return cls(manifest.signature.outputs, heavy["threshold"] if heavy["mode"] == "cascade" else None, ask)

    def given(self, rows: Array, ask: Ask) -> "Sides":
        return replace(self, rows=rows, ask=ask)

    def answered(self, light: Ask, feeds: Feeds) -> Told:
        count = length(feeds)
        first = None if self.threshold is None else light(feeds)
        rows = self.chosen(first, count)
        second = self.ask({name: array[rows] for name, array in feeds.items()}) if len(rows) else None
        return self._merged(first, second, rows, count)

    def chosen(self, first: Answered | None, count: int) -> Array:
        """The rows of the heavy side, by place; a confidence that is no number is none."""
        if self.rows is not None:
            return self.rows
        if first is None or self.threshold is None:
            return np.arange(count)
        confidence = first.outputs[CONFIDENCE].max(axis=-1, initial=0.0)
        return places(count, first.problems)[~(confidence >= self.threshold)]

    def _merged(self, first: Answered | None, second: Answered | None, rows: Array, count: int) -> Told:
        problems = {} if first is None else dict(first.problems)
        by_heavy = np.zeros(count, bool)
        by_heavy[rows] = True
        parts: list[tuple[Array, Outputs]] = []
        if first is not None:
            parts.append((places(count, first.problems), first.outputs))
        if second is not None:
            for place in rows.tolist():
                problems.pop(place, None)
            problems |= {int(rows[place]): text for place, text in second.problems.items()}
            parts.append((rows[places(len(rows), second.problems)], second.outputs))
        good = places(count, problems)
        outputs = {spec.name: _laid(parts, spec, count)[good] for spec in self.outputs}
        return Told(Answered(outputs, problems), by_heavy[good])


def _laid(parts: Sequence[tuple[Array, Outputs]], spec: TensorSpec, count: int) -> Array:
    """One output of all rows, each part in its places; what comes later replaces what was there."""
    given = [(rows, outputs[spec.name]) for rows, outputs in parts if len(rows)]
    shapes = {array.shape[1:] for _, array in given}
    if len(shapes) > 1:
        raise ModelFailed(f"output '{spec.name}' has another shape on the heavy side than on the light one")
    shape = shapes.pop() if shapes else joined([], spec).shape[1:]
    dtype = DATATYPES[spec.datatype].dtype
    whole = np.full((count, *shape), "" if dtype.kind == "O" else 0, dtype)
    for rows, array in given:
        whole[rows] = array
    return whole


@dataclass(frozen=True, slots=True)
class Endpoint:
    """The endpoint that serves, waited for."""

    backend: SageMakerBackend
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    heavy: dict[str, Any]
    pause: Callable[[float], object] = time.sleep

    def __call__(self, feeds: Feeds) -> Answered:
        each = sum(map(sent_bytes, feeds.values())) // max(1, length(feeds))
        rows = max(1, min(self.heavy["max_batch"], self.heavy["realtime_bytes"] // max(1, each)))
        return in_pieces(self._run, feeds, rows * CALLS_AT_ONCE, self.outputs)

    def check(self) -> None:
        """Asks for a row of zeros. Raises EndpointUnavailable where there is none; one that sleeps begins to wake."""
        try:
            self.backend.run(None, {spec.name: _row(spec) for spec in self.inputs})
        except EndpointUnavailable as error:
            if error.reason == "failing":
                raise

    def _run(self, feeds: Feeds) -> Outputs:
        for pause in (*PAUSES, None):
            try:
                return dict(zip(self.backend.names, self.backend.run(None, feeds), strict=True))
            except EndpointUnavailable as error:
                if error.reason == "refused":  # by the model, whoever asks again
                    raise ModelFailed(f"the heavy side refuses it: {error}") from error
                if pause is None:
                    raise
                self.pause(pause)
        raise AssertionError  # the last attempt returns or raises


def _row(spec: TensorSpec) -> Array:
    dtype = DATATYPES[spec.datatype].dtype
    return np.full((1, *(max(length, 1) for length in spec.shape[1:])), "" if dtype.kind == "O" else 0, dtype)


def here(registry: Registry, manifest: Manifest, *, threads: int) -> Ask:
    """The heavy side out of its package, in this process."""
    is_alone = manifest.artefact.path == PACKAGE
    data = registry.artefact(manifest) if is_alone else registry.file(manifest, PACKAGE)
    model = OnnxModel.open(unpacked(data).onnx, threads=threads)
    specs = manifest.signature.outputs
    names = [spec.name for spec in specs]

    def run(feeds: Feeds) -> Outputs:
        return dict(zip(names, model.run(names, feeds), strict=True))

    return lambda feeds: in_pieces(run, feeds, manifest.policy["heavy"]["max_batch"], specs)
