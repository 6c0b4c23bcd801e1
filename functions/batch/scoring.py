"""Rows through one version of a model, in batches of the size that it is quickest with."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from functions.batch.results import Layout
from functions.batch.rows import Rows
from lastmile.errors import InvalidInput, ModelFailed
from lastmile.predictor import Predictor, Served
from lastmile.tensors import DATATYPES, Array, TensorSpec

SIZES = (16, 128, 1024, 4096)
MEASURED_SECONDS = 0.005  # for each size
MOST_FIRST_SECONDS = 1.0  # a size whose first batch takes longer ends the measurement
NEARLY = 0.97  # of two sizes that are nearly as quick the larger is taken: it calls less often

type Feeds = dict[str, Array]


@dataclass(frozen=True, slots=True)
class Speed:
    batch_rows: int
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class Scorer:
    """`fixed` is the length of the batches that the graph insists on, if it does."""

    predictor: Predictor
    served: Served
    decides: bool = False
    batch_rows: int = 1024

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.served.loaded.manifest.signature.inputs

    @property
    def fixed(self) -> int | None:
        return next((spec.shape[0] for spec in self.inputs if spec.shape[0] > 0), None)

    def layout(self, keep: Mapping[str, pa.DataType]) -> Layout:
        return Layout(self.served.loaded.manifest.signature.outputs, keep, self.decides)

    def score(self, rows: Rows, layout: Layout, *, prefix: str, first: int) -> tuple[pa.Table, Rows]:
        """The result, and the rows with what the model itself refused among their problems."""
        problems: dict[int, str] = {}
        outputs, decisions = self._outputs(rows.feeds, 0, problems)
        if problems:
            rows, outputs, decisions = _without(rows, outputs, decisions, problems)
        return layout.table(rows, outputs, decisions, prefix=prefix, first=first), rows

    def measured(self, feeds: Feeds) -> Speed:
        """The batch size that does most rows in a second; the larger one where it hardly matters."""
        count = _length(feeds)
        sizes = [self.fixed] if self.fixed else [size for size in SIZES if size <= count] or [max(1, count)]
        best = Speed(sizes[0], 0.0)
        for size in sizes:
            started = time.perf_counter()
            try:
                speed, first = self._speed(feeds, size, count)
            except (InvalidInput, ModelFailed):  # the rows that are at fault will be found out one by one
                return best if best.rows_per_second else Speed(size, 1000.0)
            if speed > best.rows_per_second * NEARLY:
                best = Speed(size, max(speed, best.rows_per_second))
            if first > MOST_FIRST_SECONDS or time.perf_counter() - started > 2 * MOST_FIRST_SECONDS:
                break
        return best

    def _speed(self, feeds: Feeds, size: int, count: int) -> tuple[float, float]:
        """Rows per second of the quicker half of some runs, and the seconds of the first."""
        took: list[float] = []
        while sum(took) < MEASURED_SECONDS or len(took) < 3:
            at = size * len(took) % max(1, count - size + 1)
            batch = _padded(_part(feeds, at, at + size), size) if self.fixed else _part(feeds, at, at + size)
            started = time.perf_counter()
            self.predictor.run(self.served, batch)
            took.append(time.perf_counter() - started)
            if took[0] > MOST_FIRST_SECONDS:
                break
        quicker = sorted(took)[: (len(took) + 1) // 2]
        return min(size, count) * len(quicker) / sum(quicker), took[0]

    def _outputs(self, feeds: Feeds, at: int, problems: dict[int, str]) -> tuple[dict[str, Array], list[Any]]:
        """Of all rows; those that the model refuses become problems and have no output."""
        size = self.fixed or self.batch_rows
        found = []
        for start in range(0, _length(feeds), size):
            found += self._run(_part(feeds, start, start + size), at + start, problems)
        specs = self.served.loaded.manifest.signature.outputs
        outputs = {spec.name: _joined([outputs[spec.name] for outputs, _ in found], spec) for spec in specs}
        return outputs, [one for _, decisions in found for one in decisions]

    def _run(self, feeds: Feeds, at: int, problems: dict[int, str]) -> list[tuple[dict[str, Array], list[Any]]]:
        """One batch; where the model refuses it, its halves, down to the row that is at fault."""
        count = _length(feeds)
        try:
            return [self._once(feeds, count)]
        except (InvalidInput, ModelFailed) as error:
            if count == 1:
                problems[at] = str(error)
                return []
        half = count // 2
        return [
            *self._run(_part(feeds, 0, half), at, problems),
            *self._run(_part(feeds, half, count), at + half, problems),
        ]

    def _once(self, feeds: Feeds, count: int) -> tuple[dict[str, Array], list[Any]]:
        given = _padded(feeds, self.fixed) if self.fixed else feeds
        outputs = self.predictor.run(self.served, given).outputs
        length = self.fixed or count
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != length:
                raise ModelFailed(f"output '{name}' has shape {list(array.shape)} for {length} rows")
        if self.fixed:
            outputs = _part(outputs, 0, count)
        return outputs, self._decided(feeds, outputs) if self.decides else []

    def _decided(self, feeds: Feeds, outputs: dict[str, Array]) -> list[Any]:
        from lastmile.decision import policy_of, prepare

        declared = self.served.loaded.manifest.policy["decision"]
        policy = policy_of(declared["kind"], declared["options"], self.served.loaded.manifest.signature)
        return list(prepare(policy, feeds, [])(outputs))


def check_decides(served: Served) -> None:
    if served.loaded.manifest.policy.get("decision") is None:
        raise InvalidInput(
            f"version {served.version} of model '{served.model}' has no decision policy; its spec needs a [decision]"
        )


def check_light(served: Served) -> None:
    """A light side alone would answer otherwise than the version does."""
    if served.loaded.manifest.policy.get("heavy") is not None:
        raise InvalidInput(
            f"version {served.version} of model '{served.model}' has a heavy side, which batches do not reach; "
            "name a version without one"
        )


def _without(
    rows: Rows, outputs: dict[str, Array], decisions: list[Any], problems: dict[int, str]
) -> tuple[Rows, dict[str, Array], list[Any]]:
    """`problems` are by place among the good rows."""
    places = np.arange(rows.total) if rows.places is None else rows.places
    good = np.ones(len(places), bool)
    good[list(problems)] = False
    named = rows.problems | {int(places[place]): text for place, text in problems.items()}
    return rows._replace(places=places[good], problems=named), outputs, decisions


def _length(feeds: Feeds) -> int:
    return len(next(iter(feeds.values())))


def _part(feeds: Feeds, start: int, end: int) -> Feeds:
    return {name: array[start:end] for name, array in feeds.items()}


def _padded(feeds: Feeds, length: int) -> Feeds:
    """The last row again and again, where a graph takes batches of one length only."""
    missing = length - _length(feeds)
    if not missing:
        return feeds
    return {name: np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) for name, array in feeds.items()}


def _joined(arrays: list[Array], spec: TensorSpec) -> Array:
    if not arrays:
        return np.empty((0, *(max(length, 0) for length in spec.shape[1:])), DATATYPES[spec.datatype].dtype)
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)
