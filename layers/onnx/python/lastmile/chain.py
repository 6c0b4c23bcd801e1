"""Whether a model's audit is whole: every entry there, unchanged, in order, and no other one beside them."""

import hashlib
from collections.abc import Iterable, Iterator

from lastmile.audit import AuditEntry
from lastmile.errors import UNREADABLE, Damaged, ModelNotFound, NotFound
from lastmile.ledger import Ledger, release_path
from lastmile.release import Release
from lastmile.store import Store

READS_AT_ONCE = 16


def verify_chain(store: Store, ledger: Ledger, model: str) -> list[str]:
    """What is wrong, as sentences. Reads the entries of other models too: their keys do not say whose they are.

    Raises ModelNotFound where neither a release nor an entry is of the model.
    """
    try:
        ledger.read(model)
        listed = list(store.list("audit"))  # before the release, so that whatever is listed must be in its chain
        release, _ = ledger.read(model)
    except ModelNotFound:
        left = sum(entry is not None and entry.model == model for _, entry in _read(store, store.list("audit")))
        if not left:
            raise
        return [f"{release_path(model)} is missing, and the audit holds {left} entries of the model"]
    except Damaged as damage:
        return [str(damage)]
    chain = _Chain(store, release)
    problems = list(chain.walk())
    problems.extend(_strangers(store, model, [key for key in listed if key not in chain.keys]))
    return problems


def audited(store: Store) -> set[str]:
    """The models that the audit tells of, whether they are there or not."""
    return {entry.model for _, entry in _read(store, store.list("audit")) if entry is not None}


class _Chain:
    def __init__(self, store: Store, release: Release) -> None:
        self._store = store
        self._release = release
        self.keys: set[str] = set()

    def walk(self) -> Iterator[str]:
        entry = self._release.head
        yield from self._head_problems(entry)
        self.keys.add(entry.key)
        while entry.previous is not None:
            link = entry.previous
            if link.key in self.keys:
                yield f"{entry.key} goes back to {link.key}, which comes after it"
                return
            self.keys.add(link.key)
            try:
                data = self._store.get(link.key).data
            except NotFound:
                yield f"{link.key} is missing, {entry.key} follows it"
                return
            if hashlib.sha256(data).hexdigest() != link.sha256:
                yield f"{link.key} was changed: its digest is not the one in {entry.key}"
            older = _parsed(data)
            if older is None:
                yield f"{link.key} is no audit entry"
                return
            yield from _link_problems(link.key, older, entry)
            entry = older
        if entry.action != "create" or entry.from_revision != 0:
            yield f"{entry.key} has nothing before it, but is not the creation of the model"

    def _head_problems(self, head: AuditEntry) -> Iterator[str]:
        """The newest entry is in the release; its own object may still be missing, but not be another one."""
        release = self._release
        if head.model != release.model or head.to_revision != release.revision or head.after != release.serving:
            yield f"the release at revision {release.revision} is not what its newest entry {head.key} says"
        try:
            data = self._store.get(head.key).data
        except NotFound:
            return
        if data != head.to_bytes():
            yield f"{head.key} was changed: it is not the entry that the release holds"


def _link_problems(key: str, older: AuditEntry, newer: AuditEntry) -> Iterator[str]:
    if older.key != key:
        yield f"{key} holds the entry {older.id}"
    if older.model != newer.model:
        yield f"{key} is about model '{older.model}'"
    if older.to_revision != newer.from_revision or older.after != newer.before:
        yield f"{key} does not lead to where {newer.key} begins"


def _strangers(store: Store, model: str, keys: list[str]) -> Iterator[str]:
    """Entries of this model that nothing goes back to."""
    for key, entry in _read(store, keys):
        if entry is None:
            yield f"{key} is no audit entry"
        elif entry.model == model:
            yield f"{key} is not in the chain: it was put there, or an entry after it was changed or deleted"


def _read(store: Store, keys: Iterable[str]) -> Iterator[tuple[str, AuditEntry | None]]:
    def read(key: str) -> tuple[str, AuditEntry | None]:
        try:
            return key, _parsed(store.get(key).data)
        except NotFound:  # the marks by which consoles make folders of S3 are listed, and cannot be read
            return key, None

    from concurrent.futures import ThreadPoolExecutor  # 10 ms that no other use of the registry need spend

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        yield from pool.map(read, keys)


def _parsed(data: bytes) -> AuditEntry | None:
    try:
        return AuditEntry.from_bytes(data)
    except UNREADABLE:
        return None
