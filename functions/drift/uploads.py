"""Labelled rows as an upload to learn from: the columns that training data of the spec have, in Parquet."""

import io
import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import numpy as np

from lastmile.labelled import Labelled
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, TensorSpec

HIDDEN = ("drop", "hash")  # personal inputs of which captures do not hold what the model was given

type Kind = Literal["number", "integer", "unsigned", "text", "time"]


def parquet(spec: ModelSpec, rows: Sequence[Labelled]) -> bytes:
    """Equal rows give equal bytes. What is missing, or was not told, is null."""
    from arro3.core import Table  # 20 ms and 30 MB that a check without new labels need not spend
    from arro3.io import write_parquet

    table = Table.from_pydict({name: _arrow(kind, values) for name, kind, values in columns(spec, rows)})
    file = io.BytesIO()
    write_parquet(table, file, compression="zstd(3)", skip_arrow_metadata=True)
    return file.getvalue()


def columns(spec: ModelSpec, rows: Sequence[Labelled]) -> Iterator[tuple[str, Kind, list[Any]]]:
    """The features, the time of the prediction where rows are ordered by one, sensitive columns, and the label."""
    training = spec.training
    assert training is not None
    assert training.target is not None
    taken = {training.target}
    for tensor in spec.inputs:
        for place, name in enumerate(_names(tensor)):
            if name not in taken:
                taken.add(name)
                kind = _kind(tensor.datatype)
                yield name, kind, [_plain(kind, _element(row, tensor, place)) for row in rows]
    if training.time is not None and training.time not in taken:
        taken.add(training.time)
        yield training.time, "time", [_asked_about(spec, row) for row in rows]
    for name, feature in spec.features.items():
        if name not in taken and name not in spec.feature_names:
            of: Kind = "text" if feature.minimum is None and feature.maximum is None else "number"
            yield name, of, [_group(of, row.feedback.groups.get(name)) for row in rows]
    kind = _label_kind(spec)
    yield training.target, kind, [_plain(kind, row.feedback.label) for row in rows]


def _names(tensor: TensorSpec) -> tuple[str, ...]:
    """Nothing where captures do not hold what was asked, or a row has several values without names."""
    if tensor.pii in HIDDEN:
        return ()
    return tensor.columns or ((tensor.name,) if all(length == 1 for length in tensor.shape[1:]) else ())


def _element(row: Labelled, tensor: TensorSpec, place: int) -> Any:
    """None where the row has another shape, of a spec before this one."""
    array = row.inputs.get(tensor.name)
    flat = np.empty(0) if array is None else np.asarray(array).reshape(-1)
    return flat[place : place + 1].tolist()[0] if len(flat) == len(_names(tensor)) else None


def _asked_about(spec: ModelSpec, row: Labelled) -> Any:
    """Milliseconds since 1970: when the row was predicted; or, where the future was asked about, for when."""
    asked = row.inputs.get("time") if spec.task == "forecast" else None
    return _plain("integer", float(np.rint((row.feedback.predicted_at if asked is None else float(asked)) * 1000)))


def _group(kind: Kind, text: str | None) -> Any:
    """As it came with the label; None where it did not, or is no number where one is wanted."""
    try:
        return _plain(kind, text if kind == "text" or text is None else float(text))
    except ValueError:
        return None


def _kind(datatype: str) -> Kind:
    dtype = DATATYPES[datatype].dtype
    if dtype.kind == "u" and dtype.itemsize == 8:
        return "unsigned"
    return "text" if dtype.kind == "O" else "number" if dtype.kind == "f" else "integer"


def _label_kind(spec: ModelSpec) -> Kind:
    match spec.task:
        case "anomaly":
            return "integer"
        case "classification":
            return next((_kind(tensor.datatype) for tensor in spec.outputs if tensor.name == "label"), "text")
        case _:
            return "number"


def _plain(kind: Kind, value: Any) -> Any:
    """As the kind wants it; None for what is missing, or was of another kind under a spec before this one."""
    if kind == "text":
        text = value.decode(errors="replace") if isinstance(value, bytes) else str("" if value is None else value)
        return text or None
    if not isinstance(value, (int, float)) or math.isnan(value):
        return None
    if kind == "number":
        return float(value)
    low, high = (0, 1 << 64) if kind == "unsigned" else (-1 << 63, 1 << 63)
    return int(value) if low <= value < high and value == int(value) else None


def _arrow(kind: Kind, values: Sequence[Any]) -> Any:
    from arro3.core import Array, DataType

    match kind:
        case "time":
            return Array(values, type=DataType.int64()).cast(DataType.timestamp("ms", tz="UTC"))
        case "text":
            return Array(values, type=DataType.utf8())
        case "number":
            return Array(values, type=DataType.float64())
        case "unsigned":
            return Array(values, type=DataType.uint64())
        case "integer":
            return Array(values, type=DataType.int64())
