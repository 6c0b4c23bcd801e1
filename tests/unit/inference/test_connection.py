import asyncio
import io
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, BinaryIO, cast

import pytest
import uvicorn
from uvicorn.server import ServerState

from functions.inference import server_door as server_door_module
from functions.inference.connection import LONGEST_REQUEST_SECONDS, MAX_BODY_BYTES, Connection
from functions.inference.server_door import ServerDoor
from tests.unit.inference.doors import fill, listening, open_serving, server_door
from tests.unit.inference.test_doors import INFER, tensor, v2

BODY = v2(tensor())


class Counted(ServerDoor):
    """Counts what comes as ASGI."""

    came = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.came += scope["type"] == "http"
        await super().__call__(scope, receive, send)


@pytest.fixture
def door() -> Counted:
    door = server_door(fill(open_serving({"LASTMILE_CORS_ORIGINS": "https://app.example"})), quick=True)
    door.__class__ = Counted
    assert isinstance(door, Counted)
    return door


class Clock:
    """Of an event loop whose time passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[asyncio.TimerHandle] = []

    def time(self) -> float:
        return self.now

    def get_debug(self) -> bool:
        return False

    def call_soon(self, act: Any) -> asyncio.TimerHandle:
        return self.call_later(0.0, act)

    def call_later(self, delay: float, act: Any) -> asyncio.TimerHandle:
        self.timers.append(asyncio.TimerHandle(self.now + delay, act, (), cast(Any, self)))
        return self.timers[-1]

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        self.timers.remove(handle)

    def sleep(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [timer for timer in self.timers if timer.when() <= end]:
            first = min(due)
            self.now = first.when()
            self.timers.remove(first)
            first._run()
        self.now = end


class Line(asyncio.Transport):
    """A connection to the door, with a clock of its own and what was said on it."""

    def __init__(self, door: ServerDoor, *, keep_alive: float = 5) -> None:
        super().__init__()
        self.clock = Clock()
        self.said = b""
        self.closed = False
        config = uvicorn.Config(
            door, http=Connection, proxy_headers=False, ws="none", timeout_keep_alive=cast(int, keep_alive)
        )
        self._connection = Connection(config, ServerState(), {}, self.clock)
        self._connection.connection_made(self)

    def take(self, data: bytes) -> None:
        if data:
            self._connection.data_received(data)
        self.clock.sleep(0)

    def write(self, data: Any) -> None:
        self.said += data

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def link(door: Counted) -> Iterator[socket.socket]:
    with listening(door) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        yield link


def head(body: bytes, *lines: str, version: str = "1.1") -> bytes:
    said = (f"POST {INFER} HTTP/{version}", "host: here", f"content-length: {len(body)}", *lines)
    return "".join(f"{line}\r\n" for line in said).encode() + b"\r\n"


def read(stream: BinaryIO) -> tuple[int, dict[str, str], bytes]:
    status = int(stream.readline().split()[1])
    headers = {}
    while (line := stream.readline()) != b"\r\n":
        name, _, value = line.decode("latin-1").partition(":")
        headers[name.lower()] = value.strip()
    return status, headers, stream.read(int(headers.get("content-length", "0")))


def check(answer: tuple[int, dict[str, str], bytes]) -> None:
    status, headers, body = answer
    assert status == 200, body
    assert headers["lastmile-model"] == "digits"
    assert json.loads(body)["outputs"][1]["shape"] == [1, 10]


def test_a_short_prediction_is_answered_without_asgi_and_is_the_same(link: socket.socket, door: Counted) -> None:
    link.sendall(head(BODY) + BODY)
    with link.makefile("rb") as stream:
        answer = read(stream)
    check(answer)
    assert "date" in answer[1]
    assert door.came == 0
    assert b'lastmile_requests_total{model="digits",route="/v2/models/{model}/infer"' in door._metrics.response().body


def test_a_head_that_came_before_is_known_and_the_answers_are_the_same(link: socket.socket, door: Counted) -> None:
    start, data, rest = BODY.partition(b'"data": [')
    other, longer = start + data + (b"9" if rest[:1] != b"9" else b"8") + rest[1:], BODY + b" "
    answers = []
    with link.makefile("rb") as stream:
        for body in (BODY, other, BODY, longer, BODY, b"{", other):
            link.sendall(head(body) + body)
            answers.append(read(stream))
    assert len(door.heads) == 3
    assert [status for status, _, _ in answers] == [200, 200, 200, 200, 200, 400, 200]
    first, second, again, spaced, last, _, twice = (json.loads(body) for _, _, body in answers)
    assert first == again == spaced == last
    assert second == twice
    assert first["outputs"] != second["outputs"]
    assert {frozenset(headers) for _, headers, _ in answers[:5]} == {frozenset(answers[0][1])}
    assert b'model="digits",route="/v2/models/{model}/infer",status="200",version="1"} 6.0' in (
        door._metrics.response().body
    )


def test_a_known_head_with_more_or_less_behind_it_is_parsed(link: socket.socket, door: Counted) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    whole = head(BODY) + BODY
    with link.makefile("rb") as stream:
        for _ in range(2):
            link.sendall(whole)
            check(read(stream))
        link.sendall(whole + whole + whole[:100])
        check(read(stream))
        check(read(stream))
        link.sendall(whole[100:] + whole)
        check(read(stream))
        check(read(stream))
        link.sendall(whole[: len(head(BODY)) + 3])
        time.sleep(0.05)
        link.sendall(whole[len(head(BODY)) + 3 :])
        check(read(stream))
        link.sendall(whole)
        check(read(stream))
    assert door.came == 0
    assert len(door.heads) == 1


def test_known_heads_are_bounded(link: socket.socket, door: Counted, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_door_module, "MOST_HEADS", 5)
    with link.makefile("rb") as stream:
        for number in range(12):
            link.sendall(head(BODY, f"x-request-id: {number}") + BODY)
            check(read(stream))
            assert len(door.heads) <= 5
        link.sendall(head(BODY, f"x-request-id: {'a' * 5000}") + BODY)
        check(read(stream))
    assert all(len(known) < 5000 for known in door.heads)


def test_a_connection_is_kept_as_long_as_known_requests_come(door: Counted) -> None:
    line = Line(door, keep_alive=10)
    for _ in range(20):
        line.take(head(BODY) + BODY)
        check(read(io.BytesIO(line.said)))
        line.said = b""
        line.clock.sleep(9)
    assert not line.closed
    line.clock.sleep(0.9)
    assert not line.closed
    line.clock.sleep(0.2)
    assert line.closed


def test_a_body_may_come_in_pieces(link: socket.socket, door: Counted) -> None:
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sent = head(BODY) + BODY
    for at in range(0, len(sent), 100):
        link.sendall(sent[at : at + 100])
    with link.makefile("rb") as stream:
        check(read(stream))
    assert door.came == 0


def test_pipelined_requests_are_answered_in_order_however_they_go(link: socket.socket, door: Counted) -> None:
    large = BODY + b" " * MAX_BODY_BYTES
    bodies = [BODY, large, b"{", BODY, large, BODY]
    link.sendall(b"".join(head(body) + body for body in bodies))
    with link.makefile("rb") as stream:
        answers = [read(stream) for _ in bodies]
    assert [status for status, _, _ in answers] == [200, 200, 400, 200, 200, 200]
    assert 2 <= door.came <= len(bodies)


def test_a_client_that_takes_no_answers_is_given_none_beyond_a_limit(link: socket.socket, door: Counted) -> None:
    """What it has pipelined waits, and in the end it gets all of it."""
    count = 20_000
    link.setblocking(False)
    sent, data = 0, (head(BODY) + BODY) * count
    while sent < len(data):
        try:
            sent += link.send(data[sent : sent + (1 << 20)])
        except BlockingIOError:
            break  # the server reads no more
    assert sent < len(data)
    complete = sent // (len(data) // count)
    link.settimeout(20)
    with link.makefile("rb") as stream:
        for _ in range(complete):
            check(read(stream))


@pytest.mark.parametrize(
    ("lines", "version", "kept"), [([], "1.1", True), (["connection: close"], "1.1", False), ([], "1.0", False)]
)
def test_a_connection_is_closed_when_the_client_wants_it(
    link: socket.socket, door: Counted, lines: list[str], version: str, kept: bool
) -> None:
    link.sendall(head(BODY, *lines, version=version) + BODY)
    with link.makefile("rb") as stream:
        answer = read(stream)
        check(answer)
        assert (answer[1].get("connection") != "close") == kept
        if kept:
            link.sendall(head(BODY) + BODY)
            check(read(stream))
        else:
            assert stream.read() == b""
    assert door.came == 0


def test_who_expects_to_be_told_to_go_on_is_told(link: socket.socket) -> None:
    link.sendall(head(BODY, "expect: 100-continue"))
    with link.makefile("rb") as stream:
        assert read(stream)[0] == 100
        link.sendall(BODY)
        check(read(stream))


def test_a_body_of_unknown_length_goes_the_way_of_asgi(link: socket.socket, door: Counted) -> None:
    chunked = f"POST {INFER} HTTP/1.1\r\nhost: here\r\ntransfer-encoding: chunked\r\n\r\n{len(BODY):x}\r\n".encode()
    link.sendall(chunked + BODY + b"\r\n0\r\n\r\n")
    with link.makefile("rb") as stream:
        check(read(stream))
    assert door.came == 1


def test_what_is_no_prediction_goes_the_way_of_asgi(link: socket.socket, door: Counted) -> None:
    link.sendall(b"POST /nowhere HTTP/1.1\r\nhost: here\r\ncontent-length: 2\r\n\r\n{}")
    link.sendall(b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n")
    with link.makefile("rb") as stream:
        assert [read(stream)[0] for _ in range(2)] == [404, 200]
    assert door.came == 2


def test_an_allowed_page_may_read_the_answer(link: socket.socket) -> None:
    link.sendall(head(BODY, "origin: https://app.example") + BODY)
    with link.makefile("rb") as stream:
        _, headers, _ = read(stream)
    assert headers["access-control-allow-origin"] == "https://app.example"


def test_an_unforeseen_exception_is_an_incident_and_the_connection_goes_on(
    link: socket.socket, door: Counted, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch, link.makefile("rb") as stream:
        patch.setattr(door._protocols, "call", lambda *given: 1 / 0)
        link.sendall(head(BODY) + BODY)
        status, _, body = read(stream)
    assert (status, json.loads(body)["error"]) == (500, "internal error")
    assert "ZeroDivisionError" in capfd.readouterr().err
    link.sendall(head(BODY) + BODY)
    with link.makefile("rb") as stream:
        check(read(stream))


LAST = b"GET /nowhere HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n"


def exchange(door: Counted, *pieces: bytes, last: bytes = LAST, close: bool = False) -> list[int]:
    """The statuses of all that comes back for these pieces; of the last request, which ends the connection, a 404."""
    said = b""
    with listening(door) as port, socket.create_connection(("127.0.0.1", port), timeout=60) as link:
        link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with suppress(ConnectionError):  # the server may close before it has read everything
            for piece in pieces:
                link.sendall(piece)
                time.sleep(0.05)
            if last:
                link.sendall(last)
            if close:
                link.shutdown(socket.SHUT_WR)
        with suppress(ConnectionError):
            while more := link.recv(1 << 16):
                said += more
    return statuses(said)


def statuses(said: bytes) -> list[int]:
    return [int(part[:3]) for part in said.split(b"HTTP/1.1 ")[1:]]


OFFERS = ("connection: Upgrade, HTTP2-Settings", "upgrade: h2c", "http2-settings: AAMAAABkAAQCAAAAAAIAAAAA")


@pytest.mark.parametrize("apart", [False, True])
def test_an_offer_of_another_protocol_is_not_taken_and_the_body_is_read(door: Counted, apart: bool) -> None:
    pieces = [head(BODY, *OFFERS), BODY, head(BODY) + BODY]
    assert exchange(door, *(pieces if apart else [b"".join(pieces)])) == [200, 200, 404]


def test_a_body_behind_an_offer_of_another_protocol_is_no_request(door: Counted) -> None:
    body = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"
    assert exchange(door, head(body, *OFFERS), body) == [400, 404]


def test_a_chunked_body_behind_an_offer_of_another_protocol_is_read(door: Counted) -> None:
    start = "".join(
        f"{line}\r\n" for line in (f"POST {INFER} HTTP/1.1", "transfer-encoding: chunked", *OFFERS)
    ).encode()
    assert exchange(door, start + b"\r\n%x\r\n%b\r\n0\r\n\r\n" % (len(BODY), BODY)) == [200, 404]


@pytest.mark.parametrize(
    "begins",
    [f"POST {INFER} HTTP/1.1\r\nx: ", "GET /", f"POST {INFER} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n0\r\nx: "],
)
def test_a_head_without_end_is_refused_early(door: Counted, begins: str) -> None:
    with listening(door) as port, socket.create_connection(("127.0.0.1", port), timeout=20) as link:
        link.sendall(begins.encode())
        sent = 0
        try:
            while sent < 100 << 20:
                link.sendall(b"a" * (1 << 18))
                sent += 1 << 18
        except OSError:
            pass
    assert sent < 20 << 20  # what the sockets hold


def test_a_head_that_is_long_but_ends_is_read(door: Counted) -> None:
    assert exchange(door, head(BODY, f"x: {'a' * 60_000}") + BODY) == [200, 404]


def test_what_follows_a_chunked_body_is_no_part_of_the_head(door: Counted) -> None:
    start = f"POST {INFER} HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n".encode()
    chunk = b"%x\r\n%b\r\n" % (len(BODY), BODY)
    assert exchange(door, start, chunk + b"0\r\ncontent-encoding: gzip\r\n\r\n") == [200, 404]


def test_a_request_before_one_that_cannot_be_parsed_is_answered(door: Counted) -> None:
    whole = head(BODY) + BODY
    assert exchange(door, whole + b"GARBAGE\r\n\r\n", last=b"") == [200, 400]


def test_a_client_that_sends_no_more_is_answered(door: Counted) -> None:
    whole = head(BODY) + BODY
    assert exchange(door, whole, whole, last=b"", close=True) == [200, 200]


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_that_asks_nothing_is_not_kept(door: Counted, sent: bytes) -> None:
    line = Line(door, keep_alive=10)
    line.take(sent)
    line.clock.sleep(9.9)
    assert not line.closed
    line.clock.sleep(0.2)
    assert line.closed


def test_uvicorns_own_clock_closes_a_connection_that_asks_nothing(door: Counted) -> None:
    with (
        listening(door, timeout_keep_alive=1) as port,
        socket.create_connection(("127.0.0.1", port), timeout=60) as link,
    ):
        assert link.recv(1) == b""


@pytest.mark.parametrize("behind", [10, len(head(BODY)) + 3])
def test_a_request_without_end_is_not_waited_for(door: Counted, behind: int) -> None:
    line = Line(door)
    line.take((head(BODY) + BODY)[:behind])
    for _ in range(29):
        line.clock.sleep(LONGEST_REQUEST_SECONDS / 30)
        line.take(b"1")
    assert not line.closed
    line.clock.sleep(LONGEST_REQUEST_SECONDS / 30)
    assert (line.closed, line.said) == (True, b"")


def test_a_slow_request_that_ended_leaves_no_limit_behind(door: Counted) -> None:
    line = Line(door, keep_alive=10 * LONGEST_REQUEST_SECONDS)
    whole = head(BODY) + BODY
    for wait, pieces in ((0.9, (whole[:50], whole[50:])), (0.2, (whole,))):
        for piece in pieces:
            line.take(piece)
            line.clock.sleep(wait * LONGEST_REQUEST_SECONDS)
        check(read(io.BytesIO(line.said)))
        line.said = b""
    assert not line.closed


def test_requests_that_wait_for_their_turn_are_bounded(door: Counted) -> None:
    ask = b"GET /health HTTP/1.1\r\nhost: here\r\n\r\n"
    assert exchange(door, ask * 200) == [200] * 200 + [404]
    came = door.came
    assert 400 in exchange(door, ask * 5000, last=b"")
    assert door.came - came < 1000
