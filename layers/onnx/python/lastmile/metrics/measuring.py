"""From answers to figures: values, bootstrap intervals, differences between two models, groups."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from lastmile.metrics.samples import NoSample, sample
from lastmile.metrics.table import Metric, find, of_task
from lastmile.metrics.weighing import Weighted
from lastmile.tensors import Array

RESAMPLES = 500
INTERVAL = (2.5, 97.5)
CELLS = 1 << 16  # weights held at a time: half a megabyte, which stays in a processor's cache


@dataclass(frozen=True)
class Measured:
    """A metric's value with its 95 % interval, or the reason why there is none; never NaN."""

    value: float | None
    low: float | None = None
    high: float | None = None
    reason: str | None = None


@dataclass(frozen=True, eq=False)
class Prepared:
    """The metrics of one model on some rows, ready for weights; `reasons` are those that cannot be."""

    rows: int
    metrics: dict[str, Metric]
    weighted: dict[str, Weighted] = field(default_factory=dict)
    reasons: dict[str, str] = field(default_factory=dict)

    def measured(self, *, mask: Array | None = None) -> dict[str, Measured]:
        """Every metric, over all rows or those of a mask; no intervals."""
        weights = np.ones((1, self.rows)) if mask is None else mask.astype(float)[None]
        return {
            name: self.figure(name, float(self.weighted[name](weights)[0]) if name in self.weighted else np.nan)
            for name in self.metrics
        }

    def figure(self, name: str, value: float, bounds: tuple[float, float] | None = None) -> Measured:
        """The interval holds the value: resamples of a calibration error, say, lie almost all above it."""
        if np.isinf(value):
            return Measured(None, reason="it is too large for a number")
        if np.isnan(value):
            return Measured(None, reason=self.reasons.get(name, self.metrics[name].undefined))
        return Measured(value) if bounds is None else Measured(value, min(bounds[0], value), max(bounds[1], value))


def prepare(
    task: str,
    outputs: Mapping[str, Array],
    truth: Mapping[str, Array],
    *,
    columns: Sequence[str] = (),
    names: Iterable[str] | None = None,
) -> Prepared:
    """The named metrics, by default all of the task. Outputs and truth are by name, as the task has them; `columns`
    are the class names of `probabilities`, or the levels of `quantiles`."""
    metrics = {metric.name: metric for metric in (of_task(task) if names is None else map(find, names))}
    rows = len(next(iter(outputs.values()), ()))
    prepared = Prepared(rows, metrics)
    try:
        found = sample(task, outputs, truth, columns)
    except NoSample as problem:
        return Prepared(rows, metrics, reasons=dict.fromkeys(metrics, str(problem)))
    for name, metric in metrics.items():
        if task not in metric.tasks:
            prepared.reasons[name] = f"it is no metric of {task}"
        elif getattr(found, metric.part, True) is None:
            prepared.reasons[name] = f"the model gives no {metric.part}"
        else:
            prepared.weighted[name] = metric.function(found)
    return prepared


def measure(
    task: str,
    outputs: Mapping[str, Array],
    truth: Mapping[str, Array],
    *,
    columns: Sequence[str] = (),
    names: Iterable[str] | None = None,
) -> dict[str, Measured]:
    """Values alone; see `prepare`."""
    return prepare(task, outputs, truth, columns=columns, names=names).measured()


def bootstrapped(
    prepared: Prepared, *, mask: Array | None = None, resamples: int = RESAMPLES, seed: int = 0
) -> dict[str, Measured]:
    """Every metric with the 95 % percentile interval over resampled rows (of the mask, where there is one)."""
    return _with_bounds(prepared, mask, _drawn([prepared], mask, resamples, seed)[0])


@dataclass(frozen=True)
class Comparison:
    """Two models on the same rows and the same resamples of them; `differences` are ours less theirs."""

    ours: dict[str, Measured]
    theirs: dict[str, Measured]
    differences: dict[str, Measured]


def compared(ours: Prepared, theirs: Prepared, *, resamples: int = RESAMPLES, seed: int = 0) -> Comparison:
    mine, its = _drawn([ours, theirs], None, resamples, seed)
    one, other = _with_bounds(ours, None, mine), _with_bounds(theirs, None, its)
    found: dict[str, Measured] = {}
    for name in (name for name in one if name in other):
        value, reference = one[name].value, other[name].value
        if value is None or reference is None:
            found[name] = Measured(None, reason=one[name].reason or other[name].reason)
        else:
            found[name] = ours.figure(name, value - reference, _bounds(mine[name] - its[name]))
    return Comparison(one, other, found)


def _with_bounds(prepared: Prepared, mask: Array | None, drawn: dict[str, Array]) -> dict[str, Measured]:
    return {
        name: found if found.value is None else prepared.figure(name, found.value, _bounds(drawn[name]))
        for name, found in prepared.measured(mask=mask).items()
    }


def _drawn(models: list[Prepared], mask: Array | None, resamples: int, seed: int) -> list[dict[str, Array]]:
    """The resampled values of every metric of every model."""
    found: list[dict[str, list[Array]]] = [{name: [] for name in model.weighted} for model in models]
    for weights in _resampled(models[0].rows, mask, resamples, seed):
        for model, values in zip(models, found, strict=True):
            for name, metric in model.weighted.items():
                values[name].append(metric(weights))
    return [{name: np.concatenate(parts or [np.array([])]) for name, parts in values.items()} for values in found]


def _resampled(rows: int, mask: Array | None, resamples: int, seed: int) -> Iterator[Array]:
    """How often each row was drawn, (resamples, rows), in pieces that fit into memory."""
    positions = np.arange(rows) if mask is None else np.flatnonzero(mask)
    if not len(positions):
        return
    random = np.random.default_rng(seed)
    piece = max(1, CELLS // rows)
    for start in range(0, resamples, piece):
        count = min(piece, resamples - start)
        drawn = positions[random.integers(0, len(positions), (count, len(positions)))]
        cells = (drawn + rows * np.arange(count)[:, None]).ravel()
        yield np.bincount(cells, minlength=count * rows).reshape(count, rows).astype(float)


def _bounds(values: Array) -> tuple[float, float] | None:
    """None where less than half of the resamples define the metric."""
    finite = values[np.isfinite(values)]
    if 2 * len(finite) < max(len(values), 1):
        return None
    low, high = np.percentile(finite, INTERVAL).tolist()
    return low, high
