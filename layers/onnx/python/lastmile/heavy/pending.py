"""Predictions whose answer comes later: what was asked, and where the answer will be, as objects of the data bucket.

    pending/<prediction id>/meta.json                  who predicts, for whom, and how the answer is to be written
    pending/<prediction id>/asked.bin                  the body as the client sent it
    pending/<prediction id>/request-<part>.bin         what the endpoint gets
    pending/<prediction id>/placed-<part>-<n>.json     where the n-th attempt's answer will be
    pending/<prediction id>/captured.json              there once it was captured

All are written once. What could not be handed to the endpoint is handed over when somebody asks for the answer.
"""

import sys
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import orjson

from lastmile.errors import EndpointUnavailable, NotFound
from lastmile.heavy.breaker import Breaker
from lastmile.heavy.client import Runtime
from lastmile.heavy.wire import Payload, stored_type
from lastmile.store import AlreadyExists, Store
from lastmile.tensors import Array
from lastmile.ulid import ulid_milliseconds

FOLDER = "pending"
PAUSES = (0.0, 30.0, 300.0)  # before each attempt, from the one before on: what fails for a moment is well by then
RETRY_SECONDS = 5.0
SUBMIT_SECONDS = 5.0
ANSWER_SECONDS = 28.0  # from the request on: at 29 s Lambda ends, and whoever asks for the answer hands it over as well
# An endpoint forgets a request that waited 6 h, and one that it works on for 15 min: InvokeEndpointAsync's defaults.
LOST_SECONDS = 6.5 * 3600

type Decode = Callable[[str, bytes, int], list[Array]]


class Meta(NamedTuple):
    """`rows` are those the heavy side answers, None where it is all; `parts` the rows of each of its requests, with
    their content types; `asked` is the client's request without its body."""

    id: str
    model: str
    version: int
    role: str
    at: float
    reason: str
    endpoint: str
    rows: list[int] | None
    parts: list[tuple[int, str]]
    asked: dict[str, Any]


class Waiting(NamedTuple):
    """There is no answer yet; `seconds` until asking is worth it."""

    seconds: float = RETRY_SECONDS


class Failed(NamedTuple):
    """There will be no answer: `reason` is a word of EndpointUnavailable, `error` a sentence for the client, `words`
    those of the endpoint, which may name accounts and hosts."""

    reason: str
    error: str
    words: str = ""


class Pending:
    """Where answers are waited for. `uri` is the store's, s3://bucket, for the endpoint reads and writes there too."""

    def __init__(self, store: Store, uri: str, runtime: Runtime, *, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._uri = uri.rstrip("/")
        self._runtime = runtime
        self._clock = clock
        self._breakers: dict[str, Breaker] = {}

    def accept(self, meta: Meta, body: bytes, payloads: list[Payload]) -> None:
        """Raises StoreUnavailable; after that nothing of the request can be lost."""
        folder = f"{FOLDER}/{meta.id}"
        self._store.put(f"{folder}/asked.bin", body)
        for part, payload in enumerate(payloads):
            self._store.put(f"{folder}/request-{part}.bin", payload.body)
        self._store.put(f"{folder}/meta.json", orjson.dumps(meta._asdict()))
        for part in range(len(payloads)):
            left = ANSWER_SECONDS - (self._clock() - meta.at)
            if left > 0:
                self._place(meta, part, 1, seconds=min(SUBMIT_SECONDS, left))

    def meta(self, prediction_id: str) -> Meta:
        """Raises NotFound."""
        try:
            ulid_milliseconds(prediction_id)
            data = self._store.get(f"{FOLDER}/{prediction_id}/meta.json").data
        except (NotFound, ValueError):
            raise _not_found(prediction_id) from None
        found: dict[str, Any] = orjson.loads(data)
        return Meta(**{**found, "parts": [(rows, content_type) for rows, content_type in found["parts"]]})

    def asked(self, meta: Meta) -> bytes:
        """Raises NotFound: objects of one day do not expire all at once."""
        try:
            return self._store.get(f"{FOLDER}/{meta.id}/asked.bin").data
        except NotFound:
            raise _not_found(meta.id) from None

    def answers(self, meta: Meta, decode: Decode) -> list[list[Array]] | Failed | Waiting:
        """The outputs of each part, as `decode` reads them, once there are all."""
        found: list[list[Array]] = []
        waiting: list[Waiting] = []
        for part in range(len(meta.parts)):
            answer = self._answer(meta, part, decode)
            if isinstance(answer, Failed):
                return answer
            if isinstance(answer, Waiting):
                waiting.append(answer)  # and the parts behind it are looked after too
            else:
                found.append(answer)
        return max(waiting) if waiting else found

    def is_first(self, meta: Meta) -> bool:
        """Whether nobody has asked this before: who hears True captures the prediction."""
        try:
            self._store.create(f"{FOLDER}/{meta.id}/captured.json", orjson.dumps({"at": self._clock()}))
        except AlreadyExists:
            return False
        return True

    def _answer(self, meta: Meta, part: int, decode: Decode) -> list[Array] | Failed | Waiting:
        """What has become of the last attempt. The next one is made once that has failed and is old enough."""
        found: list[Array] | Failed | Waiting = Waiting()
        before = 0.0
        for attempt, pause in enumerate(PAUSES, start=1):
            placed = self._placed(meta, part, attempt)
            if placed is None:
                left = before + pause - self._clock()
                if left > 0:
                    return Waiting(left)
                _log(meta, found)
                self._place(meta, part, attempt)
                return Waiting()
            found = self._outcome(meta, part, placed, decode)
            if not isinstance(found, Failed) or found.reason == "refused":  # it would be again
                return found
            before = placed["at"]
        _log(meta, found)
        return found

    def _outcome(self, meta: Meta, part: int, placed: dict[str, Any], decode: Decode) -> list[Array] | Failed | Waiting:
        output = self._read(placed["output"])
        if output is not None:
            try:
                return decode(stored_type(output), output, meta.parts[part][0])
            except EndpointUnavailable as garbage:
                return Failed(garbage.reason, str(garbage))
        failure = self._read(placed["failure"])
        if failure is not None:
            return _failed(failure)
        if placed["at"] + LOST_SECONDS < self._clock():
            return Failed("slow", "the endpoint has lost the request")
        return Waiting()

    def _placed(self, meta: Meta, part: int, attempt: int) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = orjson.loads(self._store.get(_placed_path(meta, part, attempt)).data)
        except NotFound:
            return None
        return found

    def _place(self, meta: Meta, part: int, attempt: int, *, seconds: float = SUBMIT_SECONDS) -> None:
        """Hand it to the endpoint; where that fails, whoever asks for the answer tries again."""
        breaker = self._breakers.setdefault(meta.endpoint, Breaker())
        try:
            breaker.check()
        except EndpointUnavailable:
            return
        try:
            placed = self._runtime.invoke_async(
                meta.endpoint,
                f"{self._uri}/{FOLDER}/{meta.id}/request-{part}.bin",
                content_type=meta.parts[part][1],
                inference_id=f"{meta.id}-{part}-{attempt}",
                seconds=seconds,
            )
        except EndpointUnavailable as error:
            breaker.failed(error)
            return
        breaker.succeeded()
        document = {"output": placed.output, "failure": placed.failure, "at": self._clock()}
        try:
            self._store.create(_placed_path(meta, part, attempt), orjson.dumps(document))
        except AlreadyExists:
            return  # somebody else asked at the same time; their answer is as good

    def _read(self, location: str | None) -> bytes | None:
        """An object that the endpoint wrote, below our own folder and nowhere else."""
        path = (location or "").removeprefix(f"{self._uri}/")
        if not path.startswith(f"{FOLDER}/"):
            return None
        try:
            return self._store.get(path).data
        except NotFound:
            return None


def _failed(failure: bytes) -> Failed:
    """By what an endpoint wrote of it. What the model itself says of the request is for the client."""
    words = failure[:1000].decode(errors="replace")
    try:
        document = orjson.loads(failure)
    except orjson.JSONDecodeError:
        document = None
    if isinstance(document, dict) and document.get("OriginalStatusCode") in range(400, 500):
        return Failed("refused", f"the model refuses the request: {document.get('OriginalMessage')!s:.300}", words)
    return Failed("failing", "the endpoint failed", words)


def _log(meta: Meta, found: object) -> None:
    if isinstance(found, Failed):
        sys.stderr.write(f"lastmile: prediction {meta.id}: {found.error}: {found.words!r}\n")


def _not_found(prediction_id: str) -> NotFound:
    return NotFound(f"there is no prediction '{prediction_id:.40}' whose answer is waited for")


def _placed_path(meta: Meta, part: int, attempt: int) -> str:
    return f"{FOLDER}/{meta.id}/placed-{part}-{attempt}.json"
