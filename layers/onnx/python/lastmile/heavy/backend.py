"""The heavy side of a version: a model on a SageMaker endpoint, asked as if it were here."""

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np

from lastmile.errors import EndpointUnavailable, PayloadTooLarge
from lastmile.heavy.breaker import Breaker
from lastmile.heavy.client import RETRIES, Runtime
from lastmile.heavy.connections import Deadline
from lastmile.heavy.wire import Payload, decode, encode
from lastmile.tensors import DATATYPES, Array, TensorSpec
from lastmile.ulid import new_ulid

AT_ONCE = 8  # parts of one request
MOST_PARTS = 64
# An answer waits for what is asked beside it: one failure is enough, and costs a second at most every half minute.
BESIDE_FAILURES = 1
BESIDE_REST_SECONDS = 30.0

type Feeds = Mapping[str, Array]


class SageMakerBackend:
    """As OnnxModel is, safe to share between threads; raises EndpointUnavailable where the endpoint gives no answer.

    What has more rows than the model's batch goes there in parts, several at the same time.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        endpoint: str,
        component: str,
        inputs: Mapping[str, TensorSpec],
        outputs: Mapping[str, TensorSpec],
        max_batch: int,
        deadline_seconds: float,
        breaker: Breaker | None = None,
    ) -> None:
        self._runtime = runtime
        self._endpoint = endpoint
        self._component = component
        self._inputs = inputs
        self._outputs = outputs
        self.names = list(outputs)
        self._max_batch = max_batch
        self._deadline_seconds = deadline_seconds
        self._breaker = breaker or Breaker()
        self._beside = Breaker(failures=BESIDE_FAILURES, rest_seconds=BESIDE_REST_SECONDS)

    def run(self, outputs: list[str] | None, feeds: Feeds, *, seconds: float | None = None) -> list[Array]:
        """`outputs` None means all, in the order of the signature.

        With `seconds` it is asked beside an answer that waits for it: within that time and only once. What comes of
        it says nothing to those who give it the time that the spec does, and has a breaker of its own.
        """
        names = outputs or self.names
        if not rows_of(feeds):
            return [_empty(self._outputs[name]) for name in names]
        breaker = self._breaker if seconds is None else self._beside
        breaker.check()
        try:
            answers = self._ask(names, feeds, seconds)
        except EndpointUnavailable as error:
            breaker.failed(error)
            raise
        breaker.succeeded()
        return answers

    def warm(self) -> None:
        """An endpoint is not woken before somebody wants an answer."""

    def payloads(self, feeds: Feeds, request_id: str) -> list[tuple[int, Payload]]:
        """The parts of a request for all outputs, with the number of their rows."""
        return [
            (rows_of(part), encode(part, self._inputs, self._outputs, f"{request_id}-{number}"))
            for number, part in enumerate(self._parts(feeds))
        ]

    def check_size(self, feeds: Feeds) -> None:
        """Raises PayloadTooLarge for more rows than a request may have, whoever would answer them."""
        rows, most = rows_of(feeds), self._max_batch * MOST_PARTS
        if rows > most:
            raise PayloadTooLarge(f"{rows:,} rows are too many for one request; send at most {most:,}, or use a batch")

    def decoded(self, content_type: str, body: bytes, rows: int) -> list[Array]:
        """All outputs out of one part's answer."""
        return decode(content_type, body, self._outputs, self._outputs, rows)

    def _ask(self, names: list[str], feeds: Feeds, seconds: float | None) -> list[Array]:
        deadline = Deadline(self._deadline_seconds if seconds is None else seconds)
        ask = partial(self._ask_part, names, deadline, RETRIES if seconds is None else 0)
        parts = self._parts(feeds)
        if len(parts) == 1:
            return ask(parts[0])
        with ThreadPoolExecutor(min(AT_ONCE, len(parts))) as pool:
            found = list(pool.map(ask, parts))
        return joined(found)

    def _ask_part(self, names: list[str], deadline: Deadline, retries: int, feeds: Feeds) -> list[Array]:
        inference_id = new_ulid()
        payload = encode(feeds, self._inputs, names, inference_id)
        answer = self._runtime.invoke(
            self._endpoint,
            self._component,
            payload.body,
            content_type=payload.content_type,
            inference_id=inference_id,
            seconds=deadline.left(),
            retries=retries,
        )
        return decode(answer.content_type, answer.body, self._outputs, names, rows_of(feeds))

    def _parts(self, feeds: Feeds) -> list[Feeds]:
        rows, most = rows_of(feeds), self._max_batch
        if rows <= most:
            return [feeds]
        return [{name: array[at : at + most] for name, array in feeds.items()} for at in range(0, rows, most)]


def joined(parts: list[list[Array]]) -> list[Array]:
    """Answers one below the other, output by output."""
    if len(parts) == 1:
        return parts[0]
    try:
        return [np.concatenate(arrays) for arrays in zip(*parts, strict=True)]
    except ValueError as error:  # lengths that the signature leaves open
        raise EndpointUnavailable("garbage", f"the endpoint's answers do not fit together: {error}") from error


def rows_of(feeds: Feeds) -> int:
    for array in feeds.values():
        return int(array.shape[0]) if array.ndim else 1
    return 0


def _empty(spec: TensorSpec) -> Array:
    return np.zeros(
        [max(length, 0) if at else 0 for at, length in enumerate(spec.shape)], DATATYPES[spec.datatype].dtype
    )
