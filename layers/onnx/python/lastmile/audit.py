"""Who did what to a model, why, and with what outcome: entries that each carry the digest of the one before."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import orjson

from lastmile.errors import InvalidInput
from lastmile.ulid import new_ulid, ulid_milliseconds

DONE = "done"
CONFLICT = "conflict"
REJECT = "reject"
VISIBLE = r"[^\s\x00-\x1f\x7f-\xa0]"  # the same to every regular expression engine, as a plain \S is not
LONGEST = {"actor": 256, "why": 2000}


@dataclass(frozen=True, slots=True)
class Serving:
    """Which versions answer; `weight` is the challenger's share of the requests, 0 to 1."""

    champion: int | None = None
    challenger: int | None = None
    weight: float = 0.0
    shadow: int | None = None
    previous: int | None = None


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody asks for. Raises InvalidInput when it does not say who asks and why."""

    action: str
    version: int | None
    actor: str
    why: str

    def __post_init__(self) -> None:
        for name, text in (("actor", self.actor), ("why", self.why)):
            if not isinstance(text, str) or not re.search(VISIBLE, text) or len(text) > LONGEST[name]:
                raise InvalidInput(f"'{name}' must be a text of 1 to {LONGEST[name]} characters")
            try:
                text.encode()
            except UnicodeEncodeError:
                raise InvalidInput(f"'{name}' holds half a character (a lone surrogate)") from None


@dataclass(frozen=True, slots=True)
class Link:
    """The entry before: where it is stored, and the sha256 of exactly those bytes."""

    key: str
    sha256: str


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One order and what came of it. An order that lost a race has the outcome `conflict` and changes nothing."""

    id: str
    at: str
    model: str
    action: str
    version: int | None
    actor: str
    why: str
    outcome: str
    from_revision: int
    to_revision: int
    before: Serving
    after: Serving
    previous: Link | None

    @property
    def key(self) -> str:
        return entry_key(self.id)

    def to_bytes(self) -> bytes:
        """The bytes that are stored and that the next entry's digest is over."""
        return orjson.dumps(asdict(self), option=orjson.OPT_SORT_KEYS)

    def link(self) -> Link:
        return Link(self.key, hashlib.sha256(self.to_bytes()).hexdigest())

    @classmethod
    def from_bytes(cls, data: bytes) -> "AuditEntry":
        return cls.from_document(orjson.loads(data))

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "AuditEntry":
        """Raises ValueError, TypeError, KeyError or AttributeError for what is none, or leads nowhere."""
        link = None if document["previous"] is None else Link(**document["previous"])
        states = {"before": Serving(**document["before"]), "after": Serving(**document["after"])}
        entry = cls(**{**document, **states, "previous": link})
        texts = (entry.id, entry.model, *(() if link is None else (link.key, link.sha256)))
        if not (all(type(text) is str for text in texts) and entry.key):
            raise TypeError("'id', 'model' and 'previous' must be texts")
        return entry


def new_entry(
    model: str,
    order: Order,
    *,
    outcome: str,
    revisions: tuple[int, int],
    states: tuple[Serving, Serving],
    last: AuditEntry | None,
) -> AuditEntry:
    """An entry of this moment, chained to `last`."""
    entry_id = new_ulid()
    return AuditEntry(
        id=entry_id,
        at=rfc3339(ulid_milliseconds(entry_id)),
        model=model,
        action=order.action,
        version=order.version,
        actor=order.actor,
        why=order.why,
        outcome=outcome,
        from_revision=revisions[0],
        to_revision=revisions[1],
        before=states[0],
        after=states[1],
        previous=None if last is None else last.link(),
    )


def entry_key(entry_id: str) -> str:
    """Where the entry is stored, by the day that its id names; raises ValueError when it is no ULID."""
    return f"audit/{rfc3339(ulid_milliseconds(entry_id))[:10].replace('-', '/')}/{entry_id}.json"


def rfc3339(milliseconds: int) -> str:
    at = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
