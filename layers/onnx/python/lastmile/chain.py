"""Whether a model's audit is whole: every entry there, unchanged, in order, and no other one beside them; and whether
the release counts the versions, and the marks bar those, of which it tells."""

import hashlib
from collections.abc import Iterable, Iterator

from lastmile.audit import DONE, REJECT, AuditEntry
from lastmile.errors import UNREADABLE, Damaged, ModelNotFound, NotFound
from lastmile.ledger import Ledger, rejection_path, release_path
from lastmile.release import Release
from lastmile.store import Store

READS_AT_ONCE = 16


def verify_chain(store: Store, ledger: Ledger, model: str) -> list[str]:
    """What is wrong, as sentences. Reads the entries of other models too: their keys do not say whose they are.

    Raises ModelNotFound where neither a release nor an entry is of the model.
    """
    try:
        ledger.read(model)
        # Before the release, so that whatever is listed must be in its chain.
        marks = [path for path in store.list(f"models/{model}/versions") if path.endswith("/rejected.json")]
        listed = list(store.list("audit"))
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
    if chain.is_whole:
        problems.extend(chain.count_problems())
        problems.extend(chain.mark_problems(marks))
    problems.extend(_strangers(store, model, [key for key in listed if key not in chain.keys]))
    return problems


def audited(store: Store) -> set[str]:
    """The models that the audit tells of, whether they are there or not."""
    return {entry.model for _, entry in _read(store, store.list("audit")) if entry is not None}


class _Chain:
    def __init__(self, store: Store, release: Release) -> None:
        self._store = store
        self._release = release
        self._registered: set[int] = set()
        self._rejected: dict[int, list[AuditEntry]] = {}
        self.keys: set[str] = set()
        self.is_whole = False

    def walk(self) -> Iterator[str]:
        entry = self._release.head
        yield from self._head_problems(entry)
        self.keys.add(entry.key)
        self._note(entry)
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
            self._note(entry)
        self.is_whole = entry.action == "create" and entry.from_revision == 0
        if not self.is_whole:
            yield f"{entry.key} has nothing before it, but is not the creation of the model"

    def count_problems(self) -> Iterator[str]:
        """Of the versions that the release counts."""
        release = self._release
        known = {version for version in self._registered if release.has(version)}
        for version in sorted(self._registered - known):
            yield f"version {version} was registered, and {release_path(release.model)} does not count it"
        counted = release.latest - len({gap for gap in release.gaps if 1 <= gap <= release.latest})
        if counted > len(known):
            yield f"{release_path(release.model)} counts {counted} versions, of which {len(known)} were registered"

    def mark_problems(self, marks: Iterable[str]) -> Iterator[str]:
        """Of the objects that bar versions. That of the newest entry may still be missing."""
        model, head = self._release.model, self._release.head
        expected = {rejection_path(model, version): entries for version, entries in self._rejected.items()}
        for path in marks:
            if path not in expected:
                yield f"{path} was put there: the audit tells of no such rejection"
            elif self._store.get(path).data not in [entry.to_bytes() for entry in expected[path]]:
                yield f"{path} was changed: it is not what {expected[path][0].key} says"
        for path in expected.keys() - set(marks):
            if head not in expected[path] and not self._store.exists(path):
                yield f"{path} is missing: {expected[path][0].key} rejected the version"

    def _note(self, entry: AuditEntry) -> None:
        if entry.outcome != DONE or entry.version is None:
            return
        if entry.action == "register":
            self._registered.add(entry.version)
        elif entry.action == REJECT:
            self._rejected.setdefault(entry.version, []).append(entry)

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
