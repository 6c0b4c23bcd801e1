"""One day of a version: what was delivered of each hour, each prediction counted once, and what is merged already."""

import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import orjson

from lastmile.capture import Record, read_line
from lastmile.errors import UNREADABLE, NotFound, ProfileMismatch
from lastmile.profile import Layout, Profile
from lastmile.profiles.counting import count, key, merged
from lastmile.profiles.paths import HOUR, MERGED, SUFFIX, captures_path, folder_of_day, folder_of_hour, hours_within
from lastmile.store import AlreadyExists, Conflict, Store

OBJECTS_AT_ONCE = 32
LEVEL = 1  # most counts are zero
DAMAGED = (*UNREADABLE, EOFError, OSError, ProfileMismatch, zlib.error)
WORTH_MERGING = 2  # objects that a later reader is spared


class Span(NamedTuple):
    """What a delivery holds: predictions of one log stream, from the first id to the last."""

    stream: str
    first: str
    last: str

    def overlaps(self, other: "Span") -> bool:
        return self.stream == other.stream and self.first <= other.last and other.first <= self.last


@dataclass
class _Hour:
    """Deliveries counted so far."""

    batches: dict[str, Span | None] = field(default_factory=dict)
    profile: Profile | None = None


class Day:
    """One day of a version; `start` is its first second."""

    def __init__(self, store: Store, model: str, version: int, start: float) -> None:
        self._store = store
        self._model = model
        self._version = version
        self._start = start
        self._folder = folder_of_day(model, version, start)

    def read(self, since: float, until: float, *, merges: bool) -> list[tuple[float, Profile]]:
        batches = self._batches()
        wanted = [hour for hour in hours_within(self._start, since, until) if folder_of_hour(hour) in batches]
        if not wanted:
            return []
        hours, etag = self._merged() if MERGED in batches[""] else ({}, None)
        found: list[tuple[float, Profile]] = []
        fresh = 0
        for hour in wanted:
            known = hours.setdefault(folder_of_hour(hour), _Hour())
            is_whole = since <= hour and hour + HOUR <= until
            if known.profile is not None and not is_whole and not _within(known.profile, since, until):
                known = _Hour()  # what is merged is of more than is wanted
            parts = [] if known.profile is None else [known.profile]
            late = [batch for batch in batches[folder_of_hour(hour)] if batch not in known.batches]
            parts += [part for part in self._add(known, hour, late) if is_whole or _begins(part, since, until)]
            fresh += len(late) if known is hours[folder_of_hour(hour)] else 0
            whole = merged(parts)
            found += [] if whole is None else [(hour, whole)]
        if merges and fresh >= WORTH_MERGING:
            self._keep(hours, etag)
        return found

    def _batches(self) -> dict[str, list[str]]:
        """Names of the deliveries by hour, sorted; under the empty name what is of no hour."""
        found: dict[str, list[str]] = {"": []}
        for path in self._store.list(self._folder):
            hour, _, name = path.removeprefix(f"{self._folder}/").rpartition("/")
            found.setdefault(hour, []).append(name.removesuffix(SUFFIX) if hour else name)
        return {hour: sorted(names) for hour, names in found.items()}

    def _add(self, known: _Hour, hour: float, batches: Iterable[str]) -> Iterator[Profile]:
        """Count these deliveries too; gives what each adds."""
        names = list(batches)
        documents = at_once(lambda name: self._document(hour, name), names)
        for name, document in zip(names, documents, strict=True):
            profile = Profile.from_document(document)
            span = None if document.get("span") is None else Span(*document["span"])
            rivals = {other: its for other, its in known.batches.items() if span and its and span.overlaps(its)}
            if rivals:
                profile = self._without(profile.layout, hour, name, rivals)
            known.batches[name] = span
            known.profile = profile if known.profile is None else known.profile.merge(profile)
            yield profile

    def _document(self, hour: float, batch: str) -> dict[str, Any]:
        return unpacked(self._store.get(f"{self._folder}/{folder_of_hour(hour)}/{batch}{SUFFIX}").data)

    def _without(self, layout: Layout, hour: float, batch: str, rivals: Mapping[str, Span]) -> Profile:
        """What the delivery holds and the others do not. Of captures that are gone only the span is known."""
        found = self._captures(hour, batch)
        for rival, span in rivals.items():
            counted = {key(record) for record in self._captures(hour, rival)}
            found = [
                record
                for record in found
                if (key(record) not in counted if counted else not span.first <= record.id <= span.last)
            ]
        return count(layout, found)

    def _captures(self, hour: float, batch: str) -> list[Record]:
        with suppress(NotFound):
            lines = gzip.decompress(self._store.get(captures_path(self._model, hour, batch)).data).splitlines()
            return [record for record in map(read_line, lines) if record.version == self._version]
        return []

    def _merged(self) -> tuple[dict[str, _Hour], str | None]:
        """By hour what is merged already, and the etag of that object; nothing where it is damaged, for all that it was
        made of is still there."""
        try:
            stored = self._store.get(f"{self._folder}/{MERGED}")
        except NotFound:
            return {}, None
        try:
            document = unpacked(stored.data)
            layouts = document["layouts"]
            hours = {hour: _restored(entry, layouts) for hour, entry in document["hours"].items()}
        except DAMAGED:
            hours = {}
        return hours, stored.etag

    def _keep(self, hours: Mapping[str, _Hour], etag: str | None) -> None:
        """Whoever comes second keeps nothing: the next reader merges what is missing."""
        layouts: dict[str, Any] = {}
        entries = {hour: _entry(known, layouts) for hour, known in hours.items() if known.profile is not None}
        data = packed({"layouts": layouts, "hours": entries})
        with suppress(AlreadyExists, Conflict):
            if etag is None:
                self._store.create(f"{self._folder}/{MERGED}", data)
            else:
                self._store.replace(f"{self._folder}/{MERGED}", data, etag)


def packed(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(orjson.dumps(document), LEVEL, mtime=0)


def unpacked(data: bytes) -> dict[str, Any]:
    document: dict[str, Any] = orjson.loads(gzip.decompress(data))
    return document


def _entry(known: _Hour, layouts: dict[str, Any]) -> dict[str, Any]:
    assert known.profile is not None
    document = known.profile.to_document()
    digest = known.profile.layout.digest
    layouts[digest] = document["layout"]
    batches = {name: span and list(span) for name, span in known.batches.items()}
    return {"batches": batches, "profile": {**document, "layout": digest}}


def _restored(entry: Mapping[str, Any], layouts: Mapping[str, Any]) -> _Hour:
    document = entry["profile"]
    batches = {name: None if span is None else Span(*span) for name, span in entry["batches"].items()}
    return _Hour(batches, Profile.from_document({**document, "layout": layouts[document["layout"]]}))


def _within(profile: Profile, since: float, until: float) -> bool:
    return _begins(profile, since, until) and profile.last_at is not None and profile.last_at < until


def _begins(profile: Profile, since: float, until: float) -> bool:
    return profile.first_at is not None and since <= profile.first_at < until


def at_once[A, B](act: Callable[[A], B], items: Iterable[A]) -> list[B]:
    things = list(items)
    if len(things) < 2:
        return [act(thing) for thing in things]
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that few objects need not spend

    with ThreadPoolExecutor(min(OBJECTS_AT_ONCE, len(things))) as pool:
        return list(pool.map(act, things))
