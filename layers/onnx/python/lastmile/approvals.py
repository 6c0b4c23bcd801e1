"""The question whether a version may be released, and a person's answer to it: one object, answered once."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from lastmile.audit import Order
from lastmile.errors import NotFound, ReleaseConflict, parsed
from lastmile.manifest import MODEL_NAME
from lastmile.store import AlreadyExists, Conflict, Store

ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Approval:
    """`answer` is None, "approve" or "reject". `token` wakes up the run that asks; it is not needed to answer.

    Times are in seconds since 1970.
    """

    model: str
    version: int
    run: str
    asked_at: float
    expires_at: float
    token: str | None = None
    answer: str | None = None
    actor: str | None = None
    why: str | None = None
    answered_at: float | None = None

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Approval":
        return cls(**document)


class Approvals:
    def __init__(self, store: Store) -> None:
        self._store = store

    def ask(self, approval: Approval) -> Approval:
        """Put the question, or find it already put; the one that stands."""
        try:
            self._store.create(_path(approval.model, approval.version), _bytes(approval))
        except AlreadyExists:
            return self.read(approval.model, approval.version)
        return approval

    def read(self, model: str, version: int) -> Approval:
        """Raises NotFound when nobody asked."""
        return self._read(model, version)[0]

    def hand(self, model: str, version: int, token: str) -> Approval:
        """Say how the run that waits is woken up; what is answered meanwhile stays answered."""
        return self._move(model, version, lambda asked: replace(asked, token=token))

    def answer(self, model: str, version: int, answer: str, *, actor: str, why: str, now: float) -> Approval:
        """Raises ReleaseConflict when it was answered before or has expired, InvalidInput without actor or reason."""
        Order(answer, version, actor, why)

        def answered(asked: Approval) -> Approval:
            given = replace(asked, answer=answer, actor=actor, why=why, answered_at=now)
            if asked == given:  # by this very call: a write that is sent again fails on itself
                return asked
            if asked.answer is not None:
                raise ReleaseConflict(
                    f"version {version} of model '{model}' was answered already: "
                    f"{asked.answer} by {asked.actor}, {asked.why}"
                )
            if now >= asked.expires_at:
                raise ReleaseConflict(
                    f"the question about version {version} of model '{model}' has expired; "
                    "release the version by hand, or upload the data again"
                )
            return given

        return self._move(model, version, answered)

    def _move(self, model: str, version: int, change: Any) -> Approval:
        for _ in range(ATTEMPTS):
            asked, etag = self._read(model, version)
            changed: Approval = change(asked)
            try:
                self._store.replace(_path(model, version), _bytes(changed), etag)
            except Conflict:
                continue
            return changed
        raise ReleaseConflict(f"the question about version {version} of model '{model}' is written by too many at once")

    def _read(self, model: str, version: int) -> tuple[Approval, str]:
        try:
            stored = self._store.get(_path(model, version))
        except NotFound:
            raise NotFound(f"no run waits for an answer about version {version} of model '{model[:200]}'") from None
        path = _path(model, version)
        return parsed(
            lambda data: Approval.from_document(orjson.loads(data)), stored.data, path, "question"
        ), stored.etag


def _path(model: str, version: int) -> str:
    if MODEL_NAME.fullmatch(model) is None:
        raise NotFound(f"there is no model '{model[:200]}'")
    return f"approvals/{model}/{version}.json"


def _bytes(approval: Approval) -> bytes:
    return orjson.dumps(approval.to_document(), option=orjson.OPT_SORT_KEYS)
