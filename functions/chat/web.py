"""HTTP to others: bounded in time, never following where it is led, and telling what may be tried again."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson
import urllib3

from lastmile.errors import LastmileError

MOST_BYTES = 1 << 20
LATER_SECONDS = 5.0  # when a service does not say how long to wait


class TryLater(LastmileError):
    """The other side is busy or away; `seconds` is how long it asks to be left alone."""

    def __init__(self, message: str, seconds: float = LATER_SECONDS) -> None:
        super().__init__(message)
        self.seconds = seconds


class Refused(LastmileError):
    """The other side does not want this, and will not want it later."""


@dataclass(frozen=True, slots=True)
class Page:
    """`document` is None where the body is no JSON object."""

    status: int
    document: dict[str, Any] | None


class Web(Protocol):
    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Any = None, seconds: float = 3.0
    ) -> Page:
        """One request, whatever status it has; raises TryLater for 429, 5xx and no answer, and Refused for what cannot
        be sent at all."""


class Internet:
    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(retries=False, maxsize=8)

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Any = None, seconds: float = 3.0
    ) -> Page:
        sent = None if body is None else body if isinstance(body, bytes) else orjson.dumps(body)
        kind = {} if sent is None else {"content-type": "application/json; charset=utf-8"}
        ends = time.monotonic() + seconds
        try:
            answer = self._pool.request(
                method,
                url,
                body=sent,
                headers=kind | dict(headers),
                timeout=urllib3.Timeout(total=seconds),
                redirect=False,
                preload_content=False,
            )
            data = _read(answer, ends)
            answer.release_conn()
        except ValueError as error:  # its words may be those of the secret
            raise Refused(f"an address or a header cannot be sent: {type(error).__name__}") from None
        except urllib3.exceptions.HTTPError as error:
            raise TryLater(f"{host(url)} does not answer: {type(error).__name__}") from None  # the URL may hold a token
        document = _object(data)
        if answer.status == 429 or answer.status >= 500:
            raise TryLater(
                f"{host(url)} answers {answer.status}", _wait(answer.headers.get("retry-after"), document or {})
            )
        return Page(answer.status, document)


def _read(answer: urllib3.BaseHTTPResponse, ends: float) -> bytes:
    """What comes in time: each piece of it may take as long as the whole."""
    data = b""
    while len(data) < MOST_BYTES and (piece := answer.read1(MOST_BYTES - len(data))):
        if time.monotonic() > ends:
            raise urllib3.exceptions.TimeoutError
        data += piece
    return data


def host(url: str) -> str:
    return urllib3.util.parse_url(url).host or "the service"


def _wait(header: str | None, document: Mapping[str, Any]) -> float:
    """Of Slack, Zendesk and Teams the header says it, of Discord the body too, of Telegram the body alone."""
    told = document.get("parameters")
    for found in (header, document.get("retry_after"), told.get("retry_after") if isinstance(told, dict) else None):
        try:
            seconds = float(found)  # type: ignore[arg-type]
        except (TypeError, ValueError):  # not there, or a date: nobody of ours sends one
            continue
        if math.isnan(seconds):
            continue
        return min(max(seconds, 0.0), 900.0)
    return LATER_SECONDS


def _object(data: bytes) -> dict[str, Any] | None:
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError:
        return None
    return document if isinstance(document, dict) else None
