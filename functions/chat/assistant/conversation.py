"""What is kept of a conversation between two messages, and what a turn of the assistant consists of."""

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

import orjson

from functions.chat.assistant.retrieval import Match

LONGEST_TURN = 1_000  # characters of a turn that a transcript keeps


@dataclass(frozen=True, slots=True)
class Said:
    """One line of the transcript."""

    who: Literal["customer", "assistant"]
    text: str
    at: float


@dataclass(frozen=True, slots=True)
class Pending:
    """What the assistant waits for: a choice between entries, a value for an action, or a yes to it."""

    kind: Literal["choice", "value", "confirmation"]
    options: tuple[str, ...] = ()
    action: str | None = None
    values: dict[str, str] = field(default_factory=dict)
    wanted: str | None = None


@dataclass(frozen=True, slots=True)
class Conversation:
    """`unsure` counts the times in a row that the assistant did not know; `prediction` is the model's last one."""

    id: str
    turns: tuple[Said, ...] = ()
    pending: Pending | None = None
    unsure: int = 0
    handed_over: bool = False
    answered: str | None = None  # the entry or action given last
    prediction: str | None = None
    queue: str | None = None

    def heard(self, text: str, at: float) -> "Conversation":
        return self._with(Said("customer", text[:LONGEST_TURN], at))

    def said(self, text: str, at: float) -> "Conversation":
        return self._with(Said("assistant", text[:LONGEST_TURN], at))

    def _with(self, turn: Said) -> "Conversation":
        return replace(self, turns=(*self.turns, turn))

    def kept(self, turns: int) -> "Conversation":
        """With the newest turns alone."""
        return replace(self, turns=self.turns[-turns:])

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes | str) -> "Conversation":
        document: dict[str, Any] = orjson.loads(data)
        pending = document["pending"]
        return cls(
            **{
                **document,
                "turns": tuple(Said(**turn) for turn in document["turns"]),
                "pending": None if pending is None else Pending(**{**pending, "options": tuple(pending["options"])}),
            }
        )


@dataclass(frozen=True, slots=True)
class Routing:
    """What the model and its policy say of a text."""

    queue: str
    priority: str
    confidence: float
    sure: bool
    prediction: str  # its id


@dataclass(frozen=True, slots=True)
class Reading:
    """A text as understood: its language (None: cannot be told), the nearest entries, the team."""

    language: str | None
    matches: tuple[Match, ...]
    routing: Routing | None  # None while the model does not answer


@dataclass(frozen=True, slots=True)
class Button:
    label: str
    value: str


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    buttons: tuple[Button, ...] = ()


@dataclass(frozen=True, slots=True)
class Call:
    """An action to carry out; what comes of it goes to `conclude`."""

    action: str
    values: dict[str, str]


@dataclass(frozen=True, slots=True)
class Ticket:
    """For a queue. `handover` asks for a person now; without it the ticket waits its turn. `comment` adds to the
    ticket that the conversation has already."""

    queue: str
    priority: str
    reason: str
    summary: str
    transcript: tuple[Said, ...]
    confidence: float | None
    prediction: str | None
    handover: bool
    comment: bool = False


@dataclass(frozen=True, slots=True)
class Learnt:
    """What a person said of a prediction: `label` is the right queue where it is known (of an agent's re-routing the
    group), `helpful` a judgement."""

    prediction: str
    helpful: bool
    label: str | None = None


@dataclass(frozen=True, slots=True)
class Turn:
    conversation: Conversation
    says: tuple[Say, ...] = ()
    call: Call | None = None
    ticket: Ticket | None = None
    learnt: Learnt | None = None
