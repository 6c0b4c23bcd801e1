"""The assistant: a conversation, a message and what was understood of it give a turn. No platform, clock or network.

Every message is answered, turned into a ticket, or handed to a person; in this order it is asked what applies:
somebody is wanted or needed, an open question is answered, the language is spoken, an entry is known, a team is known.
"""

import hashlib
import re
from dataclasses import dataclass, replace

import orjson

from functions.chat.assistant.book import Action, Book, Question, Topic
from functions.chat.assistant.conversation import (
    Button,
    Call,
    Conversation,
    Learnt,
    Pending,
    Reading,
    Say,
    Turn,
)
from functions.chat.assistant.handover import ticket_of
from functions.chat.message import Incoming

SHOUTING = 0.7  # share of capitals from which a text of some length is shouted
LONG_ENOUGH = 12
WAITING_SECONDS = 900  # after a handover, in which no person can be expected to have answered yet
BRIEF = 40  # characters of a text that is thanks or a greeting and nothing else
NOT_HELPFUL = ("👎", "-1", "thumbsdown", "no")
HELPFUL = ("👍", "+1", "thumbsup", "yes", "1")
PERSON = Button("Talk to a person", "person")


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of an action: `status` of HTTP, 0 when there was none; `answer` only where it had the declared members."""

    status: int
    answer: dict[str, str | float | bool] | None


@dataclass(frozen=True)
class Assistant:
    book: Book

    def respond(self, conversation: Conversation, message: Incoming, reading: Reading) -> Turn:
        """`reading` is of the message's text; for what has none, such as a button, it says nothing."""
        if message.kind == "reaction":
            return self._judged(conversation, message.value or "", conversation.answered)
        if message.kind == "button":
            return self._finished(self._pressed(conversation, message, reading), message.at)
        heard = replace(conversation.heard(_shown(message), message.at), answered=None)
        if reading.routing is not None:
            heard = replace(heard, prediction=reading.routing.prediction, queue=reading.routing.queue)
        if heard.handed_over:
            waiting = self._waiting(conversation, message.at)
            return self._finished(
                Turn(heard, waiting, ticket=ticket_of(self.book, heard, reading, "more was said")), message.at
            )
        turn = self._answer(heard, message, reading)
        if message.kind == "edit" and turn.says:
            turn = replace(turn, says=(Say(self.book.says["edited"]), *turn.says))
        return self._finished(turn, message.at)

    def conclude(self, conversation: Conversation, call: Call, outcome: Outcome, at: float) -> Turn:
        """What is said after the action's request was made, or was not."""
        action = self._action(call.action)
        if outcome.status == 404 and action.unknown is not None:
            turn = Turn(replace(conversation, pending=None), (Say(action.unknown.format(**call.values), (PERSON,)),))
        elif outcome.answer is None:
            turn = self._handed_over(conversation, None, f"{action.id}: the service did not answer", "failed")
        else:
            text = action.done.format(**{**call.values, **outcome.answer})
            turn = Turn(replace(conversation, pending=None, unsure=0), (Say(text, _was_it_helpful(action.id)),))
        return self._finished(turn, at)

    def _waiting(self, before: Conversation, at: float) -> tuple[Say, ...]:
        """Who writes on soon after the handover is told once that a person will come; then the person has the word."""
        said = [turn for turn in before.turns if turn.who == "assistant"]
        text = self.book.says["waiting"]
        soon = bool(said) and at - said[-1].at <= WAITING_SECONDS
        return (Say(text),) if soon and text not in (turn.text for turn in said) else ()

    def _answer(self, heard: Conversation, message: Incoming, reading: Reading) -> Turn:
        text = message.text
        if topic := next((topic for topic in self.book.topics if topic.pattern.search(text)), None):
            return self._handed_over(heard, reading, topic.id, "handover_topic", topic=topic)
        if self.book.words.found("person", text):
            return self._handed_over(heard, reading, "a person was asked for", "handover")
        if self.book.words.found("upset", text) or _shouted(text):
            return self._handed_over(heard, reading, "the customer is upset", "handover_upset", priority="high")
        if heard.pending is not None and (turn := self._pending(heard, heard.pending, text)):
            return turn
        if reading.language is not None and reading.language not in self.book.speaks:
            return self._foreign(heard, reading, reading.language)
        if not text and message.attachments:
            return self._handed_over(heard, reading, "a file was sent", "attachment")
        return self._known(replace(heard, pending=None), text, reading)

    def _known(self, heard: Conversation, text: str, reading: Reading) -> Turn:
        limits, matches = self.book.thresholds, reading.matches
        if matches and matches[0].score >= limits.maybe:
            rivals = [match for match in matches[:2] if matches[0].score - match.score < limits.close]
            if len(rivals) == 2 and min(match.score for match in rivals) >= limits.maybe:
                return self._ask_which(heard, [match.entry for match in rivals])
            if matches[0].score >= limits.answer:
                return self._give(heard, matches[0].entry, text)
        if self.book.words.found("thanks", text) and len(text) < BRIEF:
            return Turn(replace(heard, unsure=0), (Say(self.book.says["glad"]),))
        if self.book.words.found("greeting", text) and len(text) < BRIEF:
            return Turn(heard, (Say(self.book.says["greeting"]),))
        routing = reading.routing
        if routing is not None and routing.sure and routing.confidence >= limits.route:
            said = Say(self.book.says["routed"].format(queue=self._called(routing.queue)), (PERSON,))
            ticket = ticket_of(self.book, heard, reading, "no answer is known", handover=False)
            return Turn(replace(heard, unsure=0), (said,), ticket=ticket)
        if heard.unsure:
            return self._handed_over(heard, reading, "twice unsure", "handover")
        return Turn(replace(heard, unsure=1), (Say(self.book.says["unsure"], (PERSON,)),))

    def _give(self, heard: Conversation, name: str, text: str) -> Turn:
        known = self.book.by_id[name]
        heard = replace(heard, answered=name, unsure=0, pending=None)
        if isinstance(known, Question):
            return Turn(heard, (Say(known.answer, _was_it_helpful(name)),))
        return self._act(heard, known, _found(known, text))

    def _act(self, heard: Conversation, action: Action, values: dict[str, str]) -> Turn:
        """Ask for the next value that is missing, then for a yes where one is wanted, then go."""
        for name, parameter in action.parameters.items():
            if name not in values:
                pending = Pending("value", action=action.id, values=values, wanted=name)
                return Turn(replace(heard, pending=pending), (Say(parameter.ask.format(**values)),))
        if action.confirm is not None:
            pending = Pending("confirmation", action=action.id, values=values)
            return Turn(replace(heard, pending=pending), (Say(action.confirm.format(**values), _yes_no(pending)),))
        return Turn(replace(heard, pending=None), call=Call(action.id, values))

    def _pending(self, heard: Conversation, pending: Pending, text: str) -> Turn | None:
        """What the text says to the open question; None when it is about something else."""
        closed = replace(heard, pending=None)
        match pending.kind:
            case "choice":
                chosen = self._chosen(pending.options, text)
                return None if chosen is None else self._give(closed, chosen, text)
            case "value":
                action = self._action(pending.action)
                assert pending.wanted is not None
                found = re.search(action.parameters[pending.wanted].pattern, text)
                if found is None:
                    return None
                values = pending.values | _found(action, text) | {pending.wanted: found[found.lastindex or 0]}
                return self._act(closed, action, values)
            case "confirmation":
                return self._confirmed(closed, pending, text)

    def _confirmed(self, closed: Conversation, pending: Pending, text: str) -> Turn | None:
        yes, no = self.book.words.found("yes", text), self.book.words.found("no", text)
        if no and not yes:
            return Turn(closed, (Say(self.book.says["cancelled"]),))
        if yes and not no:
            return Turn(closed, call=Call(self._action(pending.action).id, pending.values))
        return None

    def _chosen(self, options: tuple[str, ...], text: str) -> str | None:
        word = text.strip().lower()
        for index, names in enumerate((("1", "first", "the first"), ("2", "second", "the second"))):
            if word.rstrip(".!") in names or word.removesuffix(" one") in names:
                return options[index]
        least = self.book.thresholds.maybe
        found = [match for match in self.book.retrieval.matches(text) if match.score >= least]
        return found[0].entry if found and found[0].entry in options else None

    def _pressed(self, conversation: Conversation, message: Incoming, reading: Reading) -> Turn:
        """What the button stands under is behind the slash: it says nothing about what was asked or answered since."""
        kind, _, value = (message.value or "").partition(":")
        word, _, about = value.partition("/")
        pending = conversation.pending
        match kind:
            case "person":
                return self._handed_over(conversation, reading, "a person was asked for", "handover")
            case "helpful":
                return self._judged(conversation, word, about or conversation.answered)
            case "choose" if value in self.book.by_id:
                return self._give(conversation, value, _last_words(conversation))
            case "confirm" if pending is not None and pending.kind == "confirmation" and about == _name(pending):
                return self._confirmed(replace(conversation, pending=None), pending, word) or Turn(conversation)
            case _:
                return Turn(conversation)  # a button of long ago

    def _judged(self, conversation: Conversation, value: str, about: str | None) -> Turn:
        """A button, or a reaction to what was said last; of an earlier answer `about` the prediction is not known."""
        if value not in (*HELPFUL, *NOT_HELPFUL):
            return Turn(conversation)
        helpful = value in HELPFUL
        label = self._team(conversation.answered) if helpful else None
        known = conversation.prediction is not None and about == conversation.answered
        learnt = Learnt(str(conversation.prediction), helpful, label) if known else None
        if helpful:
            return Turn(replace(conversation, unsure=0), (Say(self.book.says["helpful"]),), learnt=learnt)
        if conversation.handed_over:
            return Turn(conversation, learnt=learnt)
        return Turn(conversation, (Say(self.book.says["not_helpful"], (PERSON,)),), learnt=learnt)

    def _team(self, answered: str | None) -> str | None:
        """Whose question it was: what was answered, and helped, shows where it belonged."""
        known = self.book.by_id.get(answered or "")
        return known.team if isinstance(known, Question) else None

    def _ask_which(self, heard: Conversation, options: list[str]) -> Turn:
        titles = [self.book.by_id[option].question for option in options]
        buttons = tuple(Button(title, f"choose:{option}") for title, option in zip(titles, options, strict=True))
        said = Say(self.book.says["which"].format(first=titles[0], second=titles[1]), buttons)
        return Turn(replace(heard, pending=Pending("choice", options=tuple(options))), (said,))

    def _foreign(self, heard: Conversation, reading: Reading, language: str) -> Turn:
        """A fixed sentence in that language where there is one; the assistant does not pretend to speak it."""
        text = self.book.languages.get(language, self.book.languages["other"])
        ticket = ticket_of(self.book, heard, reading, f"written in {language}")
        return Turn(replace(heard, handed_over=True), (Say(text),), ticket=ticket)

    def _handed_over(
        self,
        heard: Conversation,
        reading: Reading | None,
        reason: str,
        sentence: str,
        *,
        topic: Topic | None = None,
        priority: str | None = None,
    ) -> Turn:
        ticket = ticket_of(self.book, heard, reading, reason)
        if topic is not None:
            ticket = replace(ticket, queue=topic.queue, priority=topic.priority)
        if priority is not None:
            ticket = replace(ticket, priority=priority)
        done = replace(heard, handed_over=True, pending=None)
        first = [Say(topic.say)] if topic is not None and topic.say is not None else []
        said = Say(self.book.says[sentence].format(queue=self._called(ticket.queue)))
        return Turn(done, (*first, said), ticket=ticket)

    def _called(self, queue: str) -> str:
        return self.book.called.get(queue, queue)

    def _finished(self, turn: Turn, at: float) -> Turn:
        """What is said belongs to the transcript."""
        conversation = turn.conversation
        for say in turn.says:
            conversation = conversation.said(say.text, at)
        return replace(turn, conversation=conversation.kept(self.book.transcript_turns))

    def _action(self, name: str | None) -> Action:
        action = self.book.by_id[str(name)]
        assert isinstance(action, Action)
        return action


def _yes_no(pending: Pending) -> tuple[Button, Button]:
    return Button("Yes", f"confirm:yes/{_name(pending)}"), Button("No", f"confirm:no/{_name(pending)}")


def _was_it_helpful(entry: str) -> tuple[Button, Button]:
    return Button("That helped", f"helpful:yes/{entry}"), Button("Not helpful", f"helpful:no/{entry}")


def _name(pending: Pending) -> str:
    """Of what is asked about: the action and its values."""
    return hashlib.sha256(orjson.dumps([pending.action, sorted(pending.values.items())])).hexdigest()[:12]


def _found(action: Action, text: str) -> dict[str, str]:
    """The values that the text gives."""
    found = {name: re.search(parameter.pattern, text) for name, parameter in action.parameters.items()}
    return {name: match[match.lastindex or 0] for name, match in found.items() if match}


def _shown(message: Incoming) -> str:
    files = "".join(f" [file: {name}]" for name in message.attachments)
    return (message.text + files).strip()


def _shouted(text: str) -> bool:
    letters = [letter for letter in text if letter.isalpha()]
    return len(letters) >= LONG_ENOUGH and sum(letter.isupper() for letter in letters) / len(letters) > SHOUTING


def _last_words(conversation: Conversation) -> str:
    return next((turn.text for turn in reversed(conversation.turns) if turn.who == "customer"), "")
