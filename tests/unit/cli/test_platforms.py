import json
import time

import pytest

from cli.connections import known, made_up
from cli.platforms import MAKE
from cli.webhooks import SIGN
from functions.chat.platforms import PLATFORMS


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
