"""HTTP connections to one host that are used again, and an end to waiting for each request."""

import ssl
import time
from collections.abc import Callable, Mapping
from http.client import HTTPConnection, HTTPException, HTTPSConnection, RemoteDisconnected
from select import POLLIN, poll
from threading import Lock
from typing import NamedTuple
from urllib.parse import urlsplit

from lastmile.errors import EndpointUnavailable

CONNECT_SECONDS = 3.0
IDLE_SECONDS = 20.0  # an older connection may be gone without a word
MOST_IDLE = 16
PIECE = 1 << 18
MOST_BYTES = 64 << 20  # of an answer


class Deadline:
    """A moment, from which on nobody waits any more."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._end = clock() + seconds
        self._seconds = seconds

    def left(self) -> float:
        """Seconds, above 0; raises EndpointUnavailable when there are none left."""
        left = self._end - self._clock()
        if left <= 0:
            raise EndpointUnavailable("slow", f"the endpoint has not answered within {self._seconds:g} s")
        return left


class Reply(NamedTuple):
    """Header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class Connections:
    """Each thread takes one and gives it back; what may be broken is closed instead."""

    def __init__(self, url: str, certificates: str | None = None) -> None:
        parts = urlsplit(url)
        self.host = parts.netloc
        self._secure = parts.scheme == "https"
        self._certificates = certificates
        self._context: ssl.SSLContext | None = None
        self._idle: list[tuple[HTTPConnection, float]] = []
        self._lock = Lock()

    def post(self, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline) -> Reply:
        """Raises EndpointUnavailable, and says whether the request may be sent again."""
        connection = self._take()
        is_used = connection is not None
        if connection is None:
            connection = self._connect(deadline)
        try:
            reply, is_open = _exchange(connection, path, headers, body, deadline)
        except BaseException as error:
            connection.close()
            if isinstance(error, (OSError, HTTPException)):
                raise _unavailable(error, is_used=is_used, deadline=deadline) from error
            raise
        if is_open:
            self._give_back(connection)
        else:
            connection.close()
        return reply

    def close(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection, _ in idle:
            connection.close()

    def _take(self) -> HTTPConnection | None:
        """The one used last, if it is still there."""
        now = time.monotonic()
        while True:
            with self._lock:
                if not self._idle:
                    return None
                connection, since = self._idle.pop()
            if now - since < IDLE_SECONDS and _is_silent(connection):
                return connection
            connection.close()

    def _give_back(self, connection: HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append((connection, time.monotonic()))
                return
        connection.close()

    def _connect(self, deadline: Deadline) -> HTTPConnection:
        """Nothing was sent yet, so a failure may be tried again."""
        seconds = min(CONNECT_SECONDS, deadline.left())
        connection: HTTPConnection
        try:
            if self._secure:
                if self._context is None:
                    self._context = ssl.create_default_context(cafile=self._certificates)
                connection = HTTPSConnection(self.host, timeout=seconds, context=self._context)
            else:
                connection = HTTPConnection(self.host, timeout=seconds)
            connection.connect()
        except OSError as error:
            raise EndpointUnavailable("failing", f"{self.host} cannot be reached: {error}", retry_safe=True) from error
        return connection


def _is_silent(connection: HTTPConnection) -> bool:
    """What can be read before anything was asked is the end of the connection."""
    try:
        poller = poll()  # `select` cannot look at descriptors from 1024 on
        poller.register(connection.sock, POLLIN)
        return not poller.poll(0)
    except (OSError, ValueError):
        return False


class _NotSent(OSError):
    """The request did not arrive as a whole."""


def _exchange(
    connection: HTTPConnection, path: str, headers: Mapping[str, str], body: bytes, deadline: Deadline
) -> tuple[Reply, bool]:
    """The answer, and whether the connection can be used again."""
    socket = connection.sock
    assert socket is not None
    socket.settimeout(deadline.left())
    try:
        connection.request("POST", path, body, dict(headers))
    except TimeoutError:
        raise
    except OSError as error:
        raise _NotSent(str(error)) from error
    socket.settimeout(deadline.left())
    response = connection.getresponse()
    pieces, size = [], 0
    while piece := response.read1(PIECE):
        pieces.append(piece)
        size += len(piece)
        if size > MOST_BYTES:
            raise EndpointUnavailable("garbage", f"the endpoint answers with more than {MOST_BYTES:,} bytes")
        socket.settimeout(deadline.left())
    if response.length:  # read1 ends at the end of the connection as at the end of the answer
        raise HTTPException(f"the answer ends {response.length} bytes early")
    reply = Reply(response.status, {name.lower(): value for name, value in response.getheaders()}, b"".join(pieces))
    return reply, not response.will_close


def _unavailable(error: OSError | HTTPException, *, is_used: bool, deadline: Deadline) -> EndpointUnavailable:
    if isinstance(error, TimeoutError):
        try:
            deadline.left()
        except EndpointUnavailable as slow:
            return slow
        return EndpointUnavailable("slow", "the endpoint has not answered in time")
    # One end closed a connection that had been used while the other sent: nobody read the request.
    is_stale = is_used and isinstance(error, RemoteDisconnected | ConnectionResetError)
    safe = isinstance(error, _NotSent) or is_stale
    return EndpointUnavailable("failing", f"the endpoint broke off: {error or type(error).__name__}", retry_safe=safe)
