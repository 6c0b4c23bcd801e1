import json
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli.decide import BATCH_ROWS, contexts, value_of
from cli.errors import CommandFailed
from lastmile.policies import Decision
from lastmile.spec import ModelSpec
from lastmile.tensors import Signature, TensorSpec

WHO: Any = {"actor": "test", "why": "test"}
SIGNATURE = Signature(
    (TensorSpec("sales", "FP32", (-1, 2), columns=("yesterday", "before")),),
    (TensorSpec("quantiles", "FP32", (-1, 3), columns=("0.1", "0.5", "0.9")),),
)
CSV = "yesterday,before,context.stock,note\n10,4,3,a\n6,2,50,b\n"


def forecast() -> bytes:
    """Half, all and twice what was sold yesterday."""
    weights = np.array([[0.5, 1.0, 2.0], [0.0, 0.0, 0.0]], np.float32)
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["sales", "w"], ["quantiles"])],
        "forecast",
        [helper.make_tensor_value_info("sales", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("quantiles", TensorProto.FLOAT, ["n", 3])],
        [numpy_helper.from_array(weights, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(model.SerializeToString())


@pytest.fixture
def stock(iris: Any, inference: Any) -> Any:
    """Two versions of a model that orders, the first one champion."""
    for level in (0.9, 0.5):
        decision = Decision("order", {"service_level": level, "review": ["order"]})
        spec = ModelSpec("stock", "forecast", "", SIGNATURE.inputs, SIGNATURE.outputs, decision=decision)
        iris.registry.push(spec, forecast(), signature=SIGNATURE, metrics={}, lineage={}, compression={}, **WHO)
    iris.registry.promote("stock", 1, **WHO)
    return inference


def test_rows_become_a_table_of_decisions_with_reasons(lastmile: Any, stock: Any) -> None:
    outcome = lastmile("decide", "stock", "--data", "-", stdin=CSV)
    header, first, second = outcome.out.splitlines()
    assert header.split() == ["line", "decision", "for", "a", "person", "why"]
    assert first.split()[:3] == ["2", "order", "yes"]
    assert "stays below 20.0 with 90.0 %" in first
    assert "so 17 are ordered." in first
    assert second.split()[:3] == ["3", "enough", "-"]
    assert outcome.err == "Not used: column note.\nDecided by version 1 (champion).\n"


def test_programs_get_everything(lastmile: Any, stock: Any) -> None:
    answer = lastmile("decide", "stock", "--data", "-", "--json", stdin=CSV).json
    first = answer["decisions"][0]
    assert (answer["model"], first["line"], first["version"], first["role"]) == ("stock", 2, 1, "champion")
    assert first["details"]["quantity"] == 17
    assert first["prediction"]["quantiles"] == {"0.1": 5.0, "0.5": 10.0, "0.9": 20.0}
    assert len(first["prediction_id"]) == 26


def test_a_named_version_decides_by_its_own_policy(lastmile: Any, stock: Any) -> None:
    answer = lastmile("decide", "stock", "--data", "-", "--json", "--version", 2, stdin=CSV).json
    assert [row["details"]["quantity"] for row in answer["decisions"]] == [7, 0]


def test_a_key_goes_with_every_request(lastmile: Any, stock: Any) -> None:
    assert lastmile("decide", "stock", "--data", "-", "--key", "shop-7", stdin=CSV).code == 0
    assert stock.calls[-1].headers["lastmile-routing-key"] == "shop-7"


def test_json_rows_say_their_context_beside_the_features(lastmile: Any, stock: Any) -> None:
    rows = [{"yesterday": 10, "before": 0, "context": {"stock": 3, "lead_time": 3}}]
    noted = json.dumps(rows[0] | {"note": "a\u2028b"}, ensure_ascii=False)
    for text in (json.dumps(rows), json.dumps(rows[0]), f"\n{noted}\n{noted}"):
        answer = lastmile("decide", "stock", "--data", "-", "--json", stdin=text).json
        assert {row["details"]["quantity"] for row in answer["decisions"]} == {57}


def test_many_rows_go_in_batches_with_their_own_context(lastmile: Any, stock: Any) -> None:
    count = BATCH_ROWS + 1
    text = "yesterday,before,context.stock\n" + "".join(f"10,0,{number % 20}\n" for number in range(count))
    answer = lastmile("decide", "stock", "--data", "-", "--json", stdin=text).json
    assert [row["details"]["quantity"] for row in answer["decisions"]] == [20 - n % 20 for n in range(count)]
    assert [call.method for call in stock.calls] == ["GET", "POST", "POST"]


def test_the_row_that_the_api_refuses_is_named(lastmile: Any, stock: Any) -> None:
    lines = ["10,0,1"] * 20
    lines[7] = "10,0,"
    outcome = lastmile("decide", "stock", "--data", "-", stdin="yesterday,before,context.stock\n" + "\n".join(lines))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("line 9: context is missing: the decision needs each row's 'stock' (HTTP 400).")


def test_a_model_without_a_policy_says_so(lastmile: Any, inference: Any) -> None:
    outcome = lastmile("decide", "iris", "--data", "-", stdin="[1, 2, 3]")
    assert (outcome.code, outcome.out) == (1, "")
    assert "line" not in outcome.err
    assert "version 1 of model 'iris' has no decision policy; its spec needs a [decision] (HTTP 400)." in outcome.err


def test_cells_are_numbers_lists_or_texts() -> None:
    text = 'context.limit,context.exclude,context.note,x\n3,"[""tent""]",soon,1\n,,true,2\n'
    assert contexts(text, 2) == [{"limit": 3, "exclude": ["tent"], "note": "soon"}, {"note": True}]


@pytest.mark.parametrize(
    ("words", "code"),
    [(("two words",), 1), (("iris?x#",), 1), (("iris", "--key", "a\nb"), 2), (("iris", "--key", "日本"), 2)],
)
def test_a_name_or_key_that_no_request_can_hold_is_refused(
    lastmile: Any, inference: Any, words: tuple[str, ...], code: int
) -> None:
    outcome = lastmile("decide", *words, "--data", "-", stdin="[1, 2, 3]")
    assert (outcome.code, outcome.out) == (code, "")
    assert ("(HTTP 4" if code == 1 else "--key") in outcome.err


@pytest.mark.parametrize(
    "text",
    ["NaN", "-Infinity", "[NaN]", "1e999", "[" * 100_000, "1" * 5000],
    ids=["nan", "infinity", "nan in a list", "too large", "too deep", "too long"],
)
def test_a_cell_that_no_json_can_carry_is_a_text(text: str) -> None:
    assert value_of(text) == text


def test_a_context_that_is_no_object_is_named() -> None:
    with pytest.raises(CommandFailed, match="row 2: 'context' must be an object"):
        contexts('[{"x": 1}, {"x": 1, "context": 3}]', 2)
