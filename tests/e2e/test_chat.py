"""The support chat on a real deployment: signed webhooks in, answers out through the platforms' own APIs."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from cli.chat import send_as
from cli.desk import OPERATIONS, Desk, desk
from cli.learning import ApiLearning
from cli.letters import received
from cli.local import LocalAws
from cli.platforms import MAKE
from cli.target import Target
from cli.training import upload
from cli.webhooks import SIGN
from cli.wire import Answer
from lastmile.ulid import new_ulid
from tests.e2e import valves

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


def test_an_unanswerable_message_is_a_dead_letter_with_its_reason_each_time_it_is_sent_again(
    local_aws: LocalAws, stack: Target
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
    first = letter(sqs, urls["ChatDeadLettersUrl"])
    assert first["MessageAttributes"]["reason"]["StringValue"] == "the message cannot be read: KeyError"
    assert first["Body"] == '{"platform": "slack"}'
    sqs.change_message_visibility(
        QueueUrl=urls["ChatDeadLettersUrl"], ReceiptHandle=first["ReceiptHandle"], VisibilityTimeout=0
    )
    program = str(Path(sys.executable).with_name("lastmile"))
    command = [program, "--local", str(local_aws.folder), "chat", "redrive", "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=SECONDS)
    assert json.loads(done.stdout) == {"sent": 1}
    second = letter(sqs, urls["ChatDeadLettersUrl"])
    assert (second["Body"], second["MessageId"] != first["MessageId"]) == (first["Body"], True)
    sqs.delete_message(QueueUrl=urls["ChatDeadLettersUrl"], ReceiptHandle=second["ReceiptHandle"])


def letter(sqs: Any, url: str) -> dict[str, Any]:
    """The one dead letter."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        if letters := list(received(sqs, url)):
            (found,) = letters
            return found
        time.sleep(0.5)
    raise AssertionError("there is no dead letter")


def test_a_version_is_approved_by_a_button_in_chat_and_by_nobody_else(
    stack: Target, connected: dict[str, Any], heard: Desk, tmp_path: Path
) -> None:
    valves.declared(stack, tmp_path, "chatted", policy="manual")
    learning = ApiLearning(stack)
    run = upload(stack, "chatted", valves.rows(tmp_path, seed=7))
    value = approval(heard, "chatted")

    def press(by: str) -> str:
        place: dict[str, Any] = {"conversation": OPERATIONS, "pressed": value, "by": by}
        send_as(stack, connected, "slack", "looks right", **place)
        answer = heard.wait(SECONDS)
        assert answer is not None
        return answer.text

    assert "You (slack:T1:U9) may not do that" in press("U9")
    assert stack.registry().release("chatted").champion is None
    assert "was approved by slack:T1:U1: looks right" in press("U1")
    valves.until(lambda: learning.run("chatted", run)["state"] == "promoted")  # type: ignore[index]
    assert stack.registry().release("chatted").champion == 1
    assert "was answered already: approve by slack:T1:U1, looks right" in press("U1")
    entries = stack.registry().audit("chatted")
    assert [(entry.actor, entry.why) for entry in entries if entry.action == "approve"] == [
        ("slack:T1:U1", "looks right")
    ]
    assert "slack:T1:U1" in next(entry.why for entry in entries if entry.action == "promote")
    send_as(stack, connected, "slack", "/lastmile status", conversation=OPERATIONS)
    answer = heard.wait(SECONDS)
    assert answer is not None
    assert "chatted: version 1 serves" in answer.text


def approval(heard: Desk, model: str) -> str:
    """The value of the button that approves; other tests' models are told of too."""
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        found = heard.notice(SECONDS)
        value = None if found is None else found.buttons.get("Approve")
        if value is not None and model in value:
            return value
    raise AssertionError("nobody was asked")
