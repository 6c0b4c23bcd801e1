"""A desk that takes what the chat sends: every platform's API as far as an answer needs it, on one loopback port."""

import html
import json
import queue
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cli.errors import CommandFailed

HOST = "127.0.0.1"
OPERATIONS = "C-operations"  # the channel of Slack where this desk's operators are told what happens


RESPONSES = "/responses"  # where Slack takes the answers to presses and commands


@dataclass(frozen=True)
class Reply:
    """What was said, and the values of the buttons below it by their labels."""

    text: str
    buttons: dict[str, str] = field(default_factory=dict)


type Tell = Callable[[Reply], object]


class Desk:
    """`wait` gives the replies in the order in which they came, `notice` what operators are told; `tell` is told of
    the latter at once."""

    def __init__(self, tell: Tell | None = None) -> None:
        self._replies: queue.Queue[Reply] = queue.Queue()
        self._notices: queue.Queue[Reply] = queue.Queue()
        self._tell = tell or self._notices.put

    def wait(self, seconds: float) -> Reply | None:
        return _next(self._replies, seconds)

    def notice(self, seconds: float) -> Reply | None:
        return _next(self._notices, seconds)

    def take(self, path: str, body: dict[str, Any]) -> None:
        if (reply := read(path, body)) is not None:
            (self._tell if body.get("channel") == OPERATIONS and "thread_ts" not in body else self._replies.put)(reply)


def _next(replies: "queue.Queue[Reply]", seconds: float) -> Reply | None:
    try:
        return replies.get(timeout=seconds)
    except queue.Empty:
        return None


@contextmanager
def desk(port: int, tell: Tell | None = None) -> Iterator[Desk]:
    """Open while the body runs."""
    found = Desk(tell)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            try:
                sent = self.rfile.read(int(self.headers.get("content-length", 0)))
                found.take(self.path, json.loads(sent or b"{}"))
            except (ValueError, LookupError, TypeError, AttributeError):
                self.send_error(400)
                return
            answer = b'{"ok": true, "messages": []}'
            self.send_response(200)
            self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_PUT = do_PATCH = do_DELETE = do_POST  # noqa: N815 as the standard library looks for them

        def log_message(self, *arguments: Any) -> None:
            pass

    try:
        server = ThreadingHTTPServer((HOST, port), Handler)
    except OSError as error:
        raise CommandFailed(
            f"Port {port}, where answers arrive, is taken: {error.strerror}.",
            next_step="End the other `lastmile chat`, then try again.",
        ) from None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def read(path: str, body: dict[str, Any]) -> Reply | None:
    """The reply in a request to one of the platforms' APIs; None for what is none."""
    if path.endswith(("/api/chat.postMessage", RESPONSES)):
        elements = [each for block in body["blocks"] if block["type"] == "actions" for each in block["elements"]]
        said = html.unescape(body["text"])
        return Reply(said, {each["text"]["text"]: f"{each['action_id']}:{each['value']}" for each in elements})
    if path.endswith("/messages/@original") and "content" in body:  # without it the message is taken back
        found = [each for row in body.get("components", ()) for each in row["components"]]
        return Reply(body["content"], {each["label"]: each["custom_id"] for each in found})
    if path.endswith("/sendMessage"):
        rows = body.get("reply_markup", {}).get("inline_keyboard", ())
        return Reply(body["text"], {each["text"]: each["callback_data"] for row in rows for each in row})
    if "/api/v2/tickets/" in path and "ticket" in body:
        return Reply(body["ticket"]["comment"]["body"]) if body["ticket"]["comment"]["public"] else None
    if "attachments" in body:
        parts = body["attachments"][0]["content"]["body"]
        return Reply("\n\n".join(part["text"] for part in parts))
    if body.get("type") == "answer.created":
        says = body["data"]["says"]
        buttons = {each["label"]: each["value"] for say in says for each in say["buttons"]}
        return Reply("\n\n".join(say["text"] for say in says), buttons)
    return None
