"""Moving releases by compare-and-swap, with every move and every lost race in a chain of audit entries.

`release.json` holds the newest entry itself, so a move and its entry are one write. The entry's own object is written
right after; whoever moves the release next writes it first if that was cut short.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Never

from lastmile.audit import CONFLICT, DONE, REJECT, AuditEntry, Order, Serving, entry_key, new_entry
from lastmile.errors import (
    Damaged,
    ModelNotFound,
    NotFound,
    ReleaseConflict,
    StoreUnavailable,
    VersionNotFound,
    parsed,
)
from lastmile.release import Release
from lastmile.store import AlreadyExists, Conflict, Store

ATTEMPTS = 60  # with the waits between them about half a minute
LONGEST_WAIT = 0.5

type Change = Callable[[Release], Release]


class Ledger:
    def __init__(self, store: Store) -> None:
        self._store = store

    def read(self, model: str) -> tuple[Release, str]:
        """The release and its etag; raises ModelNotFound or Damaged."""
        try:
            stored = self._store.get(release_path(model))
        except NotFound:
            raise ModelNotFound(model) from None
        return _release(model, stored.data), stored.etag

    def read_if_changed(self, model: str, etag: str) -> tuple[Release, str] | None:
        try:
            stored = self._store.get_if_changed(release_path(model), etag)
        except NotFound:
            raise ModelNotFound(model) from None
        return None if stored is None else (_release(model, stored.data), stored.etag)

    def open(self, model: str, order: Order) -> Release:
        """The release of a model, which is created with nothing serving if there is none."""
        with suppress(ModelNotFound):
            return self.read(model)[0]
        nothing = Serving()
        head = new_entry(model, order, outcome=DONE, revisions=(0, 0), states=(nothing, nothing), last=None)
        release = Release(model, 0, None, None, 0.0, None, None, latest=0, head=head)
        try:
            self._store.create(release_path(model), release.to_bytes())
        except AlreadyExists:
            return self.read(model)[0]
        self.write(head)
        return release

    def move(self, model: str, order: Order, change: Change, *, expected_revision: int | None = None) -> Release:
        """Carry out an order, or raise ReleaseConflict when the release has moved since it was first looked at.

        `change` may look at the store and raise; it is called again when only the audit or the list of versions moved
        meanwhile. A change that leaves everything as it is writes nothing.
        """
        seen = expected_revision
        for attempt in range(ATTEMPTS):
            release, etag = self.read(model)
            if seen is not None and release.revision != seen:
                self._lose(model, order, seen)
            seen = release.revision
            self.write(release.head)
            changed = change(release)
            if changed.serving == release.serving and order.action != REJECT:
                return release
            moved = self._swap(release, etag, replace(changed, revision=release.revision + 1), order, DONE)
            if moved is not None:
                return moved
            _wait(attempt)
        raise _too_busy(model)

    def note(self, model: str, order: Order, change: Change, *, outcome: str = DONE) -> Release:
        """Add an entry that does not move what serves, however often others get in between.

        `change` returns the release itself when there is nothing to add any more.
        """
        for attempt in range(ATTEMPTS):
            release, etag = self.read(model)
            self.write(release.head)
            changed = change(release)
            if changed is release and outcome == DONE:
                return release
            noted = self._swap(release, etag, changed, order, outcome)
            if noted is not None:
                return noted
            _wait(attempt)
        raise _too_busy(model)

    def entries(self, model: str, *, before: str | None = None) -> Iterator[AuditEntry]:
        """From the newest entry backwards, or from the one that comes before the entry with the id `before`."""
        if before is None:
            entry = self.read(model)[0].head
            yield entry
        else:
            entry = self._named(model, before)
        while entry.previous is not None:
            try:
                data = self._store.get(entry.previous.key).data
            except NotFound:
                raise Damaged(f"{entry.previous.key} is missing, {entry.key} follows it") from None
            entry = parsed(AuditEntry.from_bytes, data, entry.previous.key, "audit entry")
            yield entry

    def _named(self, model: str, entry_id: str) -> AuditEntry:
        """An entry by its id; the newest one may live in the release alone."""
        head = self.read(model)[0].head
        if head.id == entry_id:
            return head
        missing = NotFound(f"model '{model}' has no audit entry '{entry_id}'")
        try:
            key = entry_key(entry_id)
            entry = parsed(AuditEntry.from_bytes, self._store.get(key).data, key, "audit entry")
        except (NotFound, ValueError):
            raise missing from None
        if entry.model != model:
            raise missing
        return entry

    def _swap(self, release: Release, etag: str, changed: Release, order: Order, outcome: str) -> Release | None:
        """Put `changed` with its entry in the place of `release`; None when somebody else was faster."""
        head = new_entry(
            release.model,
            order,
            outcome=outcome,
            revisions=(release.revision, changed.revision),
            states=(release.serving, changed.serving),
            last=release.head,
        )
        moved = replace(changed, head=head)
        try:
            self._store.replace(release_path(release.model), moved.to_bytes(), etag)
        except (Conflict, StoreUnavailable) as error:
            if not self._landed(head, error):
                return None
        with suppress(StoreUnavailable):  # it is done and recorded; the next order writes what is missing
            self.write(head)
        return moved

    def _landed(self, head: AuditEntry, error: Conflict | StoreUnavailable) -> bool:
        """Whether a write was carried out after all: its answer was lost, and sent again it failed on itself.

        Raises StoreUnavailable where nobody can tell: taken for lost, it would be carried out twice.
        """
        landed = self.read(head.model)[0].head.id == head.id or self._store.exists(head.key)
        if not landed and isinstance(error, StoreUnavailable):
            raise error
        return landed

    def write(self, entry: AuditEntry) -> None:
        """The entry's own object, and the mark on a version that it rejects; what is there already stays."""
        data = entry.to_bytes()
        with suppress(AlreadyExists):
            self._store.create(entry.key, data)
        if entry.action == REJECT and entry.outcome == DONE:
            with suppress(AlreadyExists):
                self._store.create(rejection_path(entry.model, entry.version), data)

    def _lose(self, model: str, order: Order, seen: int) -> Never:
        def known(release: Release) -> Release:
            if order.version is not None and not release.has(order.version):
                raise VersionNotFound(model, order.version)
            return release

        release = self.note(model, order, known, outcome=CONFLICT)
        raise ReleaseConflict(
            f"the release of model '{model}' is at revision {release.revision}, not {seen}: somebody else moved it, "
            f"and its champion is {release.champion or 'none'}; look again and decide again"
        )


def release_path(model: str) -> str:
    return f"models/{model}/release.json"


def rejection_path(model: str, version: int | None) -> str:
    return f"models/{model}/versions/{version}/rejected.json"


def _release(model: str, data: bytes) -> Release:
    release = parsed(Release.from_bytes, data, release_path(model), "release")
    if release.model != model:
        raise Damaged(f"{release_path(model)} is the release of model '{release.model}'")
    return release


def _wait(attempt: int) -> None:
    """Full jitter (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/)."""
    import random  # predictions read releases and never wait here

    time.sleep(random.uniform(0, min(LONGEST_WAIT, 0.005 * 2**attempt)))  # noqa: S311 no secret


def _too_busy(model: str) -> StoreUnavailable:
    return StoreUnavailable(f"the release of model '{model}' is written by too many at once; try again")
