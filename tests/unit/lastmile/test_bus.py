"""Events on a bus; where it matters what is heard, moto stands for EventBridge and SQS."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lastmile.bus import Bus, Client, Entry, EventRefused

PATTERN = {"source": ["lastmile"], "detail-type": ["DriftDetected"]}


class Broker:
    """EventBridge, as far as it is used: refuses the events whose turn is in `refuses`."""

    def __init__(self, refuses: set[int]) -> None:
        self.asked = 0
        self.refuses = refuses
        self.taken: list[Entry] = []
        self.sizes: list[int] = []

    def put_events(self, *, Entries: list[Entry]) -> Mapping[str, Any]:
        self.sizes.append(len(Entries))
        results: list[dict[str, str]] = []
        for entry in Entries:
            refused = self.asked in self.refuses
            self.asked += 1
            if not refused:
                self.taken.append(entry)
            results.append({"ErrorCode": "Busy", "ErrorMessage": "try again"} if refused else {"EventId": "1"})
        return {"Entries": results}


def bus_of(broker: Broker, pauses: list[float] | None = None) -> Bus:
    return Bus("default", lambda: broker, pause=([] if pauses is None else pauses).append)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"id": str(number)} for number in range(count)]


def test_events_leave_ten_at_a_time() -> None:
    broker = Broker(set())
    assert bus_of(broker).tell_all("DecisionReview", iter(numbered(23))) == 23
    assert broker.sizes == [10, 10, 3]
    assert [json.loads(entry["Detail"]) for entry in broker.taken] == numbered(23)
    entry = broker.taken[0]
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("lastmile", "DecisionReview", "default")


def test_what_is_refused_is_asked_again_and_nothing_else() -> None:
    broker, pauses = Broker({3, 7, 11}), list[float]()
    bus_of(broker, pauses).tell_all("DecisionReview", numbered(10))
    assert broker.sizes == [10, 2, 1]
    assert sorted(int(json.loads(entry["Detail"])["id"]) for entry in broker.taken) == list(range(10))
    assert pauses == [0.2, 0.4]


def test_a_bus_that_goes_on_refusing_is_an_error() -> None:
    with pytest.raises(EventRefused, match="2 events DriftDetected were refused 4 times: Busy, try again"):
        bus_of(Broker(set(range(100)))).tell_all("DriftDetected", numbered(2))


def test_without_a_bus_events_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    def connect() -> Client:
        raise AssertionError

    Bus(None, connect).tell("DriftDetected", {"model": "fraud"})
    assert json.loads(capsys.readouterr().out) == {"event": "DriftDetected", "detail": {"model": "fraud"}}


def test_nothing_to_tell_asks_nobody() -> None:
    broker = Broker(set())
    assert bus_of(broker).tell_all("DecisionReview", []) == 0
    assert broker.sizes == []


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """What a rule for drift delivers."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    with mock_aws():
        made = boto3.resource("sqs").create_queue(QueueName="heard")
        events = boto3.client("events")
        events.put_rule(Name="drift", EventPattern=json.dumps(PATTERN))
        events.put_targets(Rule="drift", Targets=[{"Id": "1", "Arn": made.attributes["QueueArn"]}])
        yield made
    boto3.DEFAULT_SESSION = None


def test_eventbridge_takes_events_also_after_a_snapshot(queue: Any) -> None:
    bus = Bus("default", lambda: boto3.client("events"))
    bus.tell("DriftDetected", {"number": 1})
    bus.reconnect()
    bus.tell("DriftDetected", {"number": 2})
    bus.tell("SomethingElse", {"number": 3})
    heard = [json.loads(message.body) for message in queue.receive_messages(MaxNumberOfMessages=10)]
    assert sorted(event["detail"]["number"] for event in heard) == [1, 2]
    assert {(event["source"], event["detail-type"]) for event in heard} == {("lastmile", "DriftDetected")}
