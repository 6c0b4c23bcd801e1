"""Rows and columns of plain JSON values against a signature: what the row-wise protocols share."""

from collections.abc import Sequence
from typing import Any

from lastmile.errors import InvalidInput, ModelFailed
from lastmile.predictor import Served
from lastmile.tensors import DATATYPES, Array, TensorSpec, array_from_json, nested_json


def tensor(value: object, spec: TensorSpec) -> Array:
    """Nested values as the input's array; a column of scalars fits an input of shape [-1, 1] too."""
    try:
        array = array_from_json(
            _decoded(value) if spec.datatype == "BYTES" else value,
            DATATYPES[spec.datatype],
            f"input '{spec.name}'",
            nullable=spec.nullable,
        )
    except RecursionError:
        raise InvalidInput(f"input '{spec.name}': data is nested too deep") from None
    if array.ndim + 1 == len(spec.shape) and spec.shape[-1] in (1, -1):
        return array.reshape(*array.shape, 1)
    return array


def feeds_from_columns(value: object, served: Served) -> dict[str, Array]:
    """`{"input": values, …}`, or the values alone where the model has one input."""
    specs = served.loaded.inputs
    if type(value) is dict and set(value) != {"b64"}:
        return {name: tensor(column, _known(name, specs)) for name, column in value.items()}
    return {_only(specs).name: tensor(value, _only(specs))}


def feeds_from_instances(instances: list[Any], served: Served) -> dict[str, Array]:
    """A list of rows: objects that name their inputs, or plain values where the model has one input."""
    if not instances:
        raise InvalidInput("instances is empty")
    specs = served.loaded.inputs
    first = instances[0]
    if type(first) is not dict or set(first) == {"b64"}:
        return {_only(specs).name: tensor(instances, _only(specs))}
    for index, row in enumerate(instances):
        if type(row) is not dict or row.keys() != first.keys():
            raise InvalidInput(f"instances[{index}] does not have the inputs of instances[0]: {', '.join(first)}")
    return {name: tensor([row[name] for row in instances], _known(name, specs)) for name in first}


def feeds_from_frame(columns: Sequence[str], rows: list[list[Any]], served: Served) -> dict[str, Array]:
    """A data frame: each input takes the columns that the signature names for it, or the one of its own name.

    Columns that no input wants are ignored, as MLflow does.
    """
    at = {name: index for index, name in enumerate(columns)}
    if len(at) != len(columns):
        raise InvalidInput("columns names one column twice")
    feeds: dict[str, Array] = {}
    for spec in served.loaded.inputs.values():
        wanted = spec.columns or (spec.name,)
        missing = [name for name in wanted if name not in at]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InvalidInput(f"missing column{'s' if len(missing) > 1 else ''}: {', '.join(missing[:5])}{more}")
        if spec.columns:
            feeds[spec.name] = tensor([[row[at[name]] for name in wanted] for row in rows], spec)
        else:
            feeds[spec.name] = tensor([row[at[spec.name]] for row in rows], spec)
    return feeds


def rows_of(outputs: dict[str, Array]) -> Any:
    """One value per row, or one object per row where the model has several outputs.

    Raises ModelFailed where these do not have the same rows: a graph may well give one number for all of them.
    """
    values = {name: nested_json(array, f"output '{name}'") for name, array in outputs.items()}
    if len(values) == 1:
        return next(iter(values.values()))
    names = list(values)
    try:
        return [dict(zip(names, row, strict=True)) for row in zip(*values.values(), strict=True)]
    except (TypeError, ValueError):  # one has no rows, or other ones
        shapes = ", ".join(f"'{name}' has shape {list(array.shape)}" for name, array in outputs.items())
        raise ModelFailed(f"the outputs are not of the same rows: {shapes}") from None


def columns_of(outputs: dict[str, Array]) -> Any:
    """All values of an output together, or one entry per output where the model has several."""
    values = {name: nested_json(array, f"output '{name}'") for name, array in outputs.items()}
    return next(iter(values.values())) if len(values) == 1 else values


def _known(name: str, specs: dict[str, TensorSpec]) -> TensorSpec:
    if name not in specs:
        raise InvalidInput(f"input '{name}' is unknown; the model takes {', '.join(specs)}")
    return specs[name]


def _only(specs: dict[str, TensorSpec]) -> TensorSpec:
    if len(specs) != 1:
        raise InvalidInput(f"name the inputs: the model takes {', '.join(specs)}")
    return next(iter(specs.values()))


def _decoded(value: Any) -> Any:
    """TensorFlow Serving's {"b64": "…"} wherever it stands for a string."""
    if type(value) is list:
        return [_decoded(element) for element in value]
    if type(value) is not dict or set(value) != {"b64"}:
        return value
    import base64  # hardly anybody sends it

    try:
        return base64.b64decode(value["b64"], validate=True).decode()
    except (TypeError, ValueError):  # binascii.Error is a ValueError
        raise InvalidInput("a b64 value is not base64 of UTF-8 text") from None
