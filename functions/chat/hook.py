"""The hook door: verifies a webhook before anything else, answers in the platform's words, and queues what it says."""

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol
from urllib.parse import parse_qsl

import orjson
from aws_lambda_powertools import Logger

from functions.chat.message import Answer, Incoming, Malformed
from functions.chat.openapi import PATH as DOCUMENT
from functions.chat.platforms import PLATFORMS, Platform
from functions.chat.queues import QueueUnavailable
from functions.chat.secrets import Secrets, SecretsUnavailable

MOST_BYTES = 256 * 1024  # Slack, Telegram and Zendesk send far less; a queue takes no more either
LONGEST_ID = 1_000  # bytes of a conversation's or an event's name: the table takes keys of 2,048
DUMMY = {"signing_secret": "-", "security_token": "-", "public_key": "00" * 32, "secret_token": "-"}
# A platform's body that is no object, or whose members are of other types than documented.
MISSHAPEN = (Malformed, AttributeError, IndexError, KeyError, TypeError, ValueError)

UNAUTHORISED = Answer({"error": "unauthorised"}, 401)
BAD_REQUEST = Answer({"error": "bad request"}, 400)
NOT_FOUND = Answer({"error": "not found"}, 404)
TRY_AGAIN = Answer({"error": "try again"}, 503)

logger = Logger(serialize_stacktrace=False)

type Event = Mapping[str, Any]


class Queue(Protocol):
    def put(self, message: Incoming) -> None:
        """Raises QueueUnavailable."""


class HookDoor:
    """`POST /hooks/<platform>` as API Gateway hands it over (payload format 2.0).

    Whatever is wrong with a request, its answer says no more than 401 or 400. What cannot be queued is answered with
    503, upon which every platform delivers again.
    """

    def __init__(
        self,
        secrets: Secrets,
        queue: Queue,
        *,
        document: Callable[[], Mapping[str, Any]] = dict,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`document` describes the hooks to people, at `/hooks/openapi.json`."""
        self._secrets = secrets
        self._queue = queue
        self._document = document
        self._clock = clock

    def warm_up(self) -> None:
        """Before a snapshot: a request that nobody signed, which is refused, has everything imported."""
        self({"rawPath": "/hooks/slack", "headers": {}, "body": "{}"}, None)
        self._secrets.forget()  # one that was not there yet would be missing for the first who send something

    def __call__(self, event: Event, context: object) -> dict[str, Any]:
        started = time.perf_counter()
        name = str(event.get("rawPath", "")).rpartition("/hooks/")[2]
        answer, queued, why = self._answer(name, event)
        logger.info(
            "hook",
            extra={
                "platform": name if name in PLATFORMS else "unknown",
                "status": answer.status,
                "queued": queued,
                "reason": why,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
            },
        )
        return _response(answer)

    def _answer(self, name: str, event: Event) -> tuple[Answer, int, str | None]:
        """The answer, how many messages were queued, and for the log alone why there were none."""
        if _is_read(event) and DOCUMENT.endswith(f"/{name}"):
            return Answer(self._document()), 0, None
        platform = PLATFORMS.get(name)
        if platform is None:
            return NOT_FOUND, 0, "no such platform"
        headers = {key.lower(): str(value) for key, value in (event.get("headers") or {}).items()}
        try:
            body = _body(event)
        except ValueError:
            return BAD_REQUEST, 0, "the body is no base64"
        if len(body) > MOST_BYTES:
            return BAD_REQUEST, 0, "too large"
        try:
            if not self._authentic(name, platform, headers, body):
                return UNAUTHORISED, 0, "the signature does not fit"
            received = platform.receive(_document(headers, body, forms=platform.forms), headers)
            for message in received.messages:
                _check_ids(message)
            for message in received.messages:
                self._queue.put(message)
        except MISSHAPEN as error:
            return BAD_REQUEST, 0, f"{type(error).__name__}: {error}"[:200]
        except (SecretsUnavailable, QueueUnavailable) as error:
            logger.warning("unavailable", extra={"reason": str(error)})
            return TRY_AGAIN, 0, str(error)
        return received.answer, len(received.messages), None

    def _authentic(self, name: str, platform: Platform, headers: Mapping[str, str], body: bytes) -> bool:
        if self._fits(self._secrets.of(name), platform, headers, body):
            return True
        return self._fits(self._secrets.of(name, doubted=True), platform, headers, body)

    def _fits(self, secrets: tuple[Mapping[str, str], ...], platform: Platform, headers: Any, body: bytes) -> bool:
        """Always as many computations as there are secrets, and one where there are none."""
        known = [secret[platform.secret] for secret in secrets if platform.secret in secret]
        checked = known or [DUMMY[platform.secret]]
        found = [platform.verify(headers, body, secret, self._clock()) for secret in checked]
        return any(found) and bool(known)


def _check_ids(message: Incoming) -> None:
    """Raises Malformed for one that could never be kept."""
    if max(len(message.conversation.encode()), len(message.event_id.encode())) > LONGEST_ID:
        raise Malformed("an id is longer than can be kept")


def _is_read(event: Event) -> bool:
    return bool(event.get("requestContext", {}).get("http", {}).get("method") == "GET")


def _body(event: Event) -> bytes:
    body = str(event.get("body") or "")
    return base64.b64decode(body, validate=True) if event.get("isBase64Encoded") else body.encode()


def _document(headers: Mapping[str, str], body: bytes, *, forms: bool) -> dict[str, Any]:
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        document = orjson.loads(body)
    elif forms and kind == "application/x-www-form-urlencoded":
        document = dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=100))
    else:
        raise Malformed("the content type is none that the platform sends")
    if not isinstance(document, dict):
        raise Malformed("the body is no object")
    return document


def _response(answer: Answer) -> dict[str, Any]:
    headers = {"content-type": "application/json", "cache-control": "no-store"}
    body = "" if answer.body is None else orjson.dumps(answer.body).decode()
    return {"statusCode": answer.status, "headers": headers, "body": body, "isBase64Encoded": False}
