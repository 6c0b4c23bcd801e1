import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from cli import discord
from cli.errors import CommandFailed
from functions.chat.platforms import discord as hooked

KEY = "ab" * 32


@dataclass
class Portal:
    """Discord's API as far as it is used, over HTTP."""

    asked: list[tuple[str, str, str, Any]] = field(default_factory=list)
    url: str = ""
    odd: tuple[int, Any] | None = None  # what it answers to whatever it is asked

    def answer(self, method: str, path: str, token: str, body: Any) -> tuple[int, Any]:
        self.asked.append((method, path, token, body))
        if self.odd is not None:
            return self.odd
        if token != "Bot t-1":
            return 401, {"message": "401: Unauthorized", "code": 0}
        if path == "/api/v10/applications/@me":
            return 200, {"id": "775799577604522054", "name": "Support", "verify_key": KEY}
        return 201, {"id": "1", "application_id": "775799577604522054", **body}


@pytest.fixture
def portal() -> Iterator[Portal]:
    found = Portal()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            sent = self.rfile.read(int(self.headers.get("content-length", 0)))
            agent_fits = self.headers["user-agent"].startswith("DiscordBot (")
            status, document = found.answer(
                self.command, self.path, self.headers["authorization"], json.loads(sent or b"null")
            )
            self.send_response(status if agent_fits else 403)
            self.end_headers()
            self.wfile.write(json.dumps(document).encode())

        do_POST = do_GET

        def log_message(self, *arguments: Any) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
    yield found
    server.shutdown()
    server.server_close()


def test_the_commands_are_registered_one_by_one_so_that_others_stay(portal: Portal) -> None:
    assert discord.register({"bot_token": "t-1", "api_url": portal.url}) == ["ask", "lastmile"]
    assert [(method, path) for method, path, _, _ in portal.asked] == [
        ("GET", "/api/v10/applications/@me"),
        ("POST", "/api/v10/applications/775799577604522054/commands"),
        ("POST", "/api/v10/applications/775799577604522054/commands"),
    ]
    for _, _, _, command in portal.asked[1:]:
        assert 0 < len(command["name"]) <= 32
        assert all(0 < len(each["description"]) <= 100 for each in (command, *command["options"]))


@pytest.mark.parametrize("command", discord.COMMANDS, ids=lambda command: command["name"])
def test_what_is_registered_is_what_the_hook_reads(command: dict[str, Any]) -> None:
    typed = [{"type": each["type"], "name": each["name"], "value": f"a {each['name']}"} for each in command["options"]]
    document = {"type": 2, "id": "1", "channel_id": "2", "user": {"id": "7"}, "application_id": "3", "token": "t"}
    received = hooked.receive(document | {"data": {"name": command["name"], "options": typed}}, {})
    (message,) = received.messages
    expected = ("command", "a words") if command["name"] == "lastmile" else ("message", "a question")
    assert (message.kind, message.text) == expected


def test_the_key_is_the_applications_own(portal: Portal) -> None:
    members = {"bot_token": "t-1", "api_url": portal.url}
    assert discord.public_key(members) == KEY
    with pytest.raises(CommandFailed, match="public_key is not the one"):
        discord.public_key(members | {"public_key": "cd" * 32})


def test_a_refusal_is_told_without_the_token(portal: Portal) -> None:
    with pytest.raises(CommandFailed, match="Discord answers 401 to GET /applications/@me") as failed:
        discord.register({"bot_token": "t-2", "api_url": portal.url})
    assert "t-2" not in str(failed.value)


@pytest.mark.parametrize(
    ("odd", "problem", "advice"),
    [
        ((429, {"retry_after": 3}), "Discord answers 429", "Try again in a while."),
        ((401, {}), "Discord answers 401", "Check bot_token in Discord's developer portal."),
        ((200, {"id": "1"}), "cannot be read", "Check bot_token and api_url."),
        ((200, []), "cannot be read", "Check bot_token and api_url."),
    ],
)
def test_what_is_odd_is_told_with_what_may_help(
    portal: Portal, odd: tuple[int, Any], problem: str, advice: str
) -> None:
    portal.odd = odd
    with pytest.raises(CommandFailed, match=problem) as failed:
        discord.public_key({"bot_token": "t-1", "api_url": portal.url})
    assert failed.value.next_step == advice


@pytest.mark.parametrize("token", ["t-1\n", "t€"])
def test_a_token_that_cannot_be_sent_is_told(portal: Portal, token: str) -> None:
    with pytest.raises(CommandFailed, match="bot_token has letters|cannot be read"):
        discord.register({"bot_token": token, "api_url": portal.url})


def test_nobody_there_is_told() -> None:
    with pytest.raises(CommandFailed, match="Discord does not answer"):
        discord.register({"bot_token": "t-1", "api_url": "http://127.0.0.1:9"})
