import json
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from functions.chat.web import LATER_SECONDS, Internet, Refused, TryLater, host

type Answer = tuple[int, dict[str, str], bytes]


class Quiet(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that did not wait is what some tests are about."""


@pytest.fixture
def serve() -> Iterator[Callable[[Callable[[str, str, bytes], Answer]], str]]:
    """A real server; what it is asked goes to the function."""
    servers: list[ThreadingHTTPServer] = []

    def start(answer: Callable[[str, str, bytes], Answer]) -> str:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers.get("content-length", 0)))
                status, headers, data = answer(self.command, self.path, body)
                self.send_response(status)
                for name, value in {"content-length": str(len(data)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST

            def log_message(self, *arguments: Any) -> None:
                pass

        server = Quiet(("127.0.0.1", 0), Handler)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        return f"http://127.0.0.1:{server.server_port}"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


type Serve = Callable[[Callable[[str, str, bytes], Answer]], str]


def test_an_object_goes_and_comes_as_json(serve: Serve) -> None:
    url = serve(lambda method, path, body: (200, {}, json.dumps([method, path, json.loads(body)]).encode()))
    page = Internet().send("POST", f"{url}/a?b=1", headers={}, body={"ü": 1})
    assert (page.status, page.document) == (200, None)  # a list is no object
    url = serve(lambda *_: (404, {}, b'{"error": "no"}'))
    assert Internet().send("GET", url, headers={}).document == {"error": "no"}


@pytest.mark.parametrize(
    ("status", "header", "seconds"),
    [
        (429, "7", 7.0),
        (429, "0.5", 0.5),
        (503, None, LATER_SECONDS),
        (500, "Wed, 21 Oct 2026", LATER_SECONDS),
        (503, "nan", LATER_SECONDS),
    ],
)
def test_who_is_busy_says_how_long(serve: Serve, status: int, header: str | None, seconds: float) -> None:
    url = serve(lambda *_: (status, {} if header is None else {"retry-after": header}, b""))
    with pytest.raises(TryLater, match=f"answers {status}") as later:
        Internet().send("GET", url, headers={})
    assert later.value.seconds == seconds


@pytest.mark.parametrize(
    ("body", "seconds"),
    [
        ({"ok": False, "error_code": 429, "parameters": {"retry_after": 15}}, 15.0),  # Telegram
        ({"message": "You are being rate limited.", "retry_after": 0.65, "global": False}, 0.65),  # Discord
        ({"retry_after": 1e9}, 900.0),
        ({"retry_after": "soon", "parameters": []}, LATER_SECONDS),
    ],
)
def test_who_says_how_long_in_the_body_is_heard(serve: Serve, body: dict[str, Any], seconds: float) -> None:
    url = serve(lambda *_: (429, {}, json.dumps(body).encode()))
    with pytest.raises(TryLater) as later:
        Internet().send("POST", url, headers={}, body={})
    assert later.value.seconds == seconds


def test_a_redirection_is_not_followed(serve: Serve) -> None:
    elsewhere = serve(lambda *_: (200, {}, b'{"led": "astray"}'))
    url = serve(lambda *_: (302, {"location": elsewhere}, b""))
    assert Internet().send("GET", url, headers={}).status == 302


def test_nobody_there_is_later_and_the_address_stays_secret() -> None:
    with pytest.raises(TryLater) as later:
        Internet().send("GET", "http://127.0.0.1:9/bot123:TOKEN/sendMessage", headers={}, seconds=0.5)
    assert "TOKEN" not in str(later.value)


def test_who_does_not_answer_in_time_is_later(serve: Serve) -> None:
    waiting = threading.Event()

    def late(method: str, path: str, body: bytes) -> Answer:
        waiting.wait(60)
        return 200, {}, b"{}"

    url = serve(late)
    with pytest.raises(TryLater):
        Internet().send("GET", url, headers={}, seconds=0.2)
    waiting.set()


def test_who_answers_drop_by_drop_is_later(serve: Serve) -> None:
    """Each drop in time, and all of them never."""

    server = socket.create_server(("127.0.0.1", 0))

    def drip() -> None:
        with server, server.accept()[0] as connection, suppress(OSError):
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
            for _ in range(1000):
                connection.sendall(b"{")
                time.sleep(0.1)

    dripping = threading.Thread(target=drip)
    dripping.start()
    began = time.monotonic()
    with pytest.raises(TryLater):
        Internet().send("GET", f"http://127.0.0.1:{server.getsockname()[1]}/", headers={}, seconds=0.5)
    assert time.monotonic() - began < 50  # of a hundred
    dripping.join()


@pytest.mark.parametrize(
    ("url", "token"),
    [
        ("http://127.0.0.1:9/", "s3cret\n"),
        ("http://127.0.0.1:9/", "s3cret€"),
        ("https://a..b/", ""),
        ("http://[::1/", ""),
    ],
)
def test_what_cannot_be_sent_is_refused_without_the_secrets_words(url: str, token: str) -> None:
    with pytest.raises(Refused, match="cannot be sent") as refused:
        Internet().send("GET", url, headers={"authorization": f"Bearer {token}"}, seconds=0.5)
    assert "s3cret" not in "".join(traceback.format_exception(refused.value))


def test_a_host_is_named_without_its_path() -> None:
    assert host("https://api.telegram.org/bot1:T/x") == "api.telegram.org"
