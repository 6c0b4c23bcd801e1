from collections.abc import Mapping
from typing import Any

import pytest
from standardwebhooks import Webhook

from functions.chat.assistant.conversation import Button, Say
from functions.chat.delivery import Delivery
from functions.chat.keys import Keys
from functions.chat.message import Incoming
from functions.chat.web import Page, Refused, TryLater
from tests.unit.chat.conftest import Hook, body_of
from tests.unit.chat.service import Network

SECRET = {
    "bot_token": "t-1",
    "reply_url": "https://receiver.example/in",
    "signing_secret": "whsec_c2VjcmV0LXNlY3JldC1zZWNyZXQ=",
    "subdomain": "shop",
    "email": "bot@shop.example",
    "api_token": "z-1",
}
SAYS = [Say("Was <this> it?", (Button("Yes", "helpful:yes"), Button("A person", "person")))]

MARKED = "Was &lt;this&gt; it?"  # also what notifications show: <!channel> would mention everybody


@pytest.fixture
def network() -> Network:
    return Network()


def said(network: Network, hook: Hook, name: str, *, again: bool = False, says: list[Say] | None = None) -> Any:
    if name.startswith("standard"):
        hook.send("standard", body_of(name))
    else:
        hook.recorded(name)
    delivery = Delivery(network, Keys(lambda _: [SECRET]))
    delivery.say(hook.queue.taken[-1], says or SAYS, "key-1", again=again)
    return network.requests[-1]


def test_slack_gets_text_buttons_and_the_thread(network: Network, hook: Hook) -> None:
    method, url, headers, body = said(network, hook, "slack/mention")
    assert (method, url) == ("POST", "https://slack.com/api/chat.postMessage")
    assert headers["authorization"] == "Bearer t-1"
    assert (body["channel"], body["thread_ts"], body["text"]) == ("C123ABC456", "1515449522.000016", MARKED)
    assert body["blocks"][0]["text"]["text"] == MARKED
    assert [button["action_id"] for button in body["blocks"][1]["elements"]] == ["helpful", "person"]


def test_slack_is_asked_before_it_is_told_again(network: Network, hook: Hook) -> None:
    said(network, hook, "slack/mention")
    said(network, hook, "slack/mention", again=True)
    assert len(network.posts) == 1
    network.posts.clear()
    said(network, hook, "slack/mention", again=True)
    assert len(network.posts) == 1


def test_two_buttons_of_one_kind_are_in_blocks_of_their_own(network: Network, hook: Hook) -> None:
    buttons = (Button("One", "choose:a"), Button("Two", "choose:b"))
    *_, body = said(network, hook, "slack/message", says=[Say("Which?", buttons)])
    assert [block["type"] for block in body["blocks"]] == ["section", "actions", "actions"]


def test_discords_deferred_answer_is_filled_in(network: Network, hook: Hook) -> None:
    method, url, _, body = said(network, hook, "discord/message")
    assert method == "PATCH"
    assert url == "https://discord.com/api/v10/webhooks/775799577604522054/A_UNIQUE_TOKEN/messages/@original"
    assert body["components"][0]["components"][0]["custom_id"] == "helpful:yes"
    assert body["allowed_mentions"] == {"parse": []}


def test_telegram_gets_a_keyboard_and_an_answer_to_the_press(network: Network, hook: Hook) -> None:
    _, url, _, body = said(network, hook, "telegram/button")
    assert url == "https://api.telegram.org/bott-1/sendMessage"
    assert body["reply_markup"]["inline_keyboard"][0][0]["callback_data"] == "helpful:yes"
    assert network.requests[-2][1].endswith("/answerCallbackQuery")


def test_teams_gets_a_card_through_its_incoming_webhook(network: Network, hook: Hook) -> None:
    _, url, _, body = said(network, hook, "teams/message")
    assert url == SECRET["reply_url"]
    assert body["attachments"][0]["content"]["body"][0]["text"] == "Was <this> it?"


def test_zendesk_gets_a_public_comment(network: Network, hook: Hook) -> None:
    method, url, headers, body = said(network, hook, "zendesk/message")
    assert (method, url) == ("PUT", "https://shop.zendesk.com/api/v2/tickets/5158.json")
    assert headers["authorization"].startswith("Basic ")
    assert body["ticket"]["comment"] == {"body": "Was <this> it?", "public": True}


def test_a_receiver_can_verify_us_by_the_standards_own_library(hook: Hook) -> None:
    sent: list[tuple[bytes, Mapping[str, str]]] = []

    class Wire(Network):
        def send(self, method: str, url: str, *, headers: Any, body: Any = None, seconds: float = 3.0) -> Page:
            sent.append((body, headers))
            return Page(200, None)

    said(Wire(requests=[("", "", {}, None)]), hook, "standard/message")
    body, headers = sent[0]
    assert Webhook(SECRET["signing_secret"]).verify(body, dict(headers))["data"]["says"][0]["text"] == "Was <this> it?"


@pytest.mark.parametrize("name", ["slack", "discord", "telegram", "teams", "zendesk", "standard"])
def test_a_refusal_says_whose(network: Network, hook: Hook, name: str) -> None:
    network.answers["/"] = Page(403, None)
    with pytest.raises(Refused, match="refuses"):
        said(network, hook, f"{name}/message")


@pytest.mark.parametrize("error", ["ratelimited", "internal_error", "service_unavailable", None])
@pytest.mark.parametrize("again", [False, True])
def test_what_slack_cannot_do_for_now_is_later(network: Network, hook: Hook, error: str | None, again: bool) -> None:
    """Also where it is asked whether it has the answer: it must not get another because it does not know."""
    network.answers["/api/"] = Page(200, None if error is None else {"ok": False, "error": error})
    with pytest.raises(TryLater, match=error or "in no words"):
        said(network, hook, "slack/message", again=again)


def test_a_secret_without_what_is_needed_is_named(hook: Hook) -> None:
    hook.recorded("slack/message")
    with pytest.raises(Refused, match="the secret of slack has no bot_token"):
        Delivery(Network(), Keys(lambda _: [{}])).say(hook.queue.taken[0], SAYS, "k", again=False)
    with pytest.raises(Refused, match="there is no secret for slack"):
        Delivery(Network(), Keys(lambda _: [])).say(hook.queue.taken[0], SAYS, "k", again=False)


def test_other_addresses_take_the_place_of_the_platforms_own(network: Network, hook: Hook) -> None:
    hook.recorded("slack/message")
    delivery = Delivery(network, Keys(lambda _: [SECRET | {"api_url": "http://127.0.0.1:9/"}]))
    message: Incoming = hook.queue.taken[0]
    delivery.say(message, SAYS, "k", again=False)
    assert network.requests[-1][1] == "http://127.0.0.1:9/api/chat.postMessage"


def test_a_token_that_was_changed_is_taken_at_once(hook: Hook) -> None:
    """The platform takes the old one no more, and what is kept of the secret is up to five minutes old."""

    class Rotated(Network):
        def send(self, method: str, url: str, *, headers: Any, body: Any = None, seconds: float = 3.0) -> Page:
            super().send(method, url, headers=headers, body=body)
            fits = headers["authorization"] == "Bearer t-2"
            return Page(200, {"ok": fits} if fits else {"ok": False, "error": "token_revoked"})

    hook.recorded("slack/message")
    network = Rotated()
    delivery = Delivery(network, Keys(lambda _: [SECRET], lambda _: [SECRET | {"bot_token": "t-2"}]))
    delivery.say(hook.queue.taken[0], SAYS, "k", again=False)
    assert [headers["authorization"] for _, _, headers, _ in network.requests] == ["Bearer t-1", "Bearer t-2"]
    unchanged = Delivery(network, Keys(lambda _: [SECRET], lambda _: [SECRET]))
    with pytest.raises(Refused, match="token_revoked"):
        unchanged.say(hook.queue.taken[0], SAYS, "k", again=False)
    assert len(network.requests) == 3
