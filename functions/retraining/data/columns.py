"""Which columns a training file has to have, and what may be in them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from lastmile.policies import Feature
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, TensorSpec

type Kind = Literal["number", "integer", "text", "time"]
type Role = Literal["feature", "target", "time", "group", "other"]


@dataclass(frozen=True)
class Column:
    """`categories`, where there are any, are the only values. A text is never missing by itself: the empty one is, and
    where it must not be, the column is not `nullable`."""

    name: str
    kind: Kind
    role: Role = "feature"
    nullable: bool = False
    minimum: float | None = None
    maximum: float | None = None
    categories: tuple[str, ...] = ()
    pii: bool = False


def of_spec(spec: ModelSpec) -> tuple[Column, ...]:
    """The features, the target, the time and the sensitive columns: what most recipes need."""
    columns = {column.name: column for column in _features(spec)}
    training = spec.training
    if training is not None and training.target is not None:
        columns[training.target] = _target(spec, training.target)
    if training is not None and training.time is not None and training.time not in columns:
        columns[training.time] = Column(training.time, "time", "time")
    for name, feature in spec.features.items():
        if name not in columns:
            columns[name] = _group(name, feature)
    return tuple(columns.values())


def _features(spec: ModelSpec) -> Iterator[Column]:
    for tensor in spec.inputs:
        for name in tensor.columns or (tensor.name,):
            yield _feature(name, tensor, spec.features.get(name, Feature()))


def _feature(name: str, tensor: TensorSpec, feature: Feature) -> Column:
    dtype = DATATYPES[tensor.datatype].dtype
    pii = bool(tensor.pii)
    if dtype.kind == "O":
        return Column(name, "text", nullable=True, categories=feature.categories, pii=pii)
    if dtype.kind == "f":
        largest = float(np.finfo(dtype).max)
        low = -largest if feature.minimum is None else feature.minimum
        high = largest if feature.maximum is None else feature.maximum
        return Column(name, "number", nullable=tensor.nullable, minimum=low, maximum=high, pii=pii)
    lowest, highest = (0, 1) if dtype.kind == "b" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    low = float(lowest) if feature.minimum is None else feature.minimum
    high = float(highest) if feature.maximum is None else feature.maximum
    return Column(name, "integer", minimum=low, maximum=high, pii=pii)


def _target(spec: ModelSpec, name: str) -> Column:
    """What is to be learnt: a class of those that the outputs name, 0 or 1, or a number."""
    outputs = {tensor.name: tensor for tensor in spec.outputs}
    match spec.task:
        case "classification":
            classes = outputs["probabilities"].columns if "probabilities" in outputs else ()
            whole = "label" in outputs and outputs["label"].datatype != "BYTES"
            return Column(name, "integer" if whole else "text", "target", categories=classes)
        case "anomaly":
            return Column(name, "integer", "target", categories=("0", "1"))
        case _:
            largest = float(np.finfo(np.float32).max)  # as it is answered
            return Column(name, "number", "target", minimum=-largest, maximum=largest)


def _group(name: str, feature: Feature) -> Column:
    """A sensitive column that is no input."""
    if feature.minimum is not None or feature.maximum is not None:
        return Column(name, "number", "group", nullable=True, minimum=feature.minimum, maximum=feature.maximum)
    return Column(name, "text", "group", nullable=True, categories=feature.categories)
