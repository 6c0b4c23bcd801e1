"""What lies in a queue: done in the order of its conversations, tried again when that may help, or given up with a
reason."""

import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from functions.chat.message import Queued
from functions.chat.once import Once
from functions.chat.queues import QueueUnavailable
from functions.chat.records import Overtaken, Records
from functions.chat.secrets import SecretsUnavailable
from functions.chat.web import Refused, TryLater
from lastmile.errors import StoreUnavailable

FIRST_WAIT, GROWTH, LONGEST_WAIT = 2.0, 4.0, 900.0  # seconds until a message that failed is tried again
ENOUGH = 30.0  # seconds in which any message can be done: an action, tickets, the answer; with less none is begun
TRIES = 8  # with the waits in between about 40 minutes; the queue itself gives up after as many
LATER = (TryLater, Overtaken, StoreUnavailable, SecretsUnavailable, QueueUnavailable)

type Received = Mapping[str, Any]
type Failures = dict[str, list[dict[str, str]]]


class Waiting(Protocol):
    def later(self, receipt: str, seconds: float) -> None:
        """Hide the message that was received with that receipt for so long."""


class Context(Protocol):
    """What is used of Lambda's."""

    def get_remaining_time_in_millis(self) -> int: ...


class DeadLetters(Protocol):
    def put(self, body: str, group: str, reason: str, *, identity: str, redriven: str = "") -> None:
        """`identity` tells apart two sendings of one body; `redriven` is the letter it was before."""


class Inbox[M: Queued]:
    """`read` raises KeyError, TypeError, ValueError or AttributeError for a body that is none of ours."""

    def __init__(
        self,
        queue: Waiting,
        *,
        read: Callable[[str], M],
        once: Once,
        records: Records,
        dead: DeadLetters,
        log: Callable[..., object],
    ) -> None:
        self._queue = queue
        self._read = read
        self._once = once
        self._records = records
        self._dead = dead
        self._log = log

    def work(self, batch: Sequence[Received], context: Context, handle: Callable[[M], None]) -> Failures:
        """What fails is tried again with everything behind it in its conversation, when the platform wants it.

        A mistake of ours in one message keeps no other conversation waiting; where nothing succeeded it is raised.
        """
        self._once.until(context)
        failed: list[dict[str, str]] = []
        stopped: dict[str, float] = {}
        mistakes: list[Exception] = []
        for record in batch:
            group = record["attributes"]["MessageGroupId"]
            wait: float | None = 0.0
            if group in stopped:
                wait = stopped[group]
            elif context.get_remaining_time_in_millis() >= 1000 * ENOUGH:
                wait = self._take(record, handle, mistakes)
            if wait is not None:
                stopped[group] = wait
                self._queue.later(record["receiptHandle"], wait)
                failed.append({"itemIdentifier": record["messageId"]})
        if mistakes and len(failed) == len(batch):
            raise mistakes[0]
        return {"batchItemFailures": failed}

    def _take(self, record: Received, handle: Callable[[M], None], mistakes: list[Exception]) -> float | None:
        """Seconds until it is to be tried again, or None when the queue may forget it."""
        try:
            message = self._read(record["body"])
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            self._give_up(record, f"the message cannot be read: {type(error).__name__}")
            return None
        try:
            self._once(message, lambda: self._finish(record, message, handle), redriven=_redriven(record))
        except LATER as error:
            self._log("later", platform=message.platform, reason=str(error))
            return self._wait(record, str(error), error.seconds if isinstance(error, TryLater) else 0.0)
        except Exception as error:  # noqa: BLE001 it is raised in the end, unless others could be done
            mistakes.append(error)
            trace = traceback.format_tb(error.__traceback__)
            self._log("failed", platform=message.platform, reason=type(error).__name__, trace=trace[-5:])
            return self._wait(record, f"{type(error).__name__}, see the log", 0.0)
        return None

    def _finish(self, record: Received, message: M, handle: Callable[[M], None]) -> None:
        """A message that can never be done is done with: whatever repeats it gives no second dead letter."""
        try:
            handle(message)
        except Refused as error:
            self._records.fail(message, str(error))
            self._give_up(record, str(error))
            self._log("refused", platform=message.platform, reason=str(error))

    def _wait(self, record: Received, reason: str, wanted: float) -> float | None:
        tries = int(record["attributes"]["ApproximateReceiveCount"])
        if tries < TRIES:
            return max(wanted, min(FIRST_WAIT * GROWTH ** (tries - 1), LONGEST_WAIT))
        self._give_up(record, f"tried {tries} times: {reason}")
        return None

    def _give_up(self, record: Received, reason: str) -> None:
        self._dead.put(
            record["body"],
            record["attributes"]["MessageGroupId"],
            reason,
            identity=record["messageId"],
            redriven=_redriven(record),
        )


def _redriven(record: Received) -> str:
    """Which sending of a dead letter it is; empty for all others."""
    value: str = record.get("messageAttributes", {}).get("redriven", {}).get("stringValue", "")
    return value
