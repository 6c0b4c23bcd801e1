"""HTTP connections of the server door: a prediction that is known to be short is answered as soon as it is read.

uvicorn parses and looks after the connection as always. What it does then, a task and three messages for each request,
takes longer than a small model: here the door is called directly, and only what it leaves goes the way of ASGI.
"""

from typing import Any, cast

from uvicorn._types import ASGI3Application
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

from functions.inference.asgi import Scope
from functions.inference.server_door import ServerDoor
from lastmile.protocols.messages import Response

MAX_BODY_BYTES = 32 << 10  # below uvicorn's limit from which on a body is read by turns


class Connection(HttpToolsProtocol):
    """The `http` of a uvicorn whose application is a ServerDoor, with nothing around it (`proxy_headers=False`)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        assert isinstance(self.app, ServerDoor)
        self._door = self.app
        self._held: RequestResponseCycle | None = None

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        """Called when the head of a request was read; one with a small body is held until that was read too."""
        if cycle is self.cycle and cycle.more_body and not cycle.waiting_for_100_continue and _has_small_body(cycle):
            self._held = cycle
        else:
            super()._start_asgi_task(cycle, app)

    def on_message_complete(self) -> None:
        super().on_message_complete()
        cycle, self._held = self._held, None
        if cycle is None:
            return
        response = None
        if not self.flow.write_paused:  # nobody is given more answers who does not take them
            response = self._door.answer_now(cast(Scope, cycle.scope), bytes(cycle.body))
        if response is None:
            super()._start_asgi_task(cycle, self.app)
        else:
            self._answer(cycle, response)

    def shutdown(self) -> None:
        self._door.outbox.send()
        super().shutdown()

    def _answer(self, cycle: RequestResponseCycle, response: Response) -> None:
        parts = [STATUS_LINE[response.status]]
        for name, value in self.server_state.default_headers:
            parts += (name, b": ", value, b"\r\n")
        for key, text in response.headers.items():
            parts.append(f"{key}: {text}\r\n".encode("latin-1"))
        if not cycle.keep_alive:
            parts.append(b"connection: close\r\n")
        parts += (b"content-length: %d\r\n\r\n" % len(response.body), response.body)
        self._door.outbox.put(self.transport, b"".join(parts), self.loop)
        cycle.response_started = cycle.response_complete = True
        if not cycle.keep_alive:
            self._door.outbox.send()
            self.transport.close()
        self.on_response_complete()


def _has_small_body(cycle: RequestResponseCycle) -> bool:
    for name, value in cycle.scope["headers"]:
        if name == b"content-length":
            return int(value) <= MAX_BODY_BYTES
    return False
