"""HTTP connections of the server door: a prediction that is known to be short is answered as soon as it is read.

uvicorn parses and looks after the connection as always. What it does then, a task and three messages for each request,
takes longer than a small model: here the door is called directly, and only what it leaves goes the way of ASGI. Nor is
a head parsed that has been parsed before: clients send the same bytes again and again.
"""

import asyncio
from typing import Any, cast

import httptools
from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from functions.inference.asgi import Scope
from functions.inference.server_door import Head, ServerDoor
from lastmile.protocols.messages import Response

MAX_BODY_BYTES = 32 << 10  # below uvicorn's limit from which on a body is read by turns
MAX_HEAD_BYTES = 64 << 10  # beyond what came at once with its beginning; the same for what follows a body in chunks
LONGEST_REQUEST_SECONDS = 300.0  # from its beginning to its end: the body limit at 20 kB a second
MOST_WAITING = 256  # requests of one connection, sent before the answers to those before them
TOO_MANY = f"At most {MOST_WAITING} requests of a connection wait for their turn."
TOO_LONG = f"The head of a request has at most {MAX_HEAD_BYTES:,} bytes."
END = b"\r\n\r\n"


class Connection(HttpToolsProtocol):
    """The `http` of a uvicorn whose application is a ServerDoor, with nothing around it (`proxy_headers=False`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert isinstance(self.app, ServerDoor)
        self._door = self.app
        self._held: RequestResponseCycle | None = None
        self._between = True  # requests: the parser has no part of one
        self._whole = b""  # what came last, where it began with the head of a request
        self._active = 0.0
        self._unread = 0  # bytes that neither ended a head nor were of a body
        self._end_of_time: asyncio.TimerHandle | None = None  # of the request that is being read

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._wait_for_request()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._unset_keepalive_if_required()
        self._end_waiting()

    def data_received(self, data: bytes) -> None:
        self._whole = b""
        if self._between:
            end = data.find(END) + len(END)
            known = self._door.heads.get(data[:end])
            if known is not None and len(data) == end + known[1] and self._answered_again(known[0], data[end:]):
                return
            self._whole = data
            self._unread = -len(data)
        self._unread += len(data)
        self._unset_keepalive_if_required()
        try:
            self._parse(data)
        except httptools.HttpParserError:
            if not self.transport.is_closing():
                self.logger.warning("Invalid HTTP request received.")
                self.send_400_response("Invalid HTTP request received.")
            return
        self._whole = b""
        if self._between:
            self._wait_for_request()
        elif self._unread > MAX_HEAD_BYTES:
            self.send_400_response(TOO_LONG)
        elif self._end_of_time is None:
            self._end_of_time = self.loop.call_later(LONGEST_REQUEST_SECONDS, self.transport.close)

    def _parse(self, data: bytes) -> None:
        """No other protocol is spoken here: a request that offers one is parsed again without its offer, as what comes
        behind its head is not parsed with it. https://www.rfc-editor.org/rfc/rfc9110#section-7.8"""
        while data:
            try:
                self.parser.feed_data(data)
                data = b""
            except httptools.HttpParserUpgrade as upgrade:
                version = self.parser.get_http_version().encode()
                lines = [b"%b %b HTTP/%b" % (self.parser.get_method(), self.url, version)]
                lines += [b"%b: %b" % header for header in self.headers if header[0] != b"upgrade"]
                data = b"\r\n".join(lines) + END + data[upgrade.args[0] :]
                self.parser = httptools.HttpRequestParser(self)
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        self._unread = 0
        if not self._offers_other_protocol():
            super().on_headers_complete()
            self.headers = []  # of what comes behind the body, which is no part of the head
            if len(self.pipeline) > MOST_WAITING:
                self.send_400_response(TOO_MANY)
                raise httptools.HttpParserError(TOO_MANY)  # the rest is not read

    def on_body(self, body: bytes) -> None:
        self._unread = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if self._offers_other_protocol():
            return
        self._between = True
        self._unread = 0
        self._end_waiting()
        super().on_message_complete()
        cycle, self._held = self._held, None
        if cycle is None:
            return
        response = None
        if not self.flow.write_paused:  # nobody is given more answers who does not take them
            body = bytes(cycle.body)
            head = self._door.head(cast(Scope, cycle.scope))
            response = None if head is None else self._door.answer_now(head, body)
        if response is None:
            super()._start_asgi_task(cycle, self.app)
            return
        assert head is not None
        end = len(self._whole) - len(body)
        if cycle.keep_alive and self._whole.find(END) + len(END) == end:
            self._door.remember(self._whole[:end], head, len(body))
        self._send(response, keep_alive=cycle.keep_alive)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self._door.outbox.send()
            self.transport.close()
        self.on_response_complete()

    def on_response_complete(self) -> None:
        self._active = self.loop.time()
        super().on_response_complete()

    def timeout_keep_alive_handler(self) -> None:
        """What is answered again leaves the timer as it is; so the timer looks when that was."""
        left = self._active + self.timeout_keep_alive - self.loop.time()
        if left > 0.001:
            self.timeout_keep_alive_task = self.loop.call_later(left, self.timeout_keep_alive_handler)
        else:
            super().timeout_keep_alive_handler()

    def send_400_response(self, msg: str) -> None:
        self._door.outbox.send()  # what was answered before
        super().send_400_response(msg)

    def shutdown(self) -> None:
        self._door.outbox.send()
        super().shutdown()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called when the head of a request was read; one with a small body is held until that was read too."""
        if cycle is self.cycle and cycle.more_body and not cycle.waiting_for_100_continue and _has_small_body(cycle):
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def _answered_again(self, head: Head, body: bytes) -> bool:
        """Whether the request could be answered at once."""
        if self.flow.write_paused or not self._is_idle():
            return False
        response = self._door.answer_now(head, body)
        if response is None:
            return False
        self._send(response, keep_alive=True)
        self.server_state.total_requests += 1
        self._active = self.loop.time()
        return True

    def _offers_other_protocol(self) -> bool:
        offers: bool = self.parser.should_upgrade() and self.parser.get_method() != b"CONNECT"
        return offers

    def _wait_for_request(self) -> None:
        """Nobody holds a connection who asks nothing."""
        if self.timeout_keep_alive_task is None and (self.cycle is None or self.cycle.response_complete):
            self._active = self.loop.time()
            later = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = later

    def _end_waiting(self) -> None:
        if self._end_of_time is not None:
            self._end_of_time.cancel()
            self._end_of_time = None

    def _is_idle(self) -> bool:
        """Everything before was answered, and the keep-alive timer runs."""
        return self.timeout_keep_alive_task is not None and not self.transport.is_closing()

    def _send(self, response: Response, *, keep_alive: bool) -> None:
        lines = [f"{name}: {text}\r\n" for name, text in response.headers.items()]
        if not keep_alive:
            lines.append("connection: close\r\n")
        lines.append(f"content-length: {len(response.body)}\r\n\r\n")
        start = STATUS_LINE[response.status] + self._door.default_lines(self.server_state.default_headers)
        data = b"".join((start, "".join(lines).encode("latin-1"), response.body))
        self._door.outbox.put(self.transport, data, self.loop)


def _has_small_body(cycle: RequestResponseCycle) -> bool:
    for name, value in cycle.scope["headers"]:
        if name == b"content-length":
            return int(value) <= MAX_BODY_BYTES
    return False
