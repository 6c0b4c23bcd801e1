"""Rows through one version of a model, in batches of the size that it is quickest with."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from functions.batch.pieces import Answered, Feeds, Outputs, halved, in_pieces, length, padded, part, places
from functions.batch.results import Layout
from functions.batch.rows import Rows
from functions.batch.sides import Sides, Told
from lastmile.errors import InvalidInput, ModelFailed
from lastmile.predictor import Served
from lastmile.tensors import TensorSpec, check_feeds

SIZES = (16, 128, 1024, 4096)
MEASURED_SECONDS = 0.003  # for each size
MOST_FIRST_SECONDS = 1.0  # a size whose first batch takes longer ends the measurement
NEARLY = 0.97  # of two sizes that are nearly as quick the larger is taken: it calls less often
UNKNOWN = 1000.0
HEAVY_CALLS = 256  # of the heavy side, for one slice


@dataclass(frozen=True, slots=True)
class Speed:
    batch_rows: int
    rows_per_second: float


@dataclass(frozen=True, slots=True)
class Scorer:
    """`sides` are there where the version has a heavy one."""

    served: Served
    decides: bool = False
    batch_rows: int = 1024
    sides: Sides | None = None

    @property
    def inputs(self) -> tuple[TensorSpec, ...]:
        return self.served.loaded.manifest.signature.inputs

    @property
    def outputs(self) -> tuple[TensorSpec, ...]:
        return self.served.loaded.manifest.signature.outputs

    @property
    def fixed(self) -> int | None:
        """The length of the batches that the graph insists on, if it does."""
        return next((spec.shape[0] for spec in self.inputs if spec.shape[0] > 0), None)

    @property
    def most_rows(self) -> int | None:
        """Of one slice, where the heavy side answers some of them."""
        heavy = self.served.loaded.manifest.policy.get("heavy")
        return None if heavy is None else HEAVY_CALLS * int(heavy["max_batch"])

    def layout(self, keep: Mapping[str, pa.DataType]) -> Layout:
        return Layout(self.outputs, keep, self.decides, self.sides is not None)

    def score(self, rows: Rows, layout: Layout, *, prefix: str, first: int) -> tuple[pa.Table, Rows]:
        """The result, and the rows with what the model itself refused among their problems."""
        (outputs, problems), by_heavy = self.answered(rows.feeds)
        good = places(length(rows.feeds), problems)
        decisions: list[Any] = []
        if self.decides:
            wrong: dict[int, str] = {}
            feeds = {name: array[good] for name, array in rows.feeds.items()} if problems else rows.feeds
            decisions = self._decided(feeds, outputs, wrong)
            if wrong:
                right = places(len(good), wrong)
                outputs = {name: array[right] for name, array in outputs.items()}
                by_heavy = None if by_heavy is None else by_heavy[right]
                problems = problems | {int(good[place]): text for place, text in wrong.items()}
        if problems:
            rows = _without(rows, problems)
        return layout.table(rows, outputs, decisions, by_heavy, prefix=prefix, first=first), rows

    def answered(self, feeds: Feeds) -> Told:
        if self.sides is None:
            return Told(self.light(feeds), None)
        return self.sides.answered(self.light, feeds)

    def light(self, feeds: Feeds) -> Answered:
        return in_pieces(self._once, feeds, self.fixed or self.batch_rows, self.outputs)

    def measured(self, feeds: Feeds) -> Speed:
        """The batch size that does most rows in a second; the larger one where it hardly matters."""
        if self.sides is not None and self.sides.threshold is None:
            return Speed(self.batch_rows, UNKNOWN)  # the light side is not asked at all
        count = length(feeds)
        sizes = [self.fixed] if self.fixed else [size for size in SIZES if size <= count] or [max(1, count)]
        best = Speed(sizes[0], 0.0)
        for size in sizes:
            started = time.perf_counter()
            try:
                speed, first = self._speed(feeds, size, count)
            except (InvalidInput, ModelFailed):  # the rows that are at fault will be found out one by one
                return best if best.rows_per_second else Speed(size, UNKNOWN)
            if speed > best.rows_per_second * NEARLY:
                best = Speed(size, max(speed, best.rows_per_second))
            if first > MOST_FIRST_SECONDS or time.perf_counter() - started > 2 * MOST_FIRST_SECONDS:
                break
        return best

    def _speed(self, feeds: Feeds, size: int, count: int) -> tuple[float, float]:
        """Rows per second of the quicker half of some runs, and the seconds of the first."""
        took: list[float] = []
        while sum(took) < MEASURED_SECONDS:
            at = size * len(took) % max(1, count - size + 1)
            batch = padded(part(feeds, at, at + size), size) if self.fixed else part(feeds, at, at + size)
            started = time.perf_counter()
            self._run(batch)
            took.append(time.perf_counter() - started)
            if took[0] > MOST_FIRST_SECONDS:
                break
        quicker = sorted(took)[: (len(took) + 1) // 2]
        return min(size, count) * len(quicker) / sum(quicker), took[0]

    def _once(self, feeds: Feeds) -> Outputs:
        count = length(feeds)
        outputs = self._run(padded(feeds, self.fixed) if self.fixed else feeds)
        wanted = self.fixed or count
        for name, array in outputs.items():
            if array.ndim == 0 or len(array) != wanted:
                raise ModelFailed(f"output '{name}' has shape {list(array.shape)} for {wanted} rows")
        return part(outputs, 0, count) if self.fixed else outputs

    def _run(self, feeds: Feeds) -> Outputs:
        """The graph in this process: not captured, and with no shadow beside it."""
        loaded = self.served.loaded
        check_feeds(loaded.inputs, feeds)
        names = list(loaded.outputs)
        return dict(zip(names, loaded.model.run(names, feeds), strict=True))

    def _decided(self, feeds: Feeds, outputs: Outputs, problems: dict[int, str]) -> list[Any]:
        from lastmile.decision import policy_of, prepare

        manifest = self.served.loaded.manifest
        declared = manifest.policy["decision"]
        policy = policy_of(declared["kind"], declared["options"], manifest.signature)

        def run(start: int, end: int) -> list[Any]:
            return list(prepare(policy, part(feeds, start, end), [])(part(outputs, start, end)))

        found = halved(run, length(outputs), self.fixed or self.batch_rows, problems)
        return [one for decisions in found for one in decisions]


def check_decides(served: Served) -> None:
    if served.loaded.manifest.policy.get("decision") is None:
        raise InvalidInput(
            f"version {served.version} of model '{served.model}' has no decision policy; its spec needs a [decision]"
        )


def _without(rows: Rows, problems: dict[int, str]) -> Rows:
    """`problems` are by place among the good rows."""
    among = np.arange(rows.total) if rows.places is None else rows.places
    named = rows.problems | {int(among[place]): text for place, text in problems.items()}
    return rows._replace(places=among[places(len(among), problems)], problems=named)
