"""A trained graph on rows that it has not seen: how good it is, overall and for each group, and beside the champion."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from functions.retraining.curves import curves
from functions.retraining.grouping import Group, grouped
from functions.retraining.recipes.contract import Examples
from lastmile.errors import LastmileError
from lastmile.metrics import Measured, Prepared, bootstrapped, compared, of_task, prepare
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, Array, Signature, TensorSpec

BATCH = 4096
CELLS = 40_000_000  # rows x classes x resamples
RESAMPLES = (100, 500)
NAMED_BY = {"classification": "probabilities", "forecast": "quantiles"}


@dataclass(frozen=True)
class Champion:
    """The version that serves now."""

    version: int
    onnx: bytes
    signature: Signature


@dataclass(frozen=True)
class Beside:
    """The champion on the same rows, or the reason why it cannot be compared. `differences` are ours less its."""

    version: int
    metrics: dict[str, Measured] = field(default_factory=dict)
    differences: dict[str, Measured] = field(default_factory=dict)
    curves: dict[str, Any] = field(default_factory=dict)
    reason: str | None = None


@dataclass(frozen=True)
class Evaluation:
    """`metrics` are of the held-out rows, with intervals; `training` are of the rows that were learnt from."""

    task: str
    rows: int
    training_rows: int
    metrics: dict[str, Measured]
    training: dict[str, Measured]
    groups: dict[str, tuple[Group, ...]] = field(default_factory=dict)
    champion: Beside | None = None
    curves: dict[str, Any] = field(default_factory=dict)

    def train_gap(self, metric: str) -> float | None:
        """Held-out less training."""
        held_out, training = self.metrics[metric].value, self.training[metric].value
        return None if held_out is None or training is None else held_out - training

    def group_gap(self, metric: str) -> float | None:
        """The largest difference between two groups of one column; None where no column has two that are measured."""
        gaps = [
            max(values) - min(values)
            for groups in self.groups.values()
            if len(values := [value for group in groups if (value := group.value(metric)) is not None]) > 1
        ]
        return max(gaps, default=None)

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Evaluation":
        champion = document["champion"]
        restored = dict(document) | {
            "metrics": _measured(document["metrics"]),
            "training": _measured(document["training"]),
            "groups": {name: tuple(map(Group.from_document, groups)) for name, groups in document["groups"].items()},
            "champion": None if champion is None else _beside(champion),
        }
        return cls(**restored)


def evaluate(
    onnx: bytes,
    examples: Examples,
    training_examples: Examples,
    task: str,
    spec: ModelSpec,
    *,
    champion: Champion | None = None,
    threads: int = 1,
) -> Evaluation:
    """`examples` are the held-out rows. Raises ModelFailed or InvalidInput when the graph cannot answer them."""
    model = OnnxModel.open(onnx, threads=threads)
    names = metric_names(spec)
    outputs = answers(model, examples.feeds)
    columns = columns_of(spec)
    prepared = prepare(task, outputs, examples.truth, columns=columns, names=names)
    learnt = prepare(
        task, answers(model, training_examples.feeds), training_examples.truth, columns=columns, names=names
    )
    resamples = _resamples(prepared.rows, len(columns))
    beside, metrics = _beside_champion(champion, examples, prepared, spec, resamples=resamples, threads=threads)
    return Evaluation(
        task=task,
        rows=prepared.rows,
        training_rows=learnt.rows,
        metrics=metrics,
        training=learnt.measured(),
        groups={name: grouped(values, prepared, spec) for name, values in examples.groups.items()},
        champion=beside,
        curves=curves(task, outputs, examples.truth, columns),
    )


def metric_names(spec: ModelSpec) -> tuple[str, ...]:
    """Those of the task and those that the spec's gates and compression name besides."""
    named = [gate.metric for gate in spec.gates]
    if spec.compression.metric is not None:
        named.append(spec.compression.metric)
    return tuple(dict.fromkeys([*(metric.name for metric in of_task(spec.task)), *named]))


def columns_of(spec: ModelSpec) -> tuple[str, ...]:
    """The class names of a classification, the levels of a forecast."""
    name = NAMED_BY.get(spec.task)
    return next((tensor.columns for tensor in spec.outputs if tensor.name == name), ())


def answers(model: OnnxModel, feeds: Mapping[str, Array]) -> dict[str, Array]:
    """What the graph gives for all rows, by output name."""
    rows = len(next(iter(feeds.values())))
    names = [tensor.name for tensor in model.signature.outputs]
    if not rows:  # who is asked what he already has gives nothing to learn from; not every graph takes no rows
        return {tensor.name: _none(tensor) for tensor in model.signature.outputs}
    batches = [
        model.run(None, {name: array[start : start + BATCH] for name, array in feeds.items()})
        for start in range(0, rows, BATCH)
    ]
    return {name: np.concatenate(parts) for name, parts in zip(names, zip(*batches, strict=True), strict=True)}


def _none(tensor: TensorSpec) -> Array:
    return np.empty((0, *(max(length, 0) for length in tensor.shape[1:])), DATATYPES[tensor.datatype].dtype)


def _beside_champion(
    champion: Champion | None,
    examples: Examples,
    ours: Prepared,
    spec: ModelSpec,
    *,
    resamples: int,
    threads: int,
) -> tuple[Beside | None, dict[str, Measured]]:
    if champion is None:
        return None, bootstrapped(ours, resamples=resamples)
    if reason := incomparable(champion.signature, spec):
        return Beside(champion.version, reason=reason), bootstrapped(ours, resamples=resamples)
    try:
        outputs = answers(OnnxModel.open(champion.onnx, threads=threads), examples.feeds)
    except LastmileError as error:
        reason = f"it cannot answer these rows: {error}"
        return Beside(champion.version, reason=reason), bootstrapped(ours, resamples=resamples)
    columns = columns_of(spec)
    theirs = prepare(spec.task, outputs, examples.truth, columns=columns, names=ours.metrics)
    comparison = compared(ours, theirs, resamples=resamples)
    drawn = curves(spec.task, outputs, examples.truth, columns)
    return Beside(champion.version, comparison.theirs, comparison.differences, drawn), comparison.ours


def incomparable(signature: Signature, spec: ModelSpec) -> str | None:
    """Why a version with this signature cannot answer the rows of the spec, or answers something else."""
    for kind, theirs, ours in (("input", signature.inputs, spec.inputs), ("output", signature.outputs, spec.outputs)):
        its, wanted = {tensor.name: tensor for tensor in theirs}, {tensor.name: tensor for tensor in ours}
        if its.keys() != wanted.keys():
            return f"its {kind}s are {', '.join(its)}, now they are {', '.join(wanted)}"
        for name, tensor in wanted.items():
            if its[name].datatype != tensor.datatype:
                return f"its {kind} {name} is {its[name].datatype}, now it is {tensor.datatype}"
            if its[name].columns != tensor.columns:
                changed = set(its[name].columns) ^ set(tensor.columns)
                what = (
                    f"other columns ({', '.join(sorted(changed)[:5])})" if changed else "its columns in another order"
                )
                return f"its {kind} {name} has {what}"
            if not _agree(its[name].shape, tensor.shape):
                return f"its {kind} {name} has the shape {list(its[name].shape)}, now it is {list(tensor.shape)}"
    return None


def _agree(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    return len(one) == len(other) and all(a == b or -1 in (a, b) for a, b in zip(one, other, strict=True))


def _resamples(rows: int, classes: int) -> int:
    fewest, most = RESAMPLES
    return max(fewest, min(most, CELLS // max(1, rows * max(1, classes))))


def _measured(document: Mapping[str, Any]) -> dict[str, Measured]:
    return {name: Measured(**fields) for name, fields in document.items()}


def _beside(document: Mapping[str, Any]) -> Beside:
    found = {key: _measured(document[key]) for key in ("metrics", "differences")}
    return Beside(**{**document, **found})
