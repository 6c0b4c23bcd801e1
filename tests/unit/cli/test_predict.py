import json
from typing import Any

import pytest

from cli import predict
from cli.predict import shown_output
from cli.protocols import PROTOCOLS

CSV = "length,width,height\n1,2,3\n4,5,6\n"


def test_a_csv_becomes_a_table_of_answers(lastmile: Any, inference: Any) -> None:
    outcome = lastmile("predict", "iris", "--data", "-", stdin=CSV)
    header, first, second = outcome.out.splitlines()
    assert header.split() == ["line", "label", "y", "version", "role", "prediction", "id"]
    assert first.split()[:6] == ["2", "1", "[1,", "2]", "1", "champion"]
    assert second.split()[:4] == ["3", "1", "[4,", "5]"]
    assert len(first.split()[-1]) == 26
    assert outcome.err == ""


def test_a_token_that_ends_before_the_last_row_is_renewed(
    lastmile: Any, inference: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, answer = [], inference.answer

    def noted(request: Any) -> Any:
        asked.append(request.path)
        return answer(request)

    monkeypatch.setattr(inference, "answer", noted)
    monkeypatch.setattr(predict, "BATCH_ROWS", 1)
    assert lastmile("predict", "iris", "--data", "-", stdin=CSV).code == 0
    assert asked.count("/oauth2/token") == 3  # that of this API ends at once
    assert asked[-2:] == ["/oauth2/token", "/v2/models/iris/infer"]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_every_protocol_gives_the_same_answer(lastmile: Any, inference: Any, protocol: str) -> None:
    words = ("predict", "iris", "--data", "-", "--json", "--protocol", protocol)
    predictions = lastmile(*words, stdin=CSV).json["predictions"]
    assert [(item["line"], item["outputs"]) for item in predictions] == [
        (2, {"label": 1, "y": [1, 2]}),
        (3, {"label": 1, "y": [4, 5]}),
    ]
    paths = {"v2": "/v2/models/iris/infer", "tensorflow": "/v1/models/iris:predict"}
    paths |= {"torchserve": "/predictions/iris", "mlflow": "/invocations"}
    assert inference.calls[-1].path == paths[protocol]


@pytest.mark.parametrize("protocol", ["v2", "tensorflow", "torchserve"])
def test_a_named_version_answers_whatever_is_released(lastmile: Any, inference: Any, protocol: str) -> None:
    words = ("predict", "iris", "--data", "-", "--json", "--version", 3, "--protocol", protocol)
    first = lastmile(*words, stdin="[1, 2, 3]").json["predictions"][0]
    assert (first["row"], first["outputs"], first["version"], first["role"]) == (
        1,
        {"label": 1, "y": [3, 6]},
        3,
        "pinned",
    )


def test_a_key_stays_on_one_side_of_a_canary(lastmile: Any, iris: Any, inference: Any) -> None:
    iris.registry.canary("iris", 2, weight=0.5, actor="me", why="try")

    def version(key: str) -> int:
        answer = lastmile("predict", "iris", "--data", "-", "--json", "--key", key, stdin="[1, 2, 3]").json
        found: int = answer["predictions"][0]["version"]
        return found

    by_key = {key: version(key) for key in "abcde"}
    assert set(by_key.values()) == {1, 2}
    assert {key: version(key) for key in by_key} == by_key


def test_many_rows_go_in_batches_and_come_back_in_order(lastmile: Any, inference: Any, workspace: Any) -> None:
    count = 2 * predict.BATCH_ROWS + 1
    data = workspace.write("many.csv", "length,width,height\n" + "".join(f"{n},{n + 1},0\n" for n in range(count)))
    predictions = lastmile("predict", "iris", "--data", data, "--json").json["predictions"]
    assert [item["outputs"]["y"] for item in predictions] == [[n, n + 1] for n in range(count)]
    assert [call.method for call in inference.calls] == ["GET", "POST", "POST", "POST"]


def test_a_batch_that_is_too_big_for_the_api_is_halved(lastmile: Any, inference: Any) -> None:
    inference.most_bytes = 220
    rows = [[number, 0, 0] for number in range(9)]
    predictions = lastmile("predict", "iris", "--data", "-", "--json", stdin=json.dumps(rows)).json["predictions"]
    assert [item["outputs"]["y"][0] for item in predictions] == list(range(9))


def test_the_row_that_the_api_refuses_is_named(lastmile: Any, inference: Any) -> None:
    lines = ["1,2,3"] * 40
    lines[17] = "1,,3"  # empty is null, and only the API knows whether the model takes that
    outcome = lastmile("predict", "iris", "--data", "-", stdin="length,width,height\n" + "\n".join(lines))
    assert (outcome.code, outcome.out) == (1, "")
    assert outcome.err.startswith("line 19: input 'x': element 1 is null, and the tensor is not nullable (HTTP 400).")
    assert len(inference.calls) < 20


def test_a_bad_line_is_named_before_anything_is_sent(lastmile: Any, inference: Any) -> None:
    outcome = lastmile("predict", "iris", "--data", "-", stdin=CSV + "7,eight,9\n")
    assert (outcome.code, outcome.out) == (1, "")
    assert "line 4: 'width' is 'eight', a number is wanted" in outcome.err
    assert [call.method for call in inference.calls] == ["GET"]


def test_columns_that_are_not_used_are_said_once(lastmile: Any, inference: Any) -> None:
    outcome = lastmile("predict", "iris", "--data", "-", stdin="length,width,height,colour\n1,2,3,red\n")
    assert outcome.code == 0
    assert outcome.err == "Not used: column colour.\n"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("rose", "--data", "-"), 1, "Model 'rose' does not exist (HTTP 404)."),
        (("two words", "--data", "-"), 1, "(HTTP 4"),
        (("Größe", "--data", "-"), 1, "(HTTP 4"),
        (("iris?x#", "--data", "-"), 1, "(HTTP 4"),
        (("iris", "--data", "-", "--key", "a\nb"), 2, "a routing key consists of printable ASCII characters"),
        (("iris", "--data", "-", "--key", "日本"), 2, "a routing key consists of printable ASCII characters"),
        (("iris", "--data", "-", "--version", 9), 1, "Model 'iris' has no version 9 (HTTP 404)."),
        (("iris", "--data", "none.csv"), 1, "none.csv cannot be read: No such file or directory."),
        (("iris", "--data", "-", "--protocol", "grpc"), 2, "'grpc' is none of v2, tensorflow, torchserve, mlflow"),
        (("iris", "--data", "-", "--protocol", "mlflow", "--version", 1), 2, "cannot name a version"),
    ],
)
def test_a_refusal_is_one_sentence(lastmile: Any, inference: Any, words: Any, code: int, said: str) -> None:
    outcome = lastmile("predict", *words, stdin="[1, 2, 3]")
    assert (outcome.code, outcome.out) == (code, "")
    assert said in outcome.err


def test_an_api_that_is_gone_has_its_own_exit_code(lastmile: Any, inference: Any, workspace: Any) -> None:
    stack = workspace.root / "stack/local.json"
    document = json.loads(stack.read_text()) | {"token_url": "http://127.0.0.1:9/oauth2/token"}
    stack.write_text(json.dumps(document))
    outcome = lastmile("predict", "iris", "--data", "-", stdin="[1, 2, 3]")
    assert outcome.code == 3
    assert "does not answer" in outcome.err
    assert "→ Run `lastmile doctor`." in outcome.err


@pytest.mark.parametrize(
    ("value", "columns", "shown"),
    [
        (7, [], 7),
        ("yes", [], "yes"),
        ([0.05, 0.9, 0.03, 0.02], ["a", "b", "c", "d"], "b: 90.0 %  a: 5.0 %  c: 3.0 %"),
        ([0.25, 0.75], [], "1: 75.0 %  0: 25.0 %"),
        ([1.5, -2.0], ["a", "b"], "[1.5, -2]"),
        ([1.23456789, 2.0, 3.0, 4.0], [], "[1.235, 2, 3, …]"),
        ([[1, 2], [3, 4]], [], "[[1, 2], [3, 4]]"),
        ([], [], "[]"),
    ],
)
def test_an_output_is_shown_short(value: Any, columns: list[str], shown: object) -> None:
    assert shown_output(value, columns) == shown
