"""Profiles as objects: one per delivery of captures and version, and one per day in which those are merged.

Whatever a log delivers again is counted once. The same delivery has the same name and overwrites itself. Deliveries
cut differently are told by what they hold of one log stream: where two overlap, the later is counted again from its
captures, without what the earlier holds.
"""

import gzip
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from lastmile.capture import Record, read_line
from lastmile.errors import NotFound
from lastmile.profile import Layout, Profile
from lastmile.store import AlreadyExists, Conflict, Store
from lastmile.tensors import Array

HOUR = 3600
OBJECTS_AT_ONCE = 32
SUFFIX = ".json.gz"
MERGED = f"merged{SUFFIX}"
LEVEL = 1  # most counts are zero
WORTH_MERGING = 2  # objects that a later reader is spared

type Arrays = Mapping[str, Array]


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


class ProfileStore:
    """`merges`: reading a window also leaves what it has merged for the next reader, by compare-and-swap."""

    def __init__(self, store: Store, *, merges: bool = False) -> None:
        self._store = store
        self._merges = merges

    def write(
        self, model: str, version: int, hour: float, batch: str, profile: Profile, *, span: Span | None = None
    ) -> None:
        """`hour` is a time within it, in seconds since 1970; `batch` names the delivery, and is written over."""
        document = {**profile.to_document(), "span": span and list(span)}
        self._store.put(f"{_day(model, version, hour)}/{_hour(hour)}/{batch}{SUFFIX}", _packed(document))

    def read(self, model: str, version: int, since: float, until: float) -> Profile | None:
        """All that was delivered of the version for this time; None when nothing was.

        Whole hours count whole. At the ends of the window a delivery, of a minute at most, counts where it begins.
        Raises ProfileMismatch where layouts differ within the window.
        """
        return merged(profile for _, profile in self.hours(model, version, since, until))

    def hours(self, model: str, version: int, since: float, until: float) -> list[tuple[float, Profile]]:
        """The same, hour by hour: the first second of each hour for which something was delivered, in order."""
        days = [_Day(self._store, model, version, start) for start in _days(since, until)]
        found = _at_once(lambda day: day.read(since, until, merges=self._merges), days)
        return [hour for day in found for hour in day]

    def versions(self, model: str, since: float, until: float) -> list[int]:
        """Which versions have captures of hours in this time, in ascending order."""
        named = self._store.list_folders(f"profiles/model={model}")
        wanted = [int(name.removeprefix("version=")) for name in named]
        found = _at_once(lambda version: self._has_hours(model, version, since, until), wanted)
        return sorted(version for version, has_some in zip(wanted, found, strict=True) if has_some)

    def _has_hours(self, model: str, version: int, since: float, until: float) -> bool:
        folder = f"profiles/model={model}/version={version}"
        stored = set(self._store.list_folders(folder))
        for start in _days(since, until):
            if f"dt={_date(start)}" in stored:
                hours = {_hour(hour) for hour in _hours(start, since, until)}
                if not hours.isdisjoint(self._store.list_folders(f"{folder}/dt={_date(start)}")):
                    return True
        return False


class _Day:
    """One day of a version; `start` is its first second."""

    def __init__(self, store: Store, model: str, version: int, start: float) -> None:
        self._store = store
        self._model = model
        self._version = version
        self._start = start
        self._folder = _day(model, version, start)

    def read(self, since: float, until: float, *, merges: bool) -> list[tuple[float, Profile]]:
        batches = self._batches()
        wanted = [hour for hour in _hours(self._start, since, until) if _hour(hour) in batches]
        if not wanted:
            return []
        hours, etag = self._merged() if MERGED in batches[""] else ({}, None)
        found: list[tuple[float, Profile]] = []
        fresh = 0
        for hour in wanted:
            known = hours.setdefault(_hour(hour), _Hour())
            is_whole = since <= hour and hour + HOUR <= until
            if known.profile is not None and not is_whole and not _within(known.profile, since, until):
                known = _Hour()  # what is merged is of more than is wanted
            parts = [] if known.profile is None else [known.profile]
            late = [batch for batch in batches[_hour(hour)] if batch not in known.batches]
            parts += [part for part in self._add(known, hour, late) if is_whole or _begins(part, since, until)]
            fresh += len(late) if known is hours[_hour(hour)] else 0
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
        documents = _at_once(lambda name: self._document(hour, name), names)
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
        return _unpacked(self._store.get(f"{self._folder}/{_hour(hour)}/{batch}{SUFFIX}").data)

    def _without(self, layout: Layout, hour: float, batch: str, rivals: Mapping[str, Span]) -> Profile:
        """What the delivery holds and the others do not. Of captures that are gone only the span is known."""
        found = self._captures(hour, batch)
        for rival, span in rivals.items():
            counted = {_key(record) for record in self._captures(hour, rival)}
            found = [
                record
                for record in found
                if (_key(record) not in counted if counted else not span.first <= record.id <= span.last)
            ]
        return count(layout, found)

    def _captures(self, hour: float, batch: str) -> list[Record]:
        with suppress(NotFound):
            lines = gzip.decompress(self._store.get(captures_path(self._model, hour, batch)).data).splitlines()
            return [record for record in map(read_line, lines) if record.version == self._version]
        return []

    def _merged(self) -> tuple[dict[str, _Hour], str | None]:
        """By hour what is merged already, and the etag of that object."""
        try:
            stored = self._store.get(f"{self._folder}/{MERGED}")
        except NotFound:
            return {}, None
        document = _unpacked(stored.data)
        layouts = document["layouts"]
        hours = {hour: _restored(entry, layouts) for hour, entry in document["hours"].items()}
        return hours, stored.etag

    def _keep(self, hours: Mapping[str, _Hour], etag: str | None) -> None:
        """Whoever comes second keeps nothing: the next reader merges what is missing."""
        layouts: dict[str, Any] = {}
        entries = {hour: _entry(known, layouts) for hour, known in hours.items() if known.profile is not None}
        data = _packed({"layouts": layouts, "hours": entries})
        with suppress(AlreadyExists, Conflict):
            if etag is None:
                self._store.create(f"{self._folder}/{MERGED}", data)
            else:
                self._store.replace(f"{self._folder}/{MERGED}", data, etag)


def count(layout: Layout, records: Iterable[Record]) -> Profile:
    """Requests, errors and latency of all records; values of those that were sampled. Each record counts once."""
    once = {_key(record): record for record in records}
    alike: dict[tuple[Any, ...], list[Record]] = {}
    for record in once.values():
        if record.rows_captured and (record.inputs or record.outputs):
            alike.setdefault(_form(record), []).append(record)
    profile = merged(_values(layout, group) for group in alike.values()) or Profile.empty(layout)
    for record in once.values():
        profile = profile.observed(ms=record.ms, error=record.error is not None, at=record.at)
    return profile


def merged(profiles: Iterable[Profile]) -> Profile | None:
    whole: Profile | None = None
    for profile in profiles:
        whole = profile if whole is None else whole.merge(profile)
    return whole


def captures_path(model: str, hour: float, batch: str) -> str:
    return f"captures/model={model}/dt={_date(hour)}/{_hour(hour)}/{batch}.jsonl.gz"


def _values(layout: Layout, records: list[Record]) -> Profile:
    """Of records that have the same tensors, whose rows can stand below each other."""
    inputs = _stacked([record.inputs for record in records])
    return Profile.of(layout, inputs, _stacked([record.outputs for record in records]))


def _stacked(arrays: list[dict[str, Array]]) -> dict[str, Array]:
    return {name: np.concatenate([np.atleast_1d(one[name]) for one in arrays]) for name in arrays[0]}


def _form(record: Record) -> tuple[Any, ...]:
    return tuple(
        (kind, name, array.dtype.str, array.shape[1:])
        for kind, arrays in (("in", record.inputs), ("out", record.outputs))
        for name, array in arrays.items()
    )


def _key(record: Record) -> tuple[str, str, int]:
    return record.id, record.role, record.version


def _packed(document: Mapping[str, Any]) -> bytes:
    return gzip.compress(orjson.dumps(document), LEVEL, mtime=0)


def _unpacked(data: bytes) -> dict[str, Any]:
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


def _days(since: float, until: float) -> list[float]:
    """First seconds of the days."""
    first = since // (24 * HOUR)
    return [24 * HOUR * (first + n) for n in range(max(0, int(-(-until // (24 * HOUR)) - first)))]


def _hours(day: float, since: float, until: float) -> list[float]:
    """First seconds of the day's hours that have a part in the window."""
    starts = (day + HOUR * n for n in range(24))
    return [start for start in starts if start + HOUR > since and start < until]


def _day(model: str, version: int, at: float) -> str:
    return f"profiles/model={model}/version={version}/dt={_date(at)}"


def _date(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def _hour(at: float) -> str:
    return f"hour={datetime.fromtimestamp(at, UTC):%H}"


def _at_once[A, B](act: Callable[[A], B], items: Iterable[A]) -> list[B]:
    things = list(items)
    if len(things) < 2:
        return [act(thing) for thing in things]
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that few objects need not spend

    with ThreadPoolExecutor(min(OBJECTS_AT_ONCE, len(things))) as pool:
        return list(pool.map(act, things))
