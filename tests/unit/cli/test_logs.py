import json
from collections.abc import Iterator
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
import typer
from moto import mock_aws

from cli import logs
from cli.errors import CommandFailed
from cli.target import Options, Target

GROUP = "/aws/lambda/lastmile-dev-inference"
START = datetime(2026, 5, 4, 10, 0, tzinfo=UTC)


@pytest.fixture
def client() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client(
            "logs", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_log_group(logGroupName=GROUP)
        client.create_log_stream(logGroupName=GROUP, logStreamName="stream")
        yield client


def put(client: Any, *messages: str, at: datetime | None = None) -> None:
    at = at or datetime.now(UTC)
    entries = [
        {"timestamp": int(at.timestamp() * 1000) + index, "message": text} for index, text in enumerate(messages)
    ]
    client.put_log_events(logGroupName=GROUP, logStreamName="stream", logEvents=entries)


def messages(events: Iterator[dict[str, Any]], count: int) -> list[str]:
    return [next(events)["message"] for _ in range(count)]


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("90s", timedelta(seconds=90)),
        ("10m", timedelta(minutes=10)),
        ("2h", timedelta(hours=2)),
        ("1d", timedelta(days=1)),
    ],
)
def test_spans_are_a_number_and_a_unit(text: str, span: timedelta) -> None:
    assert logs.span(text) == span


@pytest.mark.parametrize("text", ["", "10", "m", "-5m", "10 m", "1w", "10m5s"])
def test_anything_else_is_a_usage_error(text: str) -> None:
    with pytest.raises(typer.BadParameter, match="90s, 10m, 2h or 1d"):
        logs.span(text)


@pytest.mark.parametrize("text", ["30000d", "999999d", "999999999999d", "9" * 5000 + "s"], ids=range(4))
def test_from_longer_ago_than_there_are_logs_is_from_the_beginning(
    client: Any, text: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    put(client, "hello")
    members: dict[str, Any] = {one.name: None for one in fields(Target) if one.init}
    target = Target(**members | {"functions": {"inference": "lastmile-dev-inference"}})
    monkeypatch.setattr(Target, "client", lambda self, service: client)
    monkeypatch.setattr(Options, "target", lambda self: target)
    context: Any = SimpleNamespace(obj=Options())
    logs.logs(context, "inference", since=text)
    assert capsys.readouterr().out.endswith(" hello\n")


def test_events_begin_at_the_start(client: Any) -> None:
    now = datetime.now(UTC)
    put(client, "old", at=now - timedelta(hours=1))
    put(client, "new", at=now)
    assert [event["message"] for event in logs.events(client, GROUP, now - timedelta(minutes=1))] == ["new"]


def test_following_gives_each_event_once(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "POLL_SECONDS", 0)
    put(client, "one", "two")
    events = logs.following(client, GROUP, datetime.now(UTC) - timedelta(minutes=1))
    assert messages(events, 2) == ["one", "two"]
    put(client, "three")
    assert messages(events, 1) == ["three"]


def test_following_sees_what_arrives_late(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "POLL_SECONDS", 0)
    put(client, "one")
    events = logs.following(client, GROUP, datetime.now(UTC) - timedelta(minutes=1))
    assert messages(events, 1) == ["one"]
    put(client, "late", at=datetime.now(UTC) - logs.LATE / 2)
    assert messages(events, 1) == ["late"]


def test_events_without_an_id_are_told_apart(client: Any) -> None:
    event = {"logStreamName": "a", "timestamp": 1, "message": "x"}
    others = [event | {"logStreamName": "b"}, event | {"timestamp": 2}, event | {"message": "y"}]
    assert len({logs.identity_of(item) for item in (event, *others)}) == 4
    assert logs.identity_of(event) == logs.identity_of(dict(event))


def test_a_function_that_never_wrote_has_a_next_step(client: Any) -> None:
    with pytest.raises(CommandFailed, match="no log group /aws/lambda/none") as failure:
        list(logs.events(client, "/aws/lambda/none", START))
    assert failure.value.next_step == "Run `lastmile doctor`."


def test_a_line_has_its_time_and_json_has_all(capsys: pytest.CaptureFixture[str]) -> None:
    event = {"timestamp": int(START.timestamp() * 1000), "message": "hello\n", "logStreamName": "stream"}
    logs.write(event, as_json=False)
    assert capsys.readouterr().out == "2026-05-04 10:00:00 hello\n"
    logs.write(event, as_json=True)
    assert json.loads(capsys.readouterr().out) == {
        "at": "2026-05-04T10:00:00+00:00",
        "stream": "stream",
        "message": "hello\n",
    }
