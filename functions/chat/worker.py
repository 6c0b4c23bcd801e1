"""The worker: takes messages from the queue in the order of their conversations, and does what the assistant says."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any, Protocol

import orjson

from functions.chat.actions import Actions
from functions.chat.assistant.assistant import Assistant
from functions.chat.assistant.conversation import Button, Call, Learnt, Reading, Said, Say, Ticket, Turn
from functions.chat.assistant.language import language_of
from functions.chat.delivery import Delivery
from functions.chat.inbox import Context, Failures, Inbox
from functions.chat.message import Incoming
from functions.chat.records import Job, Records, Work
from functions.chat.team import Team
from functions.chat.tickets import Sink

type Event = Mapping[str, Any]


class Lessons(Protocol):
    def put(self, learnt: Learnt, message: Incoming) -> None:
        """What a person said of a prediction, kept as feedback."""


class Worker:
    def __init__(
        self,
        assistant: Assistant,
        *,
        inbox: Inbox[Incoming],
        records: Records,
        team: Team,
        actions: Actions,
        delivery: Delivery,
        tickets: Sink,
        lessons: Lessons,
    ) -> None:
        self._assistant = assistant
        self._inbox = inbox
        self._records = records
        self._team = team
        self._actions = actions
        self._delivery = delivery
        self._tickets = tickets
        self._lessons = lessons

    def __call__(self, event: Event, context: Context) -> Failures:
        return self._inbox.work(event["Records"], context, self.handle)

    def handle(self, message: Incoming) -> None:
        """Everything that is left to do for the message."""
        work = self._records.work(message) or self._decide(message)
        while not work.finished:
            work = self._do(message, work)

    def _decide(self, message: Incoming) -> Work:
        conversation, revision = self._records.conversation(message.conversation)
        if message.kind == "rerouted":
            right = None if conversation.prediction is None else Learnt(conversation.prediction, False, message.value)
            turn = Turn(conversation, learnt=right)
        else:
            turn = self._assistant.respond(conversation, message, self._read(message))
        return self._records.decide(message, turn.conversation, revision, _jobs(turn, message))

    def _read(self, message: Incoming) -> Reading:
        if not message.text:
            return Reading(None, (), None)
        matches = self._assistant.book.retrieval.matches(message.text)
        return Reading(language_of(message.text), tuple(matches), self._team.of(message.text, message.conversation))

    def _do(self, message: Incoming, work: Work) -> Work:
        job = work.jobs[work.done]
        key = _key(message, work.done)
        if job.kind == "call":
            return self._call(message, work, Call(**job.data), key)
        again = work.begun
        if not again:
            self._records.begin(message, work)
        match job.kind:
            case "say":
                says = [Say(say["text"], tuple(Button(**each) for each in say["buttons"])) for say in job.data]
                self._delivery.say(message, says, key, again=again)
            case "ticket":
                self._tickets.put(_ticket(job.data), message, key)
            case "learnt":
                self._lessons.put(Learnt(**job.data), message)
        return self._records.finish(message, work)

    def _call(self, message: Incoming, work: Work, call: Call, key: str) -> Work:
        """Done again after a crash, it bears the same key, and the service does it once."""
        outcome = self._actions.carry_out(call, key)
        conversation, revision = self._records.conversation(message.conversation)
        turn = self._assistant.conclude(conversation, call, outcome, message.at)
        return self._records.go_on(message, turn.conversation, revision, work, _jobs(turn, message))


def _jobs(turn: Turn, message: Incoming) -> list[Job]:
    """The ticket comes first: what is said may promise it. Where an answer was announced, it is also told that there is
    none."""
    jobs = []
    if turn.call is not None:
        jobs.append(Job("call", asdict(turn.call)))
    if turn.ticket is not None:
        jobs.append(Job("ticket", asdict(turn.ticket)))
    if turn.learnt is not None:
        jobs.append(Job("learnt", asdict(turn.learnt)))
    if turn.says or (message.reply.get("deferred") and turn.call is None):
        jobs.append(Job("say", [asdict(say) for say in turn.says]))
    return [Job(job.kind, orjson.loads(orjson.dumps(job.data))) for job in jobs]  # as it comes back from the table


def _ticket(data: Mapping[str, Any]) -> Ticket:
    return Ticket(**{**data, "transcript": tuple(Said(**turn) for turn in data["transcript"])})


def _key(message: Incoming, job: int) -> str:
    text = f"{message.platform}\n{message.kind}\n{message.event_id}\n{job}"
    return hashlib.sha256(text.encode()).hexdigest()[:32]
