"""The commands against the functions themselves: the Lambda and S3 of a local AWS that holds nothing else."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from cli import watching
from functions.drift.door import Door
from lastmile.protocols.messages import Request, Response
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.cli.conftest import Api, control_of, stack
from tests.unit.drift.conftest import World
from tests.unit.drift.test_watch import labelled
from tests.unit.watching import HOUR, NOW, spec

type Lastmile = Callable[..., Any]

OF = spec(name="fraud")


@pytest.fixture
def world() -> World:
    made = World(Registry(Store.open("memory://", environ={})), Store.open("memory://", environ={}))
    made.push(OF)
    made.traffic(OF, shift=3.0)
    labelled(made, OF, right=True)
    return made


@pytest.fixture
def api(world: World, serve: Callable[[Api], Api]) -> Api:
    """Invokes the drift function as AWS Lambda does, and answers the control API."""
    door = Door(world.watch, clock=lambda: NOW)

    def invoke(request: Request) -> Response:
        assert request.path == "/2015-03-31/functions/lastmile-dev-drift/invocations"
        assert request.query == "Qualifier=live"
        return Response(200, {}, json.dumps(door(json.loads(request.body), None)).encode())

    return serve(
        Api([("/2015-03-31/functions/", "", invoke), ("/v1/feedback", "feedback", control_of(world.registry))])
    )


def test_drift_shows_the_verdict_the_names_and_the_next_step(lastmile: Lastmile, api: Api) -> None:
    outcome = lastmile("drift", "fraud")
    assert outcome.code == 0, outcome.err
    first, second, *rest = outcome.out.splitlines()
    assert first == "fraud: drifted"
    assert second.startswith("Drifted: amount")
    table = [line.split() for line in rest if line.startswith(("amount", "country"))]
    assert [row[:3] for row in table] == [["amount", "input", "drifted"], ["country", "input", "stable"]]
    assert "lastmile report open fraud" in outcome.err


def test_the_window_is_the_users(lastmile: Lastmile, api: Api) -> None:
    for text, hours in (("6h", 6.0), ("2d", 48.0), ("1w", 168.0)):
        assert lastmile("drift", "fraud", "--window", text, "--json").json["window"]["hours"] == hours
    assert lastmile("drift", "check", "fraud", "--json").json["window"]["hours"] == 24.0


@pytest.mark.parametrize("text", ["24", "h", "0h", "-1d", "900w", "1y", "xh"])
def test_a_window_must_be_a_time(lastmile: Lastmile, api: Api, text: str) -> None:
    outcome = lastmile("drift", "fraud", f"--window={text}")
    assert (outcome.code, "is no time like 24h, 7d or 2w" in outcome.err) == (2, True)


def test_a_model_and_two_files_are_told_apart(lastmile: Lastmile, api: Api) -> None:
    for command in ("check", "compare"):
        assert command in lastmile("drift", "--help").out
    assert lastmile("drift", "compare", "a.csv", "b.csv").code == 1
    assert api.calls == []


def test_an_unknown_model_is_a_sentence_and_a_next_step(lastmile: Lastmile, api: Api) -> None:
    for command in (("drift", "nobody"), ("quality", "nobody")):
        outcome = lastmile(*command)
        assert (outcome.code, outcome.err) == (1, "Model 'nobody' does not exist.\n→ See `lastmile models`.\n")


def test_a_function_that_fails_is_said_to(lastmile: Lastmile, serve: Callable[[Api], Api]) -> None:
    def failing(request: Request) -> Response:
        return Response(200, {"x-amz-function-error": "Unhandled"}, b'{"errorMessage": "out of memory"}')

    serve(Api([("/2015-03-31/functions/", "", failing)]))
    outcome = lastmile("drift", "fraud")
    assert outcome.err == "The drift function failed: out of memory\n→ Run `lastmile logs drift`.\n"


def test_a_check_that_takes_long_is_waited_for_and_asked_for_once(
    lastmile: Lastmile, serve: Callable[[Api], Api], monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(request: Request) -> Response:
        time.sleep(0.5)
        return Response(200, {}, b'{"error": "nothing to see"}')

    assert watching.PATIENCE > 900, "which the function has"
    monkeypatch.setattr(watching, "PATIENCE", 0.2)
    api = serve(Api([("/2015-03-31/functions/", "", slow)]))
    outcome = lastmile("drift", "fraud")
    assert (outcome.code, len(api.calls)) == (1, 1)
    assert "Read timeout" in outcome.err


def test_quality_shows_figures_by_version(lastmile: Lastmile, api: Api) -> None:
    outcome = lastmile("quality", "fraud")
    assert outcome.out.splitlines()[0] == "200 of 200 labels belong to a captured prediction, 1.667 % of the rows"
    head, row = (line.split() for line in outcome.out.splitlines()[1:3])
    assert dict(zip(head, [row[0], "-", *row[2:]], strict=True))["accuracy"] == "1.0"
    found = lastmile("quality", "fraud", "--days", "1", "--json").json
    assert found["versions"][0]["metrics"]["accuracy"]["value"] == 1.0
    assert found["since"] == "2026-03-13T15:00:00.000Z"


def test_quality_without_labels_says_so(lastmile: Lastmile, api: Api) -> None:
    outcome = lastmile("quality", "fraud", "--days", "0.01")
    assert outcome.out.splitlines()[1] == "No label has arrived for a prediction of this time."


ID = "01KKPAB4R05E703WS51CQRM4ZP"


def test_a_label_is_sent_with_the_scope_it_needs(lastmile: Lastmile, api: Api) -> None:
    outcome = lastmile("feedback", "fraud", ID, "1", "--row", "2")
    assert outcome.out == "1 label taken, 1 of them new\n", outcome.err
    (call,) = api.calls
    assert call.headers["authorization"] == "Bearer lastmile/feedback"
    (sent,) = json.loads(call.body)
    assert (sent["prediction_id"], sent["label"], sent["row"], sent["source"]) == (ID, 1, 2, "lastmile")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("feedback", "fraud", "nonsense", 1), "'nonsense' is no prediction id; one has 26 letters and digits"),
        (("report", "list", "fraud", "--kind", "banana"), "'banana' is none of drift, data, run"),
    ],
)
def test_what_cannot_be_meant_is_wrong_usage(
    lastmile: Lastmile, reports: Path, words: tuple[Any, ...], said: str
) -> None:
    outcome = lastmile(*words)
    assert outcome.code == 2
    assert said in outcome.err


def test_a_file_of_labels_is_sent_in_batches(lastmile: Lastmile, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text("\n".join(json.dumps({"prediction_id": ID, "label": 1, "row": row}) for row in range(600)) + "\n\n")
    assert lastmile("feedback", "fraud", "--file", str(file), "--json").json == {"accepted": 600, "new": 600}
    assert [len(json.loads(call.body)) for call in api.calls] == [500, 100]


def test_the_label_that_the_api_refuses_is_named_with_what_was_taken(
    lastmile: Lastmile, api: Api, tmp_path: Path
) -> None:
    given = [{"prediction_id": ID, "label": 1, "row": row} for row in range(600)]
    given[550]["label"] = "fraud"
    file = tmp_path / "labels.jsonl"
    file.write_text("\n" + "\n".join(map(json.dumps, given)))
    outcome = lastmile("feedback", "fraud", "--file", str(file))
    assert (outcome.code, outcome.out) == (1, "")
    first, second = outcome.err.splitlines()
    assert first == f"{file}, line 552: body: 'label' must be an integer for this model (HTTP 422)."
    assert second == "→ 550 labels were taken; sent again they count once."


def test_what_the_api_refuses_is_said(lastmile: Lastmile, api: Api) -> None:
    outcome = lastmile("feedback", "fraud", ID, "fraud")
    assert outcome.code == 1
    assert "'label' must be an integer for this model (HTTP 422)" in outcome.err


@pytest.mark.parametrize("words", [(), (ID,), (ID, "1", "--file", __file__)])
def test_an_id_and_a_label_or_a_file_are_needed(lastmile: Lastmile, api: Api, words: tuple[str, ...]) -> None:
    assert lastmile("feedback", "fraud", *words).code == 2
    assert api.calls == []


@pytest.mark.parametrize(
    ("text", "sent"), [("-1.5e2", -150.0), *((text, text) for text in ("nan", "007", "1_0", "٣", "1e999"))]
)
def test_a_label_is_a_number_where_json_would_have_one(
    lastmile: Lastmile, serve: Callable[[Api], Api], text: str, sent: Any
) -> None:
    api = serve(Api([("/v1/feedback", "feedback", lambda _: Response(202, {}, b'{"accepted": 1, "new": 1}'))]))
    assert lastmile("feedback", "fraud", "--", ID, text).code == 0
    assert [given["label"] for given in json.loads(api.calls[0].body)] == [sent]


def test_only_a_line_feed_ends_a_line_of_labels(
    lastmile: Lastmile, serve: Callable[[Api], Api], tmp_path: Path
) -> None:
    api = serve(Api([("/v1/feedback", "feedback", lambda _: Response(202, {}, b'{"accepted": 2, "new": 2}'))]))
    file = tmp_path / "labels.jsonl"
    text = '{"prediction_id": "a", "label": "one\u2028\u0085two"}\r\n{"prediction_id": "b", "label": "x"}'
    file.write_text(text, encoding="utf-8-sig")
    assert lastmile("feedback", "fraud", "--file", str(file)).code == 0
    assert [given["label"] for given in json.loads(api.calls[0].body)] == ["one\u2028\u0085two", "x"]


def test_a_file_of_labels_that_is_no_utf_8_is_said_so(lastmile: Lastmile, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_bytes('{"label": "é"}'.encode("latin-1"))
    assert lastmile("feedback", "fraud", "--file", str(file)).err.startswith(f"{file} is no UTF-8: ")


def test_a_file_that_is_something_else_is_named_with_its_line(lastmile: Lastmile, api: Api, tmp_path: Path) -> None:
    file = tmp_path / "labels.jsonl"
    file.write_text('{"prediction_id": "x"}\n[1]\n')
    assert lastmile("feedback", "fraud", "--file", str(file)).err == f"{file}, line 2: that is no JSON object.\n"


@pytest.fixture
def reports(s3_environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, world: World) -> Path:
    """A stack whose data bucket holds the pages of two checks; where the command puts what it opens."""
    monkeypatch.setenv("LASTMILE_LOCAL", str(tmp_path))
    url = s3_environ["AWS_ENDPOINT_URL"]
    (tmp_path / "local.json").write_text(json.dumps(stack(url) | {"data_bucket": f"data-{tmp_path.name}"}))
    client = boto3.client(
        "s3", endpoint_url=url, region_name="us-east-1", aws_access_key_id="testing", aws_secret_access_key="testing"
    )
    client.create_bucket(Bucket=f"data-{tmp_path.name}")
    for hours in (0, 1):
        report = world.watch.check("fraud", NOW + hours * HOUR)
        body = world.data.get(report["page"]).data
        client.put_object(Bucket=f"data-{tmp_path.name}", Key=report["page"], Body=body)
    client.close()
    return tmp_path


def test_the_newest_report_is_opened(lastmile: Lastmile, reports: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    launched: list[str] = []
    monkeypatch.setattr("typer.launch", launched.append)
    outcome = lastmile("report", "open", "fraud")
    file = reports / "reports/fraud/drift/20260314T160000Z.html"
    assert (outcome.out, launched) == (f"{file}\n", [file.as_uri()]), outcome.err
    assert "<h1>fraud: " in file.read_text()
    assert lastmile("report", "open", "fraud", "--no-browser").out == f"{file}\n"
    assert lastmile("report", "open", "fraud", "--json").json["report"] == "reports/fraud/drift/20260314T160000Z.html"
    assert len(launched) == 1


def test_reports_are_listed_newest_first(lastmile: Lastmile, reports: Path) -> None:
    found = lastmile("report", "list", "fraud").out.splitlines()
    assert found == [f"reports/fraud/drift/20260314T1{hour}0000Z.html" for hour in (6, 5)]
    assert lastmile("report", "list", "fraud", "--json").json == {"model": "fraud", "reports": found}


def test_without_a_report_there_is_a_next_step(lastmile: Lastmile, reports: Path) -> None:
    outcome = lastmile("report", "open", "other")
    assert outcome.err == "There is no drift report on other yet.\n→ Run `lastmile drift other`.\n"
    assert lastmile("report", "open", "other", "--kind", "run").err.endswith("→ See `lastmile runs`.\n")
