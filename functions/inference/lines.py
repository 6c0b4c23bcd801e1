"""Lines on standard output, written by a thread of their own, so that no answer waits for whoever reads them."""

import sys
from collections.abc import Callable
from threading import Event, Lock, Thread

PAUSE_SECONDS = 0.05  # the longest that a line is kept back: what comes meanwhile is one write
MOST_WAITING = 50_000  # when the reader has stopped, whoever adds a line waits for it too; one may have 250 kB
MOST_BYTES = 64 << 20


def write_bytes(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


class Lines:
    """Appends each line whole and in order; `close` writes what is left."""

    def __init__(self, write: Callable[[bytes], object] = write_bytes) -> None:
        self._write = write
        self._waiting: list[bytes] = []
        self._bytes = 0  # of them, or a little less: threads that add at once may count one of their lines alone
        self._some = Event()
        self._closing = Event()
        self._writing = Lock()
        self._thread = Thread(target=self._keep_writing, name="lines", daemon=True)
        self._thread.start()

    def __call__(self, line: bytes) -> None:
        waiting = self._waiting
        waiting.append(line)
        self._bytes += len(line)
        if len(waiting) == 1:
            self._some.set()
        elif len(waiting) > MOST_WAITING or self._bytes > MOST_BYTES:
            self._write_all()

    def close(self) -> None:
        self._closing.set()
        self._some.set()
        self._thread.join()
        self._write_all()

    def _keep_writing(self) -> None:
        while not self._closing.is_set():
            self._some.wait()
            self._some.clear()
            self._closing.wait(PAUSE_SECONDS)
            self._write_all()

    def _write_all(self) -> None:
        with self._writing:
            count, self._bytes = len(self._waiting), 0
            data = b"".join(self._waiting[:count])
            del self._waiting[:count]  # others append meanwhile
            try:
                self._write(data)
            except OSError as error:
                sys.stderr.write(f"lastmile: {count} lines are lost: {error}\n")
