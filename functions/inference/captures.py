"""Captures of a server as objects, in the layout that the capture function writes on AWS.

Nobody waits for it and it does not grow: what there is no room for is left out, counted, and said. What has been
written survives a crash; what still waits, of a few seconds, does not.
"""

import os
import socket
import sys
import time
import traceback
from collections.abc import Mapping, Sequence
from itertools import count
from threading import Event, Lock, Thread

from lastmile.errors import LastmileError
from lastmile.keeping import Keeper, Line
from lastmile.registry import Registry
from lastmile.store import Store
from lastmile.ulid import new_ulid

FLUSH_SECONDS = 10.0
FLUSH_BYTES = 8 << 20
MOST_BYTES = 64 << 20  # waiting, those that are being written included
PAUSE_SECONDS = 0.02  # between parts of a flush, so that predictions get their turn
LINES_PER_FLUSH = 5_000
RETRY_SECONDS = 30.0
LAST_SECONDS = 15.0  # for the flush at the end


class Captures:
    """Takes lines from any thread; one thread of its own writes them, every few seconds or megabytes."""

    def __init__(
        self,
        keeper: Keeper,
        *,
        flush_seconds: float = FLUSH_SECONDS,
        most_bytes: int = MOST_BYTES,
        retry_seconds: float = RETRY_SECONDS,
    ) -> None:
        self._keeper = keeper
        self._flush_seconds = flush_seconds
        self._most_bytes = most_bytes
        self._retry_seconds = retry_seconds
        self._stream = f"{socket.gethostname()}:{os.getpid()}:{new_ulid()}"
        self._numbers = count()
        self._waiting: list[tuple[str, float, bytes]] = []
        self._bytes = 0
        self._cut = 0  # of the part that could not be written, which must stay the same
        self._lock = Lock()
        self._wake = Event()
        self._closing = Event()
        self.dropped = 0
        self.refused = 0
        self._told = 0
        self._thread = Thread(target=self._keep_flushing, name="captures", daemon=True)
        self._thread.start()

    @classmethod
    def open(cls, artifacts: str, data: str, environ: Mapping[str, str]) -> "Captures":
        registry = Registry(Store.open(artifacts, environ=environ))
        return cls(Keeper(registry, Store.open(data, environ=environ)))

    def __call__(self, line: bytes) -> None:
        size = len(line)
        with self._lock:
            if self._bytes + size > self._most_bytes:
                self.dropped += 1
                return
            self._bytes += size
            self._waiting.append((str(next(self._numbers)), time.time(), line))
        if self._bytes > FLUSH_BYTES:
            self._wake.set()

    @property
    def waiting(self) -> int:
        """What a crash would lose now."""
        return len(self._waiting)

    def close(self) -> None:
        """Write what is left, within some seconds; what cannot be written by then is lost, and said."""
        self._closing.set()
        self._wake.set()
        self._thread.join(LAST_SECONDS)
        with self._lock:
            self.dropped += len(self._waiting)
            self._waiting, self._bytes = [], 0
        self._tell()

    def _keep_flushing(self) -> None:
        while not self._closing.is_set():
            self._wake.wait(self._flush_seconds)
            self._wake.clear()
            wait = 0.0 if self._flush() else self._retry_seconds
            self._tell()
            self._closing.wait(wait)
        self._flush()

    def _flush(self) -> bool:
        """Whether all that waited when it began is written."""
        left = len(self._waiting)
        while left > 0:
            self._cut = self._cut or min(left, LINES_PER_FLUSH)
            part = self._waiting[: self._cut]
            if not self._written([Line(number, at, line.decode()) for number, at, line in part]):
                return False
            self._cut = 0
            with self._lock:
                del self._waiting[: len(part)]  # others append meanwhile
                self._bytes -= sum(len(line) for _, _, line in part)
            left -= len(part)
            self._closing.wait(PAUSE_SECONDS)
        return True

    def _written(self, lines: Sequence[Line]) -> bool:
        try:
            self.refused += self._keeper.keep(self._stream, lines).refused
        except LastmileError as error:
            sys.stderr.write(f"lastmile: {len(lines)} captures wait: {error}\n")
            return False
        except Exception:  # noqa: BLE001 the thread must go on, and nobody else would hear of it
            sys.stderr.write(f"lastmile: {len(lines)} captures wait: unexpected\n{traceback.format_exc()}")
            return False
        return True

    def _tell(self) -> None:
        if self.dropped > self._told:
            sys.stderr.write(f"lastmile: {self.dropped - self._told} captures are lost for want of room or time\n")
            self._told = self.dropped
