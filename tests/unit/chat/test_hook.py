import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cli.webhooks import SIGN
from functions.chat.hook import MOST_BYTES
from functions.chat.message import Incoming
from functions.chat.platforms import PLATFORMS
from functions.chat.secrets import DOUBT_SECONDS, GRACE_SECONDS
from tests.unit.chat.conftest import NOW, RECORDED, Hook, body_of, document_of, private

SILENT = ("handshake", "own", "internal", "other", "discord/reject")

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("name", RECORDED)
def test_a_recorded_request_is_answered_and_queued_once(hook: Hook, name: str) -> None:
    status, _ = hook.recorded(name)
    assert status == 200
    assert len(hook.queue.taken) == (0 if name.endswith(SILENT) else 1)
    for message in hook.queue.taken:
        assert Incoming.from_bytes(message.to_bytes()) == message


@pytest.mark.parametrize("name", [name for name in RECORDED if not name.endswith(SILENT)])
def test_a_repeated_delivery_bears_the_same_id(hook: Hook, name: str) -> None:
    hook.recorded(name)
    hook.recorded(name)
    first, second = hook.queue.taken
    assert (first.event_id, first.conversation, first.kind) == (second.event_id, second.conversation, second.kind)


@pytest.mark.parametrize("platform", ["slack", "telegram", "teams", "zendesk", "standard"])
def test_different_messages_of_a_platform_have_different_ids(hook: Hook, platform: str) -> None:
    for name in RECORDED:
        if name.startswith(f"{platform}/"):
            hook.recorded(name)
    ids = [message.event_id for message in hook.queue.taken]
    assert len(set(ids)) == len(ids)


def test_handshakes_are_answered_in_the_platforms_words(hook: Hook) -> None:
    assert json.loads(hook.recorded("slack/handshake")[1]) == {
        "challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"
    }
    assert json.loads(hook.recorded("discord/handshake")[1]) == {"type": 1}


def test_acknowledgements_are_the_platforms_own(hook: Hook) -> None:
    assert hook.recorded("slack/message")[1] == ""
    assert json.loads(hook.recorded("discord/message")[1]) == {"type": 5}
    assert json.loads(hook.recorded("discord/button")[1]) == {"type": 6}
    judged = document_of("discord/button")
    judged["data"]["custom_id"] = "helpful:yes/delivery-cost"  # the answer stays, and thanks come under it
    assert json.loads(hook.send("discord", json.dumps(judged).encode())[1]) == {"type": 5}
    assert json.loads(hook.recorded("teams/message")[1])["type"] == "message"


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_wrong_signature_queues_nothing_and_says_nothing(hook: Hook, platform: str) -> None:
    body = body_of(f"{platform}/message")
    for headers in ({}, SIGN[platform](body, private(platform, 2), NOW)):
        assert hook.send(platform, body, headers) == (401, '{"error":"unauthorised"}')
    assert hook.queue.taken == []


@pytest.mark.parametrize("platform", PLATFORMS)
def test_a_platform_that_is_not_set_up_is_refused_like_a_wrong_signature(hook: Hook, platform: str) -> None:
    hook.manager.versions.clear()
    assert hook.send(platform, body_of(f"{platform}/message")) == (401, '{"error":"unauthorised"}')


@pytest.mark.parametrize("platform", ["slack", "discord", "zendesk", "standard"])
def test_a_replayed_request_is_refused(hook: Hook, platform: str) -> None:
    hook.clock = NOW + 600
    assert hook.recorded(f"{platform}/message")[0] == 401
    assert hook.queue.taken == []


@pytest.mark.parametrize("platform", PLATFORMS)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"type"', b"null", b"\xff\xfe", b'{"a": 1}'])
def test_an_authentic_request_of_another_shape_is_a_bad_one(hook: Hook, platform: str, body: bytes) -> None:
    status, said = hook.send(platform, body)
    assert (status, said) == (400, '{"error":"bad request"}') or (platform == "slack" and status == 200)
    assert hook.queue.taken == []


def test_too_large_a_body_is_refused_before_it_is_verified(hook: Hook) -> None:
    reads = hook.manager.reads
    assert hook.send("slack", b"{" + b" " * MOST_BYTES + b"}")[0] == 400
    assert hook.manager.reads == reads


def test_another_content_type_is_refused(hook: Hook) -> None:
    body = body_of("telegram/message")
    headers = SIGN["telegram"](body, private("telegram"), NOW) | {"content-type": "text/plain"}
    assert hook.send("telegram", body, headers) == (400, '{"error":"bad request"}')


def test_an_unknown_platform_is_not_found(hook: Hook) -> None:
    event = {"rawPath": "/hooks/irc", "headers": {}, "body": "{}"}
    assert hook.door(event, None)["statusCode"] == 404


def test_the_secret_before_is_accepted_for_a_while_after_a_rotation(hook: Hook) -> None:
    hook.manager.keep("slack", 2, 1)
    hook.manager.made = NOW
    assert hook.recorded("slack/message")[0] == 200
    assert hook.send("slack", body_of("slack/message"), key=2)[0] == 200
    hook.clock = NOW + GRACE_SECONDS + 1
    assert hook.send("slack", body_of("slack/message"), key=1, at=hook.clock)[0] == 401
    assert hook.send("slack", body_of("slack/message"), key=2, at=hook.clock)[0] == 200


def test_a_rotated_secret_is_found_when_the_old_one_no_longer_fits(hook: Hook) -> None:
    hook.recorded("slack/message")
    hook.manager.keep("slack", 2)
    hook.clock = NOW + DOUBT_SECONDS + 1
    assert hook.send("slack", body_of("slack/message"), key=2)[0] == 200


def test_forged_requests_do_not_read_the_secret_each_time(hook: Hook) -> None:
    for _ in range(100):
        hook.send("slack", b"{}", {})
    assert hook.manager.reads <= 2


def test_what_cannot_be_queued_is_delivered_again(hook: Hook) -> None:
    hook.queue.broken = True
    assert hook.recorded("slack/message") == (503, '{"error":"try again"}')


def test_secrets_that_cannot_be_read_are_no_reason_to_refuse(hook: Hook) -> None:
    hook.manager.versions["slack"] = ["no JSON"]
    assert hook.recorded("slack/message")[0] == 503


@pytest.mark.parametrize("platform", PLATFORMS)
@settings(max_examples=60, deadline=None)
@given(body=json_values)
def test_no_body_is_a_server_error(platform: str, body: object) -> None:
    assert Hook().send(platform, json.dumps(body).encode())[0] < 500


@pytest.mark.parametrize("platform", PLATFORMS)
def test_no_damaged_request_is_a_server_error(hook: Hook, platform: str) -> None:
    """1,700 a platform, 10,000 in all: a recorded request with one value changed for another, or bytes changed."""
    chance = random.Random(platform)
    odd: list[object] = [None, 0, -1, "", "x", [], {}, [{}], {"id": []}, 1e300, True, "𝕏" * 9]
    names = [name for name in RECORDED if name.startswith(f"{platform}/")]
    for _ in range(1_700):
        body = bytearray(body_of(chance.choice(names)))
        if body[:1] == b"{" and chance.random() < 0.7:
            document = json.loads(body)
            place = document
            while isinstance(place, dict) and place:
                key = chance.choice(list(place))
                if not isinstance(place[key], dict) or not place[key] or chance.random() < 0.3:
                    place[key] = chance.choice(odd)
                    break
                place = place[key]
            body = bytearray(json.dumps(document).encode())
        else:
            for _ in range(chance.randint(1, 4)):
                body[chance.randrange(len(body))] = chance.randrange(256)
        status, _ = hook.send(platform, bytes(body))
        assert status in (200, 400)


@pytest.mark.parametrize("conversation", ["c" * 3_000, "ä" * 600])
def test_a_name_that_no_table_can_keep_is_refused_at_once(hook: Hook, conversation: str) -> None:
    sent = document_of("standard/message")
    sent["data"]["conversation"] = conversation
    assert hook.send("standard", json.dumps(sent).encode()) == (400, '{"error":"bad request"}')
    assert hook.queue.taken == []
