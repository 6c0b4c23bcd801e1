"""Work that no answer waits for, in threads of its own."""

import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Semaphore

from functions.inference.captures import Captures
from functions.inference.lines import Lines

SHADOWS_WAITING = 64

type Task = Callable[[], None]


class Background:
    """Refreshes of releases always run; a shadow run is dropped where too many wait, for it may be slower than what it
    shadows."""

    def __init__(self, captures: Captures | None = None) -> None:
        """`captures` take the place of lines on standard output."""
        self._refreshes = ThreadPoolExecutor(2, thread_name_prefix="refresh")
        self._shadows = ThreadPoolExecutor(1, thread_name_prefix="shadow")
        self._room = Semaphore(SHADOWS_WAITING)
        self.dropped = 0
        self.captures = captures
        self.lines: Captures | Lines = captures or Lines()

    def refresh(self, task: Task) -> None:
        self._refreshes.submit(_told, task)

    def shadow(self, task: Task) -> None:
        if not self._room.acquire(blocking=False):
            self.dropped += 1
            return
        self._shadows.submit(self._leave_room, task)

    def close(self) -> None:
        """Finish what runs, drop what waits."""
        self._shadows.shutdown(cancel_futures=True)
        self._refreshes.shutdown(cancel_futures=True)
        self.lines.close()

    def _leave_room(self, task: Task) -> None:
        try:
            _told(task)
        finally:
            self._room.release()


def _told(task: Task) -> None:
    """A thread pool keeps exceptions to itself."""
    try:
        task()
    except Exception:  # noqa: BLE001 nobody else would hear of it
        sys.stderr.write(f"lastmile: unexpected in the background\n{traceback.format_exc()}")
