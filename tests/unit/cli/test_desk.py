import json
import urllib.request
from typing import Any
from urllib.error import HTTPError

import pytest

from cli.connections import free_port
from cli.desk import OPERATIONS, RESPONSES, Reply, desk, read
from cli.errors import CommandFailed
from functions.chat.assistant.conversation import Button, Say
from functions.chat.delivery import Delivery
from functions.chat.keys import Keys
from functions.chat.message import Incoming
from functions.chat.web import Page

SECRET = {
    "bot_token": "t",
    "reply_url": "http://desk/replies",
    "signing_secret": "c2VjcmV0",
    "email": "e",
    "api_token": "z",
    "api_url": "http://desk",
}
SAYS = [Say("Was it <this>?", (Button("Yes", "confirm:yes"), Button("A person", "person")))]
PLACES: dict[str, dict[str, Any]] = {
    "slack": {"channel": "D1"},
    "discord": {"application_id": "1", "token": "t"},
    "telegram": {"chat_id": 1},
    "teams": {},
    "zendesk": {"ticket": "1"},
    "standard": {"message": "m"},
}


@pytest.mark.parametrize("platform", PLACES)
def test_what_the_chat_delivers_is_what_the_desk_reads(platform: str) -> None:
    sent: list[tuple[str, Any]] = []

    class Wire:
        def send(self, method: str, url: str, *, headers: Any, body: Any = None, seconds: float = 3.0) -> Page:
            sent.append((url, json.loads(body) if isinstance(body, bytes) else body))
            return Page(200, {"ok": True})

    message = Incoming(
        platform=platform,
        event_id="1",
        conversation=f"{platform}:c",
        kind="message",
        user="u",
        text="x",
        at=1.0,
        reply=PLACES[platform],
    )
    Delivery(Wire(), Keys(lambda _: [SECRET])).say(message, SAYS, "k", again=False)
    buttons = {} if platform in ("teams", "zendesk") else {"Yes": "confirm:yes", "A person": "person"}
    found = read(*sent[-1])
    assert found is not None
    assert found.text == "Was it <this>?"
    assert {label: value.removesuffix(":") for label, value in found.buttons.items()} == buttons


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v2/tickets/1.json", {"ticket": {"comment": {"body": "note", "public": False}}}),
        ("/api/v2/tickets/1/tags.json", {"tags": ["lastmile"]}),
        ("/x", {"a": 1}),
    ],
)
def test_what_is_no_reply_is_none(path: str, body: dict[str, Any]) -> None:
    assert read(path, body) is None


def test_replies_wait_in_order() -> None:
    port = free_port()
    with desk(port) as found:
        for text in ("one", "two"):
            body = json.dumps({"text": text, "blocks": []}).encode()
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/chat.postMessage", body).close()
        assert [found.wait(1), found.wait(1), found.wait(0.01)] == [Reply("one"), Reply("two"), None]


@pytest.mark.parametrize("body", [b"{", b"[]", b'{"attachments": []}', b'{"type": "answer.created"}'])
def test_what_cannot_be_read_is_refused(body: bytes, capsys: pytest.CaptureFixture[str]) -> None:
    port = free_port()
    with desk(port), pytest.raises(HTTPError, match="400"):
        urllib.request.urlopen(f"http://127.0.0.1:{port}/replies", body)
    assert capsys.readouterr().err == "", "no traceback in the middle of a conversation"


def test_an_answer_may_be_taken_back() -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/api/v10/webhooks/1/t/messages/@original"
    with desk(port) as found, urllib.request.urlopen(urllib.request.Request(url, method="DELETE")) as answer:
        assert answer.status == 200
        assert found.wait(0.01) is None


def test_a_taken_port_is_said_in_one_sentence() -> None:
    port = free_port()
    with desk(port), pytest.raises(CommandFailed, match=f"Port {port}"), desk(port):
        pass


def test_what_operators_are_told_is_apart_from_answers() -> None:
    port = free_port()
    told: list[Reply] = []
    with desk(port, told.append) as found:
        blocks: list[Any] = [{"type": "section"}]
        for place in ({"channel": OPERATIONS}, {"channel": "D1"}, {"channel": OPERATIONS, "thread_ts": "1.2"}):
            body = json.dumps({**place, "text": place["channel"], "blocks": blocks}).encode()
            urllib.request.urlopen(f"http://127.0.0.1:{port}/api/chat.postMessage", body).close()
        body = json.dumps({"text": "done", "blocks": blocks, "replace_original": True}).encode()
        urllib.request.urlopen(f"http://127.0.0.1:{port}{RESPONSES}", body).close()
        answers = [found.wait(1) for _ in range(3)]
    assert [reply.text for reply in told] == [OPERATIONS]
    assert [reply.text for reply in answers if reply] == ["D1", OPERATIONS, "done"]
    assert found.notice(0.01) is None
