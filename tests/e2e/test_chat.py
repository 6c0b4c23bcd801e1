"""The support chat on a real deployment: signed webhooks in, answers out through the platforms' own APIs."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from cli.chat import received
from cli.desk import Desk, desk
from cli.local import LocalAws
from cli.platforms import MAKE
from cli.target import Answer, Target
from cli.webhooks import SIGN
from lastmile.ulid import new_ulid

QUESTIONS = {
    "how much is shipping?": "4.90 euros",
    "how do I wash a down jacket?": "tennis balls",
    "how can I pay?": "PayPal",
}
SECONDS = 60.0


@pytest.fixture(scope="module")
def connected(local_aws: LocalAws, stack: Target) -> dict[str, Any]:
    chat: dict[str, Any] = json.loads((local_aws.folder / "local.json").read_bytes())["chat"]
    return chat


@pytest.fixture
def heard(connected: dict[str, Any]) -> Iterator[Desk]:
    with desk(connected["reply_port"]) as found:
        yield found


def post(stack: Target, connected: dict[str, Any], platform: str, document: dict[str, Any]) -> Answer:
    body = json.dumps(document).encode()
    headers = SIGN[platform](body, connected[platform]["secret"], time.time())
    return stack.call("POST", f"/hooks/{platform}", body=body, headers=headers | {"content-type": "application/json"})


@pytest.mark.parametrize("platform", MAKE)
def test_a_question_on_any_platform_is_answered_there(
    stack: Target, connected: dict[str, Any], heard: Desk, platform: str
) -> None:
    assert post(stack, connected, platform, MAKE[platform]("how much is shipping?", new_ulid(), None)).status == 200
    reply = heard.wait(SECONDS)
    assert reply is not None
    assert "4.90 euros" in reply.text


def test_what_is_delivered_four_times_at_once_is_answered_once(
    stack: Target, connected: dict[str, Any], heard: Desk
) -> None:
    document = MAKE["slack"]("how much is shipping?", "D-four", None)
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(lambda _: post(stack, connected, "slack", document), range(4)))
    assert [answer.status for answer in answers] == [200] * 4
    assert heard.wait(SECONDS) is not None
    post(stack, connected, "slack", document)
    assert heard.wait(3) is None


def test_a_conversation_is_answered_in_its_order(stack: Target, connected: dict[str, Any], heard: Desk) -> None:
    for question in QUESTIONS:
        post(stack, connected, "telegram", MAKE["telegram"](question, "D-order", None))
        time.sleep(0.01)
    for expected in QUESTIONS.values():
        reply = heard.wait(SECONDS)
        assert reply is not None
        assert expected in reply.text


@pytest.mark.parametrize("platform", MAKE)
def test_a_forged_request_is_refused_and_queues_nothing(
    stack: Target, connected: dict[str, Any], heard: Desk, platform: str
) -> None:
    body = json.dumps(MAKE[platform]("how much is shipping?", "D-forged", None)).encode()
    headers = SIGN[platform](body, connected[platform]["secret"], time.time())
    name = next(iter(reversed(headers)))
    forged = headers | {name: headers[name][::-1], "content-type": "application/json"}
    answer = stack.call("POST", f"/hooks/{platform}", body=body, headers=forged)
    assert (answer.status, answer.body) == (401, b'{"error":"unauthorised"}')
    assert heard.wait(1) is None


def test_an_unanswerable_message_is_a_dead_letter_with_its_reason_and_can_be_sent_again(
    stack: Target, connected: dict[str, Any], heard: Desk
) -> None:
    urls = stack.access.stack_outputs(stack.stage)
    sqs = stack.client("sqs")
    group = new_ulid()
    sqs.send_message(
        QueueUrl=urls["ChatQueueUrl"],
        MessageBody='{"platform": "slack"}',
        MessageGroupId=group,
        MessageDeduplicationId=group,
    )
    deadline = time.monotonic() + SECONDS
    letters: list[dict[str, Any]] = []
    while not letters and time.monotonic() < deadline:
        letters = list(received(sqs, urls["ChatDeadLettersUrl"]))
        time.sleep(0.5)
    (letter,) = letters
    assert letter["MessageAttributes"]["reason"]["StringValue"] == "the message cannot be read: KeyError"
    assert letter["Body"] == '{"platform": "slack"}'
    sqs.delete_message(QueueUrl=urls["ChatDeadLettersUrl"], ReceiptHandle=letter["ReceiptHandle"])
