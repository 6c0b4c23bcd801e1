import io
import json
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli.chat import QUEUES, chosen, letter, lines, read_members, redrive
from cli.errors import CommandFailed


def test_members_are_pairs_or_a_json_object(monkeypatch: pytest.MonkeyPatch) -> None:
    assert read_members(["a=1", "b=x=y"]) == {"a": "1", "b": "x=y"}
    monkeypatch.setattr("sys.stdin", io.StringIO('{"a": "1"}'))
    assert read_members([]) == {"a": "1"}


@pytest.mark.parametrize("words", [["a"], ["a="]])
def test_a_word_without_a_value_is_named(words: list[str]) -> None:
    with pytest.raises(CommandFailed, match="'a' is not of the form"):
        read_members(words)


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}'])
def test_standard_input_must_be_an_object_of_texts(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(text))
    with pytest.raises(CommandFailed, match="JSON object"):
        read_members([])


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


def test_empty_lines_are_not_said(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = iter(["  ", "hello", ""])

    def read(prompt: str) -> str:
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    monkeypatch.setattr("builtins.input", read)
    assert list(lines()) == ["hello"]


def test_a_number_presses_a_button_with_the_reason_behind_it() -> None:
    pressable = [("slack", "approve:fraud/8"), ("standard", "helpful:yes")]
    assert chosen("1 looks right", pressable) == (pressable[0], "looks right")
    assert chosen("2", pressable) == (pressable[1], "")
    assert chosen("3 shirts", pressable) == (("standard", None), "3 shirts")
    assert chosen("hello", []) == (("standard", None), "hello")


def test_an_unknown_platform_is_named(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("chat", "send", "irc", "hello", "--local", tmp_path)
    assert outcome.code == 1
    assert "'irc' is none of slack" in outcome.err


def test_without_a_local_aws_it_says_so(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("chat", "send", "slack", "hello", "--local", tmp_path)
    assert outcome.code == 3
    assert "Run `make up`" in outcome.err


def test_a_real_platform_sends_by_itself(lastmile: Any) -> None:
    outcome = lastmile("chat", "send", "slack", "hello", "--stage", "prod")
    assert "Only the local AWS" in outcome.err


@pytest.fixture
def sqs(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("sqs", "eu-west-1")


def test_dead_letters_are_sent_again_each_to_its_queue_and_say_so(sqs: Any, capsys: pytest.CaptureFixture[str]) -> None:
    urls = {
        name: sqs.create_queue(QueueName=f"{name}.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
        for name in ("ChatQueueUrl", "ChatDeadLettersUrl", "OperationsQueueUrl", "OperationsDeadLettersUrl")
    }
    for name in ("ChatDeadLettersUrl", "OperationsDeadLettersUrl"):
        sqs.send_message(QueueUrl=urls[name], MessageBody=name, MessageGroupId="g", MessageDeduplicationId="d")
    target = SimpleNamespace(
        client=lambda service: sqs, access=SimpleNamespace(stack_outputs=lambda stage: urls), stage="dev"
    )
    redrive(SimpleNamespace(obj=SimpleNamespace(json=True, target=lambda: target)))  # type: ignore[arg-type]
    assert json.loads(capsys.readouterr().out) == {"sent": 2}
    for alive, dead in QUEUES:
        (again,) = sqs.receive_message(QueueUrl=urls[alive], MessageAttributeNames=["All"])["Messages"]
        assert again["Body"] == dead
        assert again["MessageAttributes"]["redriven"]["StringValue"]
        assert "Messages" not in sqs.receive_message(QueueUrl=urls[dead])
