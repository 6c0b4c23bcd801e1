"""Smaller and faster graphs of the same model, each measured beside the others and adopted only if it is better.

A candidate is adopted if it is measured smaller or faster, is not measured slower by more than noise, and loses at most
the spec's bound of the metric on the held-out rows. Of several the one with the smallest product of size and time.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from functions.retraining.pruning import pruned
from functions.retraining.recipes.contract import Examples
from functions.retraining.rewriting import NothingToDo, fp16, int8_dynamic, int8_static, optimised
from lastmile.errors import LastmileError
from lastmile.metrics import find, gain, measure, primary
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

ROUNDS = 15  # of alternating measurements
TIMED_ROWS = 64
SINGLE_RUNS, BATCH_RUNS = 20, 4
CALIBRATION_ROWS = 256
SMALLER, FASTER, SLOWER = 0.95, 0.95, 1.1  # what is nearer to 1 is noise
NAMED_BY = {"classification": "probabilities", "forecast": "quantiles"}

type Feeds = Mapping[str, Array]
type Measure = Callable[[dict[str, Array]], float | None]
type Times = Mapping[str, tuple[float, float]]
type Timed = Callable[[Mapping[str, OnnxModel], Feeds], Times]


@dataclass(frozen=True)
class Candidate:
    """`onnx` is None where there is none, `reason` says why."""

    name: str
    onnx: bytes | None
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """Of the table: seconds of one row alone and of each row in a batch, as `seconds` has them; `reason` is why not."""

    name: str
    bytes: int | None = None
    seconds: float | None = None
    seconds_per_row: float | None = None
    metric: float | None = None
    loss: float | None = None
    adopted: bool = False
    reason: str = ""


@dataclass(frozen=True)
class Compressed:
    """The graph to serve, the rows of the table, and which of them was adopted ("fp32" if none)."""

    onnx: bytes
    table: list[dict[str, Any]]
    adopted: str


def candidates(onnx: bytes, spec: ModelSpec, calibration: Feeds) -> Iterator[Candidate]:
    """Those that the spec asks for; `calibration` rows fix the scales of the static one."""
    makers: dict[str, Callable[[bytes], bytes]] = {
        "optimised": optimised,
        "int8-dynamic": int8_dynamic,
        "int8-static": partial(int8_static, calibration=calibration),
        "fp16": fp16,
        "pruned": pruned,
    }
    for name in spec.compression.candidates:
        try:
            yield Candidate(name, makers[name](onnx))
        except NothingToDo as reason:
            yield Candidate(name, None, str(reason))


def compress(
    onnx: bytes,
    spec: ModelSpec,
    examples: Examples,
    measure: Measure | None = None,
    *,
    tried: Callable[[bytes, ModelSpec, Feeds], Iterator[Candidate]] = candidates,
    timed: Timed | None = None,
) -> Compressed:
    """`measure` gives the metric of outputs, by default the spec's on the examples; `timed` the seconds of each graph,
    by default as it takes them here and now."""
    score = measure or partial(_metric, spec=spec, examples=examples)
    feeds = examples.feeds
    found = [Candidate("fp32", onnx), *tried(onnx, spec, _first(feeds, CALIBRATION_ROWS))]
    models: dict[str, OnnxModel] = {}
    reasons = {candidate.name: candidate.reason for candidate in found}
    for candidate in found:
        if candidate.onnx is not None:
            try:
                models[candidate.name] = OnnxModel.open(candidate.onnx, threads=1)
                models[candidate.name].run(None, _first(feeds, 1))
            except LastmileError as error:
                reasons[candidate.name] = str(error)
                models.pop(candidate.name, None)
    times = (timed or seconds)(models, feeds)
    scores = {name: score(_outputs(model, feeds)) for name, model in models.items()}
    bytes_of = {candidate.name: candidate.onnx for candidate in found if candidate.onnx is not None}
    rows = [_judged(candidate.name, reasons, bytes_of, times, scores, spec) for candidate in found]
    best = min((row for row in rows if not row.reason), key=lambda row: _worth(row, rows[0]))
    table = [asdict(row) | {"adopted": row is best} for row in rows]
    return Compressed(bytes_of[best.name], table, best.name)


def _judged(
    name: str,
    reasons: Mapping[str, str],
    sizes: Mapping[str, bytes],
    times: Times,
    scores: Mapping[str, float | None],
    spec: ModelSpec,
) -> Row:
    if name not in times:
        return Row(name, reason=reasons[name])
    metric = find(spec.compression.metric) if spec.compression.metric else primary(spec.task)
    score, before = scores[name], scores["fp32"]
    loss = None if score is None or before is None else 0.0 - gain(metric, score, before)
    single, each = times[name]
    row = Row(name, len(sizes[name]), single, each, score, loss)
    return Row(**{**asdict(row), "reason": "" if name == "fp32" else _objection(row, sizes, times["fp32"], spec)})


def _objection(row: Row, sizes: Mapping[str, bytes], before: tuple[float, float], spec: ModelSpec) -> str:
    """Why the row is not to be adopted; empty if it may."""
    assert row.bytes is not None
    assert row.seconds is not None
    assert row.seconds_per_row is not None
    size = row.bytes / len(sizes["fp32"])
    single, each = row.seconds / before[0], row.seconds_per_row / before[1]
    if row.loss is None and row.name != "optimised":
        return "the metric has no value on these rows"
    if row.loss is not None and row.loss > spec.compression.max_loss:
        return f"it loses {row.loss:.4g}, and at most {spec.compression.max_loss:g} are allowed"
    if max(single, each) > SLOWER:
        return f"it takes {max(single, each):.2f} times as long"
    if size > SMALLER and min(single, each) > FASTER:
        return "it is neither smaller nor faster"
    return ""


def _worth(row: Row, first: Row) -> float:
    parts = ((row.bytes, first.bytes), (row.seconds, first.seconds), (row.seconds_per_row, first.seconds_per_row))
    return float(np.prod([one / other for one, other in parts if one and other]))


def seconds(models: Mapping[str, OnnxModel], feeds: Feeds, *, clock: Callable[[], float] = time.perf_counter) -> Times:
    """Of one row alone and of each row in a batch, taken in turns.

    Each run is timed by itself, the order changes from round to round, and of each graph's times the lower quartile
    counts: what interrupts a run delays that one, and on a busy machine that may be more than half of them.
    """
    single, batch = _first(feeds, 1), _first(feeds, TIMED_ROWS)
    rows = max(len(next(iter(batch.values()))), 1)
    alone: dict[str, list[float]] = {name: [] for name in models}
    together: dict[str, list[float]] = {name: [] for name in models}
    shuffled = np.random.default_rng(0)
    for _ in range(ROUNDS):
        for name in shuffled.permutation(list(models)).tolist():
            for taken, asked, runs in ((alone, single, SINGLE_RUNS), (together, batch, BATCH_RUNS)):
                for _ in range(runs):
                    started = clock()
                    models[name].run(None, asked)
                    taken[name].append(clock() - started)
    return {name: (_lower(alone[name]), _lower(together[name]) / rows) for name in models}


def _lower(taken: list[float]) -> float:
    return float(np.quantile(taken, 0.25))


def _metric(outputs: dict[str, Array], *, spec: ModelSpec, examples: Examples) -> float | None:
    name = spec.compression.metric or primary(spec.task).name
    columns = next((tensor.columns for tensor in spec.outputs if tensor.name == NAMED_BY.get(spec.task)), ())
    return measure(spec.task, outputs, examples.truth, columns=columns, names=[name])[name].value


def _outputs(model: OnnxModel, feeds: Feeds) -> dict[str, Array]:
    return dict(zip([tensor.name for tensor in model.signature.outputs], model.run(None, dict(feeds)), strict=True))


def _first(feeds: Feeds, rows: int) -> dict[str, Array]:
    return {name: array[:rows] for name, array in feeds.items()}
