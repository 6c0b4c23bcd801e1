"""Events on a bus, heard by a queue: moto stands for EventBridge and SQS."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.drift.bus import Bus, EventNotSent

PATTERN = {"source": ["lastmile"], "detail-type": ["DriftDetected"]}


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a rule for drift delivers."""
    for name, value in {
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_DEFAULT_REGION": "eu-west-1",
    }.items():
        monkeypatch.setenv(name, value)
    with mock_aws():
        made = boto3.resource("sqs").create_queue(QueueName="heard")
        events = boto3.client("events")
        events.put_rule(Name="drift", EventPattern=json.dumps(PATTERN))
        events.put_targets(Rule="drift", Targets=[{"Id": "1", "Arn": made.attributes["QueueArn"]}])
        yield made


def heard(queue: Any) -> list[dict[str, Any]]:
    return [json.loads(message.body) for message in queue.receive_messages(MaxNumberOfMessages=10)]


def test_an_event_reaches_whoever_listens(queue: Any) -> None:
    Bus("default").tell("DriftDetected", {"model": "fraud", "id": "x"})
    (event,) = heard(queue)
    assert (event["source"], event["detail-type"], event["detail"]) == (
        "lastmile",
        "DriftDetected",
        {"model": "fraud", "id": "x"},
    )


def test_without_a_bus_nothing_is_sent(queue: Any) -> None:
    Bus(None).tell("DriftDetected", {"model": "fraud"})
    assert heard(queue) == []


def test_after_a_snapshot_it_connects_anew(queue: Any) -> None:
    bus = Bus("default")
    bus.tell("DriftDetected", {"number": 1})
    bus.reconnect()
    bus.tell("DriftDetected", {"number": 2})
    assert sorted(event["detail"]["number"] for event in heard(queue)) == [1, 2]


def test_an_event_that_is_refused_is_an_error() -> None:
    class Refusing:
        def put_events(self, **entries: Any) -> dict[str, Any]:
            return {"FailedEntryCount": 1, "Entries": [{"ErrorMessage": "no such bus"}]}

    bus = Bus("default")
    bus._client = Refusing()
    with pytest.raises(EventNotSent, match="DriftDetected was refused: no such bus"):
        bus.tell("DriftDetected", {})
