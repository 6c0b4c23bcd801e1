"""An endpoint that fails is left alone for a while: whoever asks meanwhile need not wait to hear it."""

import time
from collections.abc import Callable
from threading import Lock

from lastmile.errors import EndpointUnavailable

FAILURES = 3  # one after the other
REST_SECONDS = 5.0


class Breaker:
    """Closed while calls succeed; open, for `rest_seconds`, after `failures` that follow one another; then one call is
    let through, and what becomes of it decides. Safe to share between threads."""

    def __init__(
        self,
        *,
        failures: int = FAILURES,
        rest_seconds: float = REST_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._most = failures
        self._rest_seconds = rest_seconds
        self._clock = clock
        self._failed = 0
        self._last: EndpointUnavailable | None = None
        self._until = 0.0
        self._lock = Lock()

    def check(self) -> None:
        """Raises what went wrong last, while there is no use in asking again."""
        if self._failed < self._most:
            return
        with self._lock:
            now = self._clock()
            if self._last is not None and now < self._until:
                raise EndpointUnavailable(self._last.reason, f"{self._last} (not asked again yet)")
            self._until = now + self._rest_seconds  # this caller tries; the others wait for what it finds

    def succeeded(self) -> None:
        if self._failed:
            with self._lock:
                self._failed, self._last = 0, None

    def failed(self, error: EndpointUnavailable) -> None:
        """What the model refuses says nothing of the endpoint."""
        if error.reason == "refused":
            return
        with self._lock:
            self._failed += 1
            self._last = error
            if self._failed >= self._most:
                self._until = self._clock() + self._rest_seconds
