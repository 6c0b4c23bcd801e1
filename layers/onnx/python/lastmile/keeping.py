"""Lines of predictions become objects: captures by model and hour, profiles by version, and what is neither, aside.

All names follow from the lines alone, so whoever is stopped anywhere and begins again writes the same objects.
"""

import gzip
import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple

import numpy as np
import orjson

from lastmile.capture import MARKER, Record, read_line
from lastmile.errors import Damaged, InvalidArtefact, InvalidCapture, NotFound, ProfileMismatch
from lastmile.manifest import Manifest
from lastmile.profile import Layout, Profile
from lastmile.profiles import HOUR, ProfileStore, Span, captures_path, count
from lastmile.registry import Registry
from lastmile.store import Store
from lastmile.tensors import DATATYPES, Array, TensorSpec

BEGINNING = f'{{"marker":"{MARKER}"'
LEVEL = 5
FURTHEST_SECONDS = 86_400.0  # between what a line says of its time and what its log says


class Line(NamedTuple):
    """One event of a log stream; `at` is its time there, in seconds since 1970."""

    id: str
    at: float
    text: str


class Kept(NamedTuple):
    """What became of some lines. `others` are no captures and belong to nobody here."""

    records: list[Record]
    refused: int
    others: int


class _Known(NamedTuple):
    """A version, as far as its captures are concerned."""

    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    layout: Layout


class _Good(NamedTuple):
    line: Line
    record: Record
    text: bytes


class Keeper:
    """Writes captures before the profiles that count them. Versions never change, so they are read once."""

    def __init__(self, registry: Registry, data: Store) -> None:
        self._registry = registry
        self._data = data
        self._profiles = ProfileStore(data)
        self._versions: dict[tuple[str, int], _Known] = {}

    def keep(self, stream: str, lines: Iterable[Line]) -> Kept:
        """`stream` names where the lines come from. Raises StoreUnavailable; then all of it can be repeated."""
        good: dict[tuple[str, str, int], _Good] = {}
        refused: list[tuple[Line, str]] = []
        others = 0
        for line in lines:
            if MARKER not in line.text:
                others += 1
                continue
            try:
                text = unwrapped(line.text)
                if text is None:
                    others += 1
                    continue
                record = read_line(text)
                self._check(record, line)
            except (InvalidCapture, NotFound, Damaged) as error:
                refused.append((line, str(error)))
                continue
            good.setdefault((record.id, record.role, record.version), _Good(line, record, text))
        for group in _grouped(good.values(), lambda one: (one.record.model, one.record.at // HOUR)):
            self._write(stream, group)
        for day in _grouped(refused, lambda one: one[0].at // (24 * HOUR)):
            self._put_aside(stream, day)
        return Kept([one.record for one in good.values()], len(refused), others)

    def _write(self, stream: str, group: Sequence[_Good]) -> None:
        """Captures of one model and hour."""
        first = group[0].record
        batch = _named(stream, (one.line.id for one in group))
        packed = gzip.compress(b"".join(one.text + b"\n" for one in group), LEVEL, mtime=0)
        self._data.put(captures_path(first.model, first.at, batch), packed)
        for of_version in _grouped(group, lambda one: one.record.version):
            records = [one.record for one in of_version]
            ids = [record.id for record in records]
            version = records[0].version
            profile = count(self._version(first.model, version).layout, records)
            span = Span(_digest(stream)[:12], min(ids), max(ids))
            self._profiles.write(first.model, version, first.at, batch, profile, span=span)

    def _put_aside(self, stream: str, refused: Sequence[tuple[Line, str]]) -> None:
        batch = _named(stream, (line.id for line, _ in refused))
        day = datetime.fromtimestamp(refused[0][0].at, UTC)
        entries = [
            {"reason": reason, "stream": stream, "event": line.id, "at": line.at, "line": line.text}
            for line, reason in refused
        ]
        data = b"".join(orjson.dumps(entry, option=orjson.OPT_APPEND_NEWLINE) for entry in entries)
        self._data.put(f"quarantine/captures/dt={day:%Y-%m-%d}/{batch}.jsonl", data)

    def _check(self, record: Record, line: Line) -> None:
        if abs(record.at - line.at) > FURTHEST_SECONDS:
            raise InvalidCapture(f"'at' says {record.at}, the log {line.at}: more than a day lies between")
        known = self._version(record.model, record.version)
        _check_arrays("inputs", record.inputs, known.inputs)
        _check_arrays("outputs", record.outputs, known.outputs)

    def _version(self, model: str, version: int) -> _Known:
        """Raises NotFound."""
        known = self._versions.get((model, version))
        if known is None:
            manifest = self._registry.manifest(model, version)
            known = self._versions[model, version] = _Known(
                {spec.name: spec for spec in manifest.signature.inputs},
                {spec.name: spec for spec in manifest.signature.outputs},
                self._layout(manifest),
            )
        return known

    def _layout(self, manifest: Manifest) -> Layout:
        """Of the version's reference; where that is none, or counts what the version does not have, the default."""
        with suppress(NotFound, InvalidArtefact, ProfileMismatch, AttributeError, LookupError, TypeError, ValueError):
            layout = Profile.from_document(orjson.loads(self._registry.file(manifest, "profile.json"))).layout
            Profile.of(layout, _row(manifest.signature.inputs), _row(manifest.signature.outputs))
            return layout
        return Layout.default(manifest.signature, manifest.policy.get("task"))


def unwrapped(text: str) -> bytes | None:
    """The capture in a log event's message: the line itself, or what a log wrapped around it as `message`.

    None when the message only speaks of captures. Whether it is a good one, `read_line` says.
    """
    if text.startswith(BEGINNING):
        return text.rstrip().encode()
    try:
        document: Any = orjson.loads(text)
    except orjson.JSONDecodeError:
        return None
    if type(document) is dict and "marker" not in document:
        message = document.get("message")
        if type(message) is str:
            return unwrapped(message) if MARKER in message else None
        document = message
    if type(document) is not dict or document.get("marker") != MARKER:
        return None
    return orjson.dumps(document)


def _row(specs: Iterable[TensorSpec]) -> dict[str, Array]:
    """Of the shapes and kinds that captures have."""
    return {
        spec.name: np.zeros(
            (1, *(max(1, length) for length in spec.shape[1:])),
            object if spec.pii == "hash" else DATATYPES[spec.datatype].dtype,
        )
        for spec in specs
    }


def _check_arrays(kind: str, arrays: Mapping[str, Array], specs: Mapping[str, TensorSpec]) -> None:
    for name, array in arrays.items():
        spec = specs.get(name)
        if spec is None:
            raise InvalidCapture(f"'{kind}.{name:.60}' is none of the version's: {', '.join(specs)}")
        if array.ndim != len(spec.shape) or any(
            wanted not in (-1, length) for wanted, length in zip(spec.shape[1:], array.shape[1:], strict=True)
        ):
            raise InvalidCapture(f"'{kind}.{name}' has shape {list(array.shape)}, the version's is {list(spec.shape)}")
        is_text = spec.datatype == "BYTES" or spec.pii == "hash"
        if array.size and (array.dtype.kind == "O") is not is_text:
            raise InvalidCapture(f"'{kind}.{name}' must hold {'texts' if is_text else 'numbers'}")


def _grouped[T](items: Iterable[T], key: Any) -> Iterator[list[T]]:
    groups: dict[Any, list[T]] = {}
    for item in items:
        groups.setdefault(key(item), []).append(item)
    yield from groups.values()


def _named(stream: str, ids: Iterable[str]) -> str:
    return _digest("\n".join((stream, *ids)))[:24]


def _digest(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
