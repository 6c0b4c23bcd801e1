"""Answers that leave together, at the end of a turn of the event loop."""

import asyncio
from time import perf_counter

LONGEST_WAIT_SECONDS = 0.002


class Outbox:
    """Sending wakes up a reader, which costs more than a small prediction; a second answer right after it does not."""

    def __init__(self) -> None:
        self._waiting: list[tuple[asyncio.Transport, bytes]] = []
        self._since = 0.0

    def put(self, transport: asyncio.Transport, data: bytes, loop: asyncio.AbstractEventLoop) -> None:
        """Sent at the end of this turn of the event loop, or earlier when the turn takes long."""
        now = perf_counter()
        if not self._waiting:
            loop.call_soon(self.send)
            self._since = now
        self._waiting.append((transport, data))
        if now - self._since > LONGEST_WAIT_SECONDS:
            self.send()

    def send(self) -> None:
        waiting, self._waiting = self._waiting, []
        for transport, data in waiting:
            if not transport.is_closing():
                transport.write(data)
