"""What a platform's webhook says, whichever platform it was."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, Protocol

import orjson

type Kind = Literal["message", "edit", "button", "command", "reaction", "rerouted"]

LONGEST_TEXT = 8_000  # characters; what comes after is cut, and `cut` says so


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """One thing that a person did.

    `event_id` is the same when the platform delivers it again. Order is kept within a `conversation`. `value` is what
    a button, a command or a reaction carries, `about` the message it belongs to. `attachments` are names or kinds:
    their content is never fetched. `reply` is what the platform wants to know of an answer's place.
    """

    platform: str
    event_id: str
    conversation: str
    kind: Kind
    user: str
    text: str
    at: float  # seconds since 1970
    value: str | None = None
    about: str | None = None
    attachments: tuple[str, ...] = ()
    cut: bool = False
    reply: dict[str, Any] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_bytes(cls, data: bytes | str) -> "Incoming":
        document: dict[str, Any] = orjson.loads(data)
        return cls(**{**document, "attachments": tuple(document["attachments"])})


class Queued(Protocol):
    """What lies in a queue: something that a person did, or something that operators are told."""

    @property
    def platform(self) -> str: ...

    @property
    def event_id(self) -> str: ...

    @property
    def conversation(self) -> str: ...

    @property
    def kind(self) -> str: ...

    def to_bytes(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Answer:
    """The platform's acknowledgement."""

    body: Mapping[str, Any] | None = None
    status: int = 200


@dataclass(frozen=True, slots=True)
class Received:
    """What is answered at once, and what is queued: nothing for an event that asks for nothing."""

    answer: Answer = Answer()
    messages: tuple[Incoming, ...] = ()


class Malformed(Exception):
    """An authentic request that is not what the platform documents; says what is missing, for the log alone."""


def text_of(text: object) -> tuple[str, bool]:
    """The text, cut to what the assistant reads, and whether it was; control characters are gone."""
    said = "".join(letter for letter in str(text or "") if letter.isprintable() or letter in "\n\t").strip()
    return said[:LONGEST_TEXT], len(said) > LONGEST_TEXT


def needed(document: Mapping[str, Any], *keys: str) -> Any:
    """The value below the keys; raises Malformed where there is none."""
    found: Any = document
    for index, key in enumerate(keys):
        if not isinstance(found, Mapping) or found.get(key) in (None, ""):
            raise Malformed(f"{'.'.join(keys[: index + 1])} is missing")
        found = found[key]
    return found


def optional(document: Mapping[str, Any], *keys: str) -> Any:
    """The value below the keys, or None."""
    found: Any = document
    for key in keys:
        if not isinstance(found, Mapping):
            return None
        found = found.get(key)
    return found


def seconds(value: object) -> float:
    """A time as platforms write it: seconds as a number or a text."""
    try:
        found = float(str(value))
    except ValueError:
        raise Malformed("a time is not a number") from None
    if not 0 <= found < 1e11:
        raise Malformed("a time is out of range")
    return found
