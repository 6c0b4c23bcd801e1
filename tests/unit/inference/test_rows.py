"""Rows that do not go together: a sentence, through every protocol."""

import json
from typing import Any

import pytest
from onnx import TensorProto, helper

from lastmile.protocols.messages import Request, Response
from lastmile.registry import Registry
from tests.unit.inference.doors import WHO, open_serving, push
from tests.unit.inference.graphs import OPSET

type Shape = list[str | int]


def graph(*outputs: tuple[str, Shape]) -> bytes:
    """total = x + y, which a graph also gives for one row of y; several = the size of x, one number."""
    of = {"total": ("Add", ["x", "y"], TensorProto.FLOAT), "several": ("Size", ["x"], TensorProto.INT64)}
    values = [helper.make_tensor_value_info(name, of[name][2], shape) for name, shape in outputs]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [axis, 2]) for name, axis in (("x", "n"), ("y", "m"))
    ]
    nodes = [helper.make_node(of[name][0], of[name][1], [name]) for name, _ in outputs]
    made = helper.make_graph(nodes, "sum", inputs, values)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture(scope="module")
def ask() -> Any:
    serving = open_serving()
    push(serving, "sum", graph(("total", ["k", 2])))
    push(serving, "mixed", graph(("total", ["k", 2]), ("several", [])))
    for model in ("sum", "mixed"):
        Registry(serving.store).promote(model, 1, **WHO)

    def asked(path: str, document: Any, query: str = "") -> Response:
        response = serving.protocols.answer(Request("POST", path, query, {}, json.dumps(document).encode()))
        assert response is not None
        return response

    return asked


def tensor(name: str, rows: int) -> dict[str, Any]:
    return {"name": name, "datatype": "FP32", "shape": [rows, 2], "data": [1.0] * 2 * rows}


COLUMNS = {"inputs": {"x": [[1, 1]] * 3, "y": [[1, 1]]}}


@pytest.mark.parametrize(
    ("path", "document", "query"),
    [
        ("/v2/models/sum/infer", {"inputs": [tensor("x", 3), tensor("y", 1)]}, ""),
        ("/v1/models/sum:predict", COLUMNS, ""),
        ("/invocations", COLUMNS, "model=sum"),
    ],
)
def test_inputs_of_different_rows_are_refused_by_name(ask: Any, path: str, document: Any, query: str) -> None:
    refused = ask(path, document, query)
    assert refused.status == 400
    assert b"input 'x' has 3 rows and input 'y' has 1" in refused.body


def test_inputs_of_the_same_rows_are_answered(ask: Any) -> None:
    answered = ask("/v2/models/sum/infer", {"inputs": [tensor("x", 3), tensor("y", 3)]})
    assert json.loads(answered.body)["outputs"][0]["data"] == [2.0] * 6


def test_outputs_that_are_not_of_the_same_rows_are_told_where_rows_are_asked_for(ask: Any) -> None:
    told = ask("/v1/models/mixed:predict", {"instances": [{"x": [1, 1], "y": [1, 1]}] * 3})
    assert told.status == 500
    assert b"'total' has shape [3, 2], 'several' has shape []" in told.body
    by_column = ask("/v1/models/mixed:predict", {"inputs": {"x": [[1, 1]] * 3, "y": [[1, 1]] * 3}})
    assert json.loads(by_column.body)["outputs"]["several"] == [6]


@pytest.mark.parametrize(("row", "found"), [([0, 0], []), ([0, 1], [0, 1]), ([1, 1], [[0, 0], [0, 1]])])
def test_torchserve_gives_all_that_a_model_finds_in_one_row(row: list[int], found: list[Any]) -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["at"]), helper.make_node("Transpose", ["at"], ["y"])]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.INT64, ["found", 2])]
    made = helper.make_graph(nodes, "finding", inputs, outputs)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
    serving = open_serving()
    push(serving, "finding", bytes(model.SerializeToString()))
    Registry(serving.store).promote("finding", 1, **WHO)
    response = serving.protocols.answer(Request("POST", "/predictions/finding", "", {}, json.dumps(row).encode()))
    assert response is not None
    assert (response.status, json.loads(response.body)) == (200, found)
