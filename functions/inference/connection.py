"""HTTP connections of the server door: a prediction that is known to be short is answered as soon as it is read.

uvicorn parses and looks after the connection as always. What it does then, a task and three messages for each request,
takes longer than a small model: here the door is called directly, and only what it leaves goes the way of ASGI. Nor is
a head parsed that has been parsed before: clients send the same bytes again and again.
"""

from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from functions.inference.asgi import Scope
from functions.inference.server_door import Head, ServerDoor
from lastmile.protocols.messages import Response

MAX_BODY_BYTES = 32 << 10  # below uvicorn's limit from which on a body is read by turns
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

    def data_received(self, data: bytes) -> None:
        self._whole = b""
        if self._between:
            end = data.find(END) + len(END)
            known = self._door.heads.get(data[:end])
            if known is not None and len(data) == end + known[1] and self._answered_again(known[0], data[end:]):
                return
            self._whole = data
        super().data_received(data)
        self._whole = b""

    def on_message_begin(self) -> None:
        self._between = False
        super().on_message_begin()

    def on_message_complete(self) -> None:
        self._between = True
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
