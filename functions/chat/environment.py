"""What the environment says to the three chat functions, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import orjson

from lastmile.errors import MissingSettings
from lastmile.settings import InvalidSetting


@dataclass(frozen=True, slots=True)
class HookEnvironment:
    """`secrets` is the prefix of the platforms' secrets, `queue` the URL of the assistant's FIFO queue, `operations`
    that of the operators'."""

    secrets: str
    queue: str
    operations: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "HookEnvironment":
        names = ("LASTMILE_CHAT_SECRETS", "LASTMILE_CHAT_QUEUE", "LASTMILE_OPERATIONS_QUEUE")
        _check(environ, *names)
        return cls(*(environ[name] for name in names))


@dataclass(frozen=True, slots=True)
class OperatorEnvironment:
    """`queue` and `dead` are the URLs of the operators' queue and of its dead letters."""

    secrets: str
    table: str
    queue: str
    dead: str
    artifacts: str
    data: str
    bus: str

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "OperatorEnvironment":
        names = {
            "secrets": "LASTMILE_CHAT_SECRETS",
            "table": "LASTMILE_CHAT_TABLE",
            "queue": "LASTMILE_OPERATIONS_QUEUE",
            "dead": "LASTMILE_OPERATIONS_DEAD_LETTERS",
            "artifacts": "LASTMILE_ARTIFACTS",
            "data": "LASTMILE_DATA",
        }
        _check(environ, *names.values())
        known = {field: environ[name] for field, name in names.items()}
        return cls(**known, bus=environ.get("LASTMILE_BUS") or "default")


@dataclass(frozen=True, slots=True)
class WorkerEnvironment:
    """`queue` and `dead` are the URLs of the messages' queue and of its dead letters, `groups` are Zendesk's ids of the
    teams' queues."""

    secrets: str
    table: str
    queue: str
    dead: str
    artifacts: str
    data: str
    bus: str
    book: str
    groups: dict[str, int] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "WorkerEnvironment":
        names = ("SECRETS", "TABLE", "QUEUE", "DEAD_LETTERS")
        _check(environ, *(f"LASTMILE_CHAT_{name}" for name in names), "LASTMILE_ARTIFACTS", "LASTMILE_DATA")
        return cls(
            secrets=environ["LASTMILE_CHAT_SECRETS"],
            table=environ["LASTMILE_CHAT_TABLE"],
            queue=environ["LASTMILE_CHAT_QUEUE"],
            dead=environ["LASTMILE_CHAT_DEAD_LETTERS"],
            artifacts=environ["LASTMILE_ARTIFACTS"],
            data=environ["LASTMILE_DATA"],
            bus=environ.get("LASTMILE_BUS") or "default",
            book=environ.get("LASTMILE_CHAT_BOOK") or "models/tickets",
            groups=_groups(environ, "LASTMILE_CHAT_GROUPS"),
        )


def _check(environ: Mapping[str, str], *names: str) -> None:
    if missing := [name for name in names if not environ.get(name)]:
        raise MissingSettings(missing)


def _groups(environ: Mapping[str, str], name: str) -> dict[str, int]:
    """A JSON object of texts to whole numbers."""
    try:
        document = orjson.loads(environ.get(name) or "{}")
    except orjson.JSONDecodeError:
        raise InvalidSetting(f"{name} is no JSON") from None
    if not isinstance(document, dict) or not all(type(value) is int for value in document.values()):
        raise InvalidSetting(f"{name} must be a JSON object of queues and the ids of their groups")
    return document
