"""The declared assistant, and conversations with it in which the team is told as the model would tell it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from functions.chat.assistant.assistant import Assistant, Outcome
from functions.chat.assistant.book import Book
from functions.chat.assistant.conversation import Call, Conversation, Reading, Routing, Say, Ticket, Turn
from functions.chat.assistant.language import language_of
from functions.chat.message import Incoming, Kind

FOLDER = Path(__file__).parents[4] / "models/tickets"
UNSURE = Routing("orders", "normal", 0.3, sure=False, prediction="01UNSURE")
DELIVERY = Routing("delivery", "normal", 0.93, sure=True, prediction="01DELIVERY")


@dataclass
class Talk:
    """A conversation; `turns` are all that the assistant did, `services` what its actions would be answered."""

    assistant: Assistant
    services: dict[str, Outcome] = field(default_factory=dict)
    routing: Routing | None = UNSURE
    turns: list[Turn] = field(default_factory=list)
    calls: list[Call] = field(default_factory=list)
    clock: float = 1_800_000_000.0
    state: Conversation = field(default_factory=lambda: Conversation("c-1"))

    def say(self, text: str, *, kind: Kind = "message", files: tuple[str, ...] = ()) -> str:
        return self._take(Incoming(**self._about(), kind=kind, text=text, attachments=files))

    def press(self, value: str, *, kind: Kind = "button") -> str:
        return self._take(Incoming(**self._about(), kind=kind, text="", value=value))

    @property
    def last(self) -> tuple[Say, ...]:
        return self.turns[-1].says

    @property
    def ticket(self) -> Ticket | None:
        return self.turns[-1].ticket

    def _about(self) -> dict[str, Any]:
        self.clock += 10
        return {
            "platform": "standard",
            "event_id": str(self.clock),
            "conversation": "c-1",
            "user": "u-1",
            "at": self.clock,
        }

    def _take(self, message: Incoming) -> str:
        matches = tuple(self.assistant.book.retrieval.matches(message.text))
        reading = Reading(language_of(message.text), matches, self.routing if message.text else None)
        turn = self.assistant.respond(self.state, message, reading)
        said = [say.text for say in turn.says]
        if turn.call is not None:
            self.calls.append(turn.call)
            outcome = self.services.get(turn.call.action, Outcome(0, None))
            turn = self.assistant.conclude(turn.conversation, turn.call, outcome, self.clock)
            said += [say.text for say in turn.says]
        self.turns.append(turn)
        self.state = Conversation.from_bytes(turn.conversation.to_bytes())
        return "\n".join(said)


@pytest.fixture(scope="session")
def book() -> Book:
    return Book.open(FOLDER)


@pytest.fixture
def talk(book: Book) -> Talk:
    return Talk(Assistant(book))


@pytest.fixture
def talks(book: Book) -> Callable[[], Talk]:
    return lambda: Talk(Assistant(book))
