"""Conversations and what is to be done for each message, in one DynamoDB table.

A message's turn is decided once: the conversation after it and the list of things to do are one transaction. Then the
things are done in order, and each is noted when it is; whoever comes back after a crash goes on with the first that is
not. So nothing is decided twice and nothing is lost, and only the one thing under way at the crash may be done again.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from functions.chat.assistant.conversation import Conversation
from functions.chat.message import Queued
from lastmile.errors import LastmileError

DAY = 24 * 3600
DONE_DAYS = 14  # longer than any platform, and the queue's dead letters, may bring a message again

UNDECIDED = "attribute_not_exists(jobs)"  # of a message


class Overtaken(LastmileError):
    """Another worker has the conversation: its message is tried again."""


@dataclass(frozen=True, slots=True)
class Job:
    """Something to do: `kind` is say, ticket, learnt or call; for operators order, post or answer."""

    kind: str
    data: Any


@dataclass(frozen=True, slots=True)
class Work:
    """What was decided for a message; `done` are the jobs finished, `begun` whether one may be half done."""

    jobs: tuple[Job, ...]
    done: int = 0
    begun: bool = False

    @property
    def finished(self) -> bool:
        return self.done >= len(self.jobs)


@dataclass(frozen=True)
class Records:
    """`client` is boto3's `dynamodb`; conversations are forgotten after `days`."""

    client: Any
    table: str
    days: float = 7.0
    clock: Callable[[], float] = field(default=time.time)

    def work(self, message: Queued) -> Work | None:
        """None for a message of which nothing was decided yet, also where it was refused before that."""
        item = self._get(_message_key(message))
        if item is None or "jobs" not in item:
            return None
        jobs = tuple(Job(**job) for job in orjson.loads(item["jobs"]["S"]))
        return Work(jobs, int(item["done"]["N"]), "begun" in item and int(item["begun"]["N"]) > int(item["done"]["N"]))

    def conversation(self, identity: str) -> tuple[Conversation, int]:
        """As it is now, with its revision; a new one where there is none or it has expired."""
        item = self._get(f"conversation#{identity}")
        if item is None or int(item["expires"]["N"]) < self.clock():
            return Conversation(identity), 0 if item is None else int(item["revision"]["N"])
        return Conversation.from_bytes(item["state"]["S"]), int(item["revision"]["N"])

    def decide(self, message: Queued, conversation: Conversation, revision: int, jobs: Sequence[Job]) -> Work:
        """Keep both, or raise Overtaken when somebody else moved the conversation or decided the message."""
        self._move(conversation, revision, self._put_work(message, jobs, 0, UNDECIDED))
        return Work(tuple(jobs))

    def go_on(
        self, message: Queued, conversation: Conversation, revision: int, work: Work, jobs: Sequence[Job]
    ) -> Work:
        """The call under way is done: keep what came of it, with the new jobs behind the old."""
        every = (*work.jobs, *jobs)
        condition = {":done": {"N": str(work.done)}}
        put = self._put_work(message, every, work.done + 1, "done = :done", condition)
        self._move(conversation, revision, put)
        return Work(every, work.done + 1)

    def keep(self, message: Queued, jobs: Sequence[Job]) -> Work:
        """Keep what is to be done for a message of no conversation, or raise Overtaken when somebody else did."""
        self._write([self._put_work(message, jobs, 0, UNDECIDED)], message.event_id)
        return Work(tuple(jobs))

    def follow(self, message: Queued, work: Work, jobs: Sequence[Job]) -> Work:
        """The job under way is done: keep what came of it, the new jobs behind the old."""
        every = (*work.jobs, *jobs)
        put = self._put_work(message, every, work.done + 1, "done = :done", {":done": {"N": str(work.done)}})
        self._write([put], message.event_id)
        return Work(every, work.done + 1)

    def begin(self, message: Queued, work: Work) -> None:
        """Before a job that might be half done when somebody comes back."""
        self._set(message, "begun", work.done + 1)

    def finish(self, message: Queued, work: Work) -> Work:
        self._set(message, "done", work.done + 1)
        return Work(work.jobs, work.done + 1)

    def fail(self, message: Queued, reason: str) -> None:
        """Why it could not be done, for whoever looks at the dead letters."""
        expires = {"N": str(int(self.clock() + DONE_DAYS * DAY))}
        values = {":reason": {"S": reason[:500]}, ":expires": expires}
        self._update(message, "SET reason = :reason, expires = :expires", values)

    def _move(self, conversation: Conversation, revision: int, put: dict[str, Any]) -> None:
        item = {
            "pk": {"S": f"conversation#{conversation.id}"},
            "state": {"S": conversation.to_bytes().decode()},
            "revision": {"N": str(revision + 1)},
            "expires": {"N": str(int(self.clock() + self.days * DAY))},
        }
        same = {
            "ConditionExpression": "attribute_not_exists(pk) OR revision = :revision",
            "ExpressionAttributeValues": {":revision": {"N": str(revision)}},
        }
        state = {"Put": {"TableName": self.table, "Item": item, **same}}
        self._write([state, put], f"conversation {conversation.id}")

    def _write(self, items: list[dict[str, Any]], what: str) -> None:
        try:
            self.client.transact_write_items(TransactItems=items)
        except self.client.exceptions.TransactionCanceledException as error:
            raise Overtaken(f"{what} was moved by somebody else") from error

    def _put_work(
        self,
        message: Queued,
        jobs: Sequence[Job],
        done: int,
        condition: str,
        values: dict[str, Any] | None = None,
    ) -> dict[str, Any]:
        document = [{"kind": job.kind, "data": job.data} for job in jobs]
        item = {
            "pk": {"S": _message_key(message)},
            "jobs": {"S": orjson.dumps(document).decode()},
            "done": {"N": str(done)},
            "expires": {"N": str(int(self.clock() + DONE_DAYS * DAY))},
        }
        put = {"TableName": self.table, "Item": item, "ConditionExpression": condition}
        return {"Put": put | ({"ExpressionAttributeValues": values} if values else {})}

    def _set(self, message: Queued, name: str, value: int) -> None:
        self._update(message, f"SET {name} = :value", {":value": {"N": str(value)}})

    def _update(self, message: Queued, expression: str, values: dict[str, Any]) -> None:
        self.client.update_item(
            TableName=self.table,
            Key={"pk": {"S": _message_key(message)}},
            UpdateExpression=expression,
            ExpressionAttributeValues=values,
        )

    def _get(self, key: str) -> dict[str, Any] | None:
        found = self.client.get_item(TableName=self.table, Key={"pk": {"S": key}}, ConsistentRead=True)
        item: dict[str, Any] | None = found.get("Item")
        return item


def _message_key(message: Queued) -> str:
    return f"message#{message.platform}#{message.kind}#{message.event_id}"
