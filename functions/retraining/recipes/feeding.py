"""From a table to the tensors of a spec."""

from collections.abc import Iterable

import numpy as np

from functions.retraining.recipes.contract import Examples
from functions.retraining.table import Table
from lastmile.spec import ModelSpec
from lastmile.tensors import DATATYPES, Array, TensorSpec


def feeds(table: Table, inputs: Iterable[TensorSpec]) -> dict[str, Array]:
    """Tensor name -> array: the columns of each input beside each other, or the one column that bears its name."""
    return {tensor.name: tensor_of(table, tensor) for tensor in inputs}


def tensor_of(table: Table, tensor: TensorSpec) -> Array:
    names = tensor.columns or (tensor.name,)
    columns = [converted(table[name], tensor.datatype) for name in names]
    if len(tensor.shape) == 1:
        return columns[0]
    return np.stack(columns, axis=1)


def converted(column: Array, datatype: str) -> Array:
    """As the datatype; a number beyond its range becomes the largest that it holds."""
    dtype = DATATYPES[datatype].dtype
    if dtype.kind == "O":
        return column.astype(object)
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype) if dtype.kind in "iu" else None
    if limits is None:
        return np.asarray(column != 0)
    return np.clip(column, limits.min, limits.max).astype(dtype)


def groups(table: Table, spec: ModelSpec) -> dict[str, Array]:
    """The sensitive columns that the rows have."""
    wanted = [name for name, feature in spec.features.items() if feature.sensitive]
    return {name: table[name] for name in wanted if name in table.columns}


def examples(rows: Table, spec: ModelSpec) -> Examples:
    """The rows as they are, with the column of the target as the truth where there is one."""
    target = None if spec.training is None else spec.training.target
    known = target is not None and target in rows.columns
    name = "label" if spec.task in ("classification", "anomaly") else "value"
    return Examples(feeds(rows, spec.inputs), {name: rows[str(target)]} if known else {}, groups(rows, spec))
