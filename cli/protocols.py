"""How rows are asked for and answered in each protocol of the API, seen from a client."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cli.rows import Row
    from lastmile.tensors import TensorSpec


@dataclass(frozen=True, slots=True)
class Interface:
    """What the API says the model takes and gives."""

    model: str
    version: int | None
    inputs: "tuple[TensorSpec, ...]"
    outputs: "tuple[TensorSpec, ...]"


@dataclass(frozen=True, slots=True)
class Protocol:
    """One way of asking: where, in which words, and where in the answer each row's outputs stand."""

    path: Callable[[Interface], str]
    request: "Callable[[Interface, Sequence[Row]], Any]"
    outputs: Callable[[Interface, Any, int], list[dict[str, Any]]]


def v2_path(interface: Interface) -> str:
    named = f"/versions/{interface.version}" if interface.version is not None else ""
    return f"/v2/models/{interface.model}{named}/infer"


def v2_request(interface: Interface, batch: "Sequence[Row]") -> Any:
    return {"inputs": [v2_tensor(spec, [row.inputs[spec.name] for row in batch]) for spec in interface.inputs]}


def v2_tensor(spec: "TensorSpec", values: list[Any]) -> dict[str, Any]:
    from cli.rows import shape_of  # with numpy behind it

    return {"name": spec.name, "datatype": spec.datatype, "shape": shape_of(values), "data": values}


def v2_outputs(interface: Interface, document: Any, count: int) -> list[dict[str, Any]]:
    """Each row's share of every output; an output that is not one entry per row belongs to all of them."""
    found: list[dict[str, Any]] = [{} for _ in range(count)]
    for output in document["outputs"]:
        shape, data = output["shape"], output["data"]
        by_row = shape[:1] == [count]
        width = len(data) // count
        for index, outputs in enumerate(found):
            part = data[index * width : (index + 1) * width] if by_row else data
            outputs[output["name"]] = part[0] if by_row and len(shape) == 1 else part
    return found


def tensorflow_path(interface: Interface) -> str:
    named = f"/versions/{interface.version}" if interface.version is not None else ""
    return f"/v1/models/{interface.model}{named}:predict"


def torchserve_path(interface: Interface) -> str:
    return f"/predictions/{interface.model}" + (f"/{interface.version}" if interface.version is not None else "")


def mlflow_path(interface: Interface) -> str:
    return f"/invocations?model={interface.model}"


def row_objects(interface: Interface, batch: "Sequence[Row]") -> list[dict[str, Any]]:
    return [dict(row.inputs) for row in batch]


def frame(interface: Interface, batch: "Sequence[Row]") -> Any:
    columns = [name for spec in interface.inputs for name in (spec.columns or (spec.name,))]
    return {"dataframe_split": {"columns": columns, "data": [frame_row(interface, row) for row in batch]}}


def frame_row(interface: Interface, row: "Row") -> list[Any]:
    values: list[Any] = []
    for spec in interface.inputs:
        value = row.inputs[spec.name]
        values += value if spec.columns else [value]
    return values


def row_outputs(interface: Interface, predictions: list[Any]) -> list[dict[str, Any]]:
    """A row is an object of outputs, or the value alone where the model gives one."""
    if len(interface.outputs) == 1:
        return [{interface.outputs[0].name: value} for value in predictions]
    return predictions


PROTOCOLS: dict[str, Protocol] = {
    "v2": Protocol(v2_path, v2_request, v2_outputs),
    "tensorflow": Protocol(
        tensorflow_path,
        lambda interface, batch: {"instances": row_objects(interface, batch)},
        lambda interface, document, _: row_outputs(interface, document["predictions"]),
    ),
    "torchserve": Protocol(
        torchserve_path, row_objects, lambda interface, document, _: row_outputs(interface, document)
    ),
    "mlflow": Protocol(
        mlflow_path, frame, lambda interface, document, _: row_outputs(interface, document["predictions"])
    ),
}
