"""The function for operators: tells them what happens, and carries out what those who may ask for it ask for.

It is called by the event bus and by alarms, whose messages it queues for each platform, and by that queue, in which
the hook puts what people press and type.
"""

import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import orjson

from functions.chat.inbox import Context, Inbox
from functions.chat.message import Incoming
from functions.chat.operations.board import Board
from functions.chat.operations.carrying import Carrying
from functions.chat.operations.notices import Notice, notice, told
from functions.chat.operations.orders import Order, Unclear, order_of
from functions.chat.operations.people import People, actor_of
from functions.chat.operations.posts import Post
from functions.chat.operations.writing import Writing
from functions.chat.records import Job, Records
from functions.chat.web import Refused
from lastmile.errors import LastmileError, StoreUnavailable

type Event = Mapping[str, Any]
type Queued = Notice | Incoming


class Queue(Protocol):
    def put(self, message: Notice) -> None: ...


class Operator:
    def __init__(
        self,
        *,
        board: Board,
        people: People,
        writing: Writing,
        carrying: Carrying,
        records: Records,
        queue: Queue,
        inbox: Inbox[Queued],
        log: Callable[..., object],
    ) -> None:
        self._board = board
        self._people = people
        self._writing = writing
        self._carrying = carrying
        self._records = records
        self._queue = queue
        self._inbox = inbox
        self._log = log

    def __call__(self, event: Event, context: Context) -> dict[str, Any]:
        records = event.get("Records") or ()
        if records and records[0].get("eventSource") == "aws:sqs":
            return dict(self._inbox.work(records, context, self.handle))
        return {"queued": self._tell(event)}

    def _tell(self, event: Event) -> int:
        """One message for each platform; whoever calls asynchronously calls again when this raises."""
        platforms = self._board.platforms()
        found = told(event)
        for about, detail in found:
            for platform in platforms:
                self._queue.put(notice(platform, about, detail))
            self._log("told", about=about, platforms=platforms)
        return len(found) * len(platforms)

    def handle(self, queued: Queued) -> None:
        """Everything that is left to do for it; it is written down first, and each step when it is done."""
        work = self._records.work(queued) or self._records.keep(queued, [self._first(queued)])
        while not work.finished:
            job, key = work.jobs[work.done], _key(queued, work.done)
            again = work.begun
            if not again:
                self._records.begin(queued, work)
            if job.kind == "order":
                assert isinstance(queued, Incoming)
                answer = self._obey(queued, again=again)
                work = self._records.follow(queued, work, [Job("answer", _document(answer))])
                continue
            post = Post.from_document(job.data)
            if isinstance(queued, Notice):
                self._board.post(queued.platform, post, key, again=again)
            else:
                self._board.answer(queued, post, key, again=again)
            work = self._records.finish(queued, work)

    def _first(self, queued: Queued) -> Job:
        if isinstance(queued, Incoming):
            return Job("order", None)
        try:
            return Job("post", _document(self._writing.post(queued)))
        except (KeyError, TypeError, ValueError) as error:
            raise Refused(f"the detail of {queued.about} is none: {type(error).__name__} {error}"[:200]) from None

    def _obey(self, message: Incoming, *, again: bool) -> Post:
        actor, unclear = actor_of(message), ""
        try:
            order = order_of(message)
        except Unclear as error:
            order, unclear = Order("help"), str(error)
        if order.scope not in self._people.scopes(actor):
            self._log("not allowed", actor=actor, verb=order.verb, model=order.model)
            return _not_allowed(actor, order)
        answer = Post(unclear) if unclear else self._carried(order, message, actor, again=again)
        self._log("order", actor=actor, verb=order.verb, model=order.model, answer=answer.text)
        return answer

    def _carried(self, order: Order, message: Incoming, actor: str, *, again: bool) -> Post:
        try:
            return self._carrying.carry_out(
                order, actor=actor, platform=message.platform, press=message.event_id, again=again
            )
        except StoreUnavailable:
            raise
        except LastmileError as error:
            text = str(error).rstrip(".")
            return Post(f"{text[:1].upper()}{text[1:]}. Nothing was changed.")


def read(body: str) -> Queued:
    """Raises KeyError, TypeError, ValueError or AttributeError."""
    document = orjson.loads(body)
    return Notice.from_document(document) if document.get("kind") == "notice" else Incoming.from_bytes(body)


def _not_allowed(actor: str, order: Order) -> Post:
    how = f"`lastmile chat allow {actor} {order.scope}`"
    return Post(f"You ({actor}) may not do that: {order.verb} needs the scope {order.scope}. An administrator: {how}.")


def _document(post: Post) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(orjson.dumps(post.to_document()))  # as it comes back from the table
    return document


def _key(queued: Queued, job: int) -> str:
    text = f"operations\n{queued.platform}\n{queued.kind}\n{queued.event_id}\n{job}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
