"""What each platform may send, recorded under events/chat: nothing is missing but what a platform does not have."""

import hmac
import json
from dataclasses import dataclass, field
from typing import Any

import pytest

from cli.webhooks import SIGN
from functions.chat.hook import MOST_BYTES
from functions.chat.platforms import PLATFORMS
from functions.chat.queues import FifoQueue
from tests.unit.chat.conftest import EVENTS, NOW, RECORDED, Hook, body_of, document_of, private

KINDS = ("handshake", "message", "edit", "own", "attachment", "thread", "button")
ABSENT = {
    "teams/handshake": "an outgoing webhook's first request is a message",
    "telegram/handshake": "setWebhook asks for nothing",
    "zendesk/handshake": "a webhook's first request is an event",
    "standard/handshake": "the specification has none",
    "discord/edit": "an interaction is never changed",
    "zendesk/edit": "a comment is never changed",
    "zendesk/button": "a ticket has none",
}
BECOMES = {"own": None, "handshake": None, "edit": "edit", "button": "button"}  # others are messages
REFUSED = (401, '{"error":"unauthorised"}')


@dataclass
class Sqs:
    """boto3's client, as far as it is used."""

    sent: list[dict[str, Any]] = field(default_factory=list)

    def send_message(self, **message: Any) -> None:
        self.sent.append(message)


def test_everything_that_a_platform_may_send_is_recorded() -> None:
    wanted = {f"{platform}/{kind}" for platform in PLATFORMS for kind in KINDS}
    assert wanted - set(RECORDED) == set(ABSENT)
    assert all((EVENTS / f"{name}.json").stat().st_size > 20 for name in RECORDED)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("platform", PLATFORMS)
def test_each_becomes_what_it_is(hook: Hook, platform: str, kind: str) -> None:
    name = f"{platform}/{kind}"
    if name in ABSENT:
        return
    assert hook.recorded(name)[0] == 200
    expected = BECOMES.get(kind, "message")
    assert [message.kind for message in hook.queue.taken] == ([] if expected is None else [expected])


@pytest.mark.parametrize("name", [name for name in RECORDED if name.endswith(("/message", "/edit", "/button"))])
def test_a_retry_is_one_message_to_the_queue(hook: Hook, name: str) -> None:
    """Signed anew, later, and with what Slack adds; the queue tells by the id that it has it."""
    platform, body = name.partition("/")[0], body_of(name)
    for at in (NOW, NOW + 60):
        headers = SIGN[platform](body, private(platform), at)
        again = {"x-slack-retry-num": "1", "x-slack-retry-reason": "http_timeout"} if at > NOW else {}
        kind = {"content-type": "application/x-www-form-urlencoded"} if body[:1] != b"{" else {}
        assert hook.send(platform, body, headers | again | kind)[0] == 200
    sqs = Sqs()
    for message in hook.queue.taken:
        FifoQueue(sqs, "https://sqs/messages.fifo").put(message)
    first, second = ((sent["MessageGroupId"], sent["MessageDeduplicationId"]) for sent in sqs.sent)
    assert first == second


def test_what_is_pressed_and_judged_in_a_direct_message_belongs_to_its_conversation(hook: Hook) -> None:
    """Slack's own example comes from a channel, where each message begins a thread."""
    hook.recorded("slack/message")
    (message,) = hook.queue.taken
    channel = message.reply["channel"]
    pressed = json.loads(document_of("slack/button")["payload"])
    pressed["channel"]["id"], pressed["team"]["id"] = channel, "T061EG9R6"
    hook.send("slack", json.dumps({"payload": json.dumps(pressed)}).encode())
    judged = document_of("slack/reaction")
    judged["event"]["item"]["channel"], judged["team_id"] = channel, "T061EG9R6"
    hook.send("slack", json.dumps(judged).encode())
    assert [taken.kind for taken in hook.queue.taken] == ["message", "button", "reaction"]
    assert {taken.conversation for taken in hook.queue.taken} == {message.conversation}


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_refusal_says_what_was_wrong(hook: Hook, platform: str) -> None:
    body = body_of(f"{platform}/message")
    signed = SIGN[platform](body, private(platform), NOW)
    proof = next(name for name, value in signed.items() if value == max(signed.values(), key=len))
    forged = signed[proof][:-3] + ("aaa" if not signed[proof].endswith("aaa") else "bbb")
    refused = [
        hook.send(platform, body, {}),
        hook.send(platform, body, signed | {proof: forged}),
        hook.send(platform, body, signed | {proof: ""}),
        hook.send(platform, body, signed | {proof: "é" * 9}),
        hook.send(platform, body, SIGN[platform](body, private(platform, 2), NOW)),
    ]
    if platform != "telegram":  # whose token says nothing of the body
        refused.append(hook.send(platform, body[:-1], signed))
    if platform not in ("telegram", "teams"):  # which carry no time
        refused += [
            hook.send(platform, body, SIGN[platform](body, private(platform), NOW + off)) for off in (-301, 301)
        ]
    assert set(refused) == {REFUSED}
    bad = {
        hook.send(platform, body, signed | {"content-type": "text/plain"}),
        hook.send(platform, b"{" + b" " * MOST_BYTES + b"}", signed),
    }
    assert bad == {(400, '{"error":"bad request"}')}
    assert hook.queue.taken == []


@pytest.mark.parametrize("platform", [platform for platform in PLATFORMS if platform != "discord"])
def test_signatures_are_compared_in_constant_time(hook: Hook, platform: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the standard library's own comparison, whose time does not depend on where two texts differ; Discord's are
    not compared but verified, by libsodium."""
    compared: list[bool] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(genuine(one, other))
        return compared[-1]

    genuine = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", compare)
    for key in (1, 2):
        hook.send(platform, body_of(f"{platform}/message"), key=key)
    assert compared[0]
    assert compared[1:]
    assert not any(compared[1:])
