import json
import time

import pytest

from cli.chat import answered_at
from cli.connections import known, made_up
from cli.platforms import MAKE
from cli.webhooks import SIGN
from functions.chat.operations.orders import Order, concerns, order_of
from functions.chat.platforms import PLATFORMS

HEADERS = {"webhook-id": "msg_1"}


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("pressed", [None, "confirm:yes"])
def test_what_the_command_sends_is_what_the_hook_reads(platform: str, pressed: str | None) -> None:
    if platform == "zendesk" and pressed:
        return  # tickets have no buttons
    document = MAKE[platform]("how much?", "1", pressed)
    secret = made_up(platform)
    body = json.dumps(document).encode()
    headers = SIGN[platform](body, secret, time.time())
    row = PLATFORMS[platform]
    assert row.verify(headers, body, known(platform, secret), time.time())
    (message,) = row.receive(document, headers).messages
    if pressed is None:
        assert (message.kind, message.text) == ("message", "how much?")
    else:
        assert (message.kind, message.value) == ("button", "confirm:yes")


@pytest.mark.parametrize("platform", PLATFORMS)
def test_two_messages_have_two_ids_and_one_conversation(platform: str) -> None:
    first, second = (MAKE[platform](text, "1", None) for text in ("a", "b"))
    headers = [SIGN[platform](json.dumps(each).encode(), made_up(platform), time.time()) for each in (first, second)]
    read = [
        PLATFORMS[platform].receive(each, header).messages[0]
        for each, header in zip((first, second), headers, strict=True)
    ]
    assert platform == "discord" or read[0].event_id != read[1].event_id
    assert read[0].conversation == read[1].conversation


@pytest.mark.parametrize("platform", ["slack", "discord", "telegram", "teams", "standard"])
def test_an_order_is_what_operators_read(platform: str) -> None:
    (message,) = (
        PLATFORMS[platform].receive(MAKE[platform]("/lastmile drift fraud", "1", None, by="9"), HEADERS).messages
    )
    assert concerns(message)
    assert order_of(message) == Order("drift", "fraud")
    assert message.user.split(":")[-1] == "9"


@pytest.mark.parametrize("platform", ["slack", "discord", "standard"])
def test_a_reason_comes_with_the_button(platform: str) -> None:
    document = MAKE[platform]("", "1", "reject:fraud/8", why="unfair")
    (message,) = PLATFORMS[platform].receive(document, HEADERS).messages
    assert (message.value, message.text) == ("reject:fraud/8", "unfair")


def test_a_form_of_slacks_says_where_the_answer_goes() -> None:
    for text, pressed in (("/lastmile status", None), ("", "status:all")):
        form = answered_at(MAKE["slack"](text, "1", pressed), "http://desk/responses")
        (message,) = PLATFORMS["slack"].receive(form, HEADERS).messages
        assert message.reply["response_url"] == "http://desk/responses"
