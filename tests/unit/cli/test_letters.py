import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli import letters
from cli.chat import QUEUES, redrive
from cli.letters import letter, listed, received, send_again
from functions.chat.queues import DeadLetters


def test_a_dead_letter_tells_whose_it_is_and_why() -> None:
    reason = {"reason": {"StringValue": "Slack refuses the answer"}}
    body = '{"platform": "slack", "conversation": "slack:D1"}'
    assert letter({"Body": body, "MessageAttributes": reason}) == {
        "platform": "slack",
        "conversation": "slack:D1",
        "reason": "Slack refuses the answer",
    }
    assert letter({"Body": body})["reason"] == "tried too often"


@pytest.mark.parametrize("body", ["no JSON", "[]", '"text"', ""])
def test_a_dead_letter_that_nobody_can_read_is_listed_too(body: str) -> None:
    assert letter({"Body": body}) == {"platform": None, "conversation": None, "reason": "tried too often"}


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setattr(letters, "SECONDS_WAITED", 0)
    with mock_aws():
        yield boto3.client("sqs", "eu-west-1")


def queue(sqs: Any, name: str) -> str:
    url: str = sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    return url


def test_dead_letters_are_sent_again_each_to_its_queue_and_say_so(sqs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {name: queue(sqs, name) for pair in QUEUES for name in pair}
    for _, dead in QUEUES:
        DeadLetters(sqs, urls[dead]).put(dead, "g", "tried 8 times", identity="d")
    target = SimpleNamespace(
        client=lambda service: sqs, access=SimpleNamespace(stack_outputs=lambda stage: urls), stage="dev"
    )
    redrive(SimpleNamespace(obj=SimpleNamespace(json=True, target=lambda: target)))  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out) == {"sent": 2}
    for alive, dead in QUEUES:
        (again,) = sqs.receive_message(QueueUrl=urls[alive], MessageAttributeNames=["All"])["Messages"]
        assert again["Body"] == dead
        assert again["MessageAttributes"]["redriven"]["StringValue"]
        assert list(received(sqs, urls[dead])) == []


def test_what_was_listed_can_be_sent_again_at_once(sqs: Any) -> None:
    dead, alive = queue(sqs, "dead"), queue(sqs, "alive")
    DeadLetters(sqs, dead).put("{}", "g", "no", identity="d")
    assert listed(sqs, dead) == [{"platform": None, "conversation": None, "reason": "no"}]
    assert send_again(sqs, dead, alive) == 1
    assert listed(sqs, dead) == []


def test_all_servers_are_asked_until_a_letter_comes_back() -> None:
    """Those of many letters, the first of which is hidden no more before the last was read."""
    pages = iter([["a", "b"], ["c"], ["d", "a"], ["b"]])
    asked: list[dict[str, Any]] = []

    def receive_message(**request: Any) -> dict[str, Any]:
        asked.append(request)
        return {"Messages": [{"MessageId": name} for name in next(pages)]}

    client = SimpleNamespace(receive_message=receive_message)
    assert [message["MessageId"] for message in received(client, "url")] == ["a", "b", "c", "d"]
    assert [request["WaitTimeSeconds"] for request in asked] == [1, 1, 1]


class Refusing:
    """SQS with a worker that refuses whatever is sent to it, faster than anybody looks."""

    def __init__(self, sqs: Any, dead: DeadLetters) -> None:
        self._sqs = sqs
        self._dead = dead

    def send_message(self, **message: Any) -> None:
        sent = self._sqs.send_message(**message)
        redriven = message["MessageAttributes"]["redriven"]["StringValue"]
        group, identity = message["MessageGroupId"], sent["MessageId"]
        self._dead.put(message["MessageBody"], group, "again", identity=identity, redriven=redriven)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sqs, name)


def test_a_letter_that_is_refused_again_meanwhile_waits_for_the_next_time(sqs: Any) -> None:
    dead, alive = queue(sqs, "dead"), queue(sqs, "alive")
    dead_letters = DeadLetters(sqs, dead)
    for number in range(3):
        dead_letters.put(f'{{"conversation": "{number}"}}', f"g{number % 2}", "first", identity=str(number))
    for _ in range(2):
        assert send_again(Refusing(sqs, dead_letters), dead, alive) == 3
        assert sorted((each["conversation"], each["reason"]) for each in listed(sqs, dead)) == [
            ("0", "again"),
            ("1", "again"),
            ("2", "again"),
        ]
