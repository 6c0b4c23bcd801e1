"""Predictions and what was right about them, row by row: feedback joined with captures.

A prediction's id tells its hour, so only captures of hours that the feedback names are read.
"""

import gzip
import re
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime

from lastmile.capture import Record, read_line
from lastmile.errors import LastmileError, NotFound
from lastmile.feedback import Feedback, at_once, latest
from lastmile.store import Store
from lastmile.tensors import Array
from lastmile.ulid import ulid_milliseconds

BORDER_SECONDS = 60.0  # a prediction's id and its capture are of the same minute, perhaps not of the same hour
ID = re.compile(rb'"id": ?"([0-9A-Z]{26})"')


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """One row of one version's answer. Arrays have no axis for rows."""

    feedback: Feedback
    version: int
    role: str
    inputs: Mapping[str, Array]
    outputs: Mapping[str, Array]


@dataclass(frozen=True, slots=True)
class Join:
    """`unknown`: of no capture that is there. `not_kept`: the capture is there and holds the row not, because it was
    sampled out, cut off or failed. `overruled` counts labels that later ones replace; `damaged` are objects that
    cannot be read to their end."""

    rows: list[Labelled] = field(default_factory=list)
    unknown: list[Feedback] = field(default_factory=list)
    not_kept: list[Feedback] = field(default_factory=list)
    overruled: int = 0
    damaged: list[str] = field(default_factory=list)


def joined(store: Store, model: str, feedback: Iterable[Feedback]) -> Join:
    """In the order of the predictions. A shadow's answer is a row of its own."""
    labels, overruled = latest(feedback)
    join = Join(overruled=overruled)
    records = _records(store, model, {prediction_id for prediction_id, _ in labels}, join.damaged)
    for subject in sorted(labels):
        one = labels[subject]
        found = records.get(one.prediction_id)
        if found is None:
            join.unknown.append(one)
            continue
        rows = [_row(record, one) for record in found]
        join.rows.extend(row for row in rows if row is not None)
        if not any(rows):
            join.not_kept.append(one)
    return join


def _row(record: Record, one: Feedback) -> Labelled | None:
    row = one.row
    if not record.outputs or any(array.ndim == 0 or len(array) <= row for array in record.outputs.values()):
        return None
    inputs = {name: array[row] for name, array in record.inputs.items() if array.ndim and len(array) > row}
    outputs = {name: array[row] for name, array in record.outputs.items()}
    return Labelled(one, record.version, record.role, inputs, outputs)


def _records(store: Store, model: str, wanted: set[str], damaged: list[str]) -> dict[str, list[Record]]:
    """By id, what each version answered, once, whatever is stored twice."""
    paths = sorted({path for hour in _hours(model, wanted) for path in store.list(hour)})
    found: dict[str, dict[tuple[int, str], Record]] = {}
    for path, records, is_whole in at_once(lambda path: (path, *_wanted(store, path, wanted)), paths):
        if not is_whole:
            damaged.append(path)
        for record in records:
            found.setdefault(record.id, {})[record.version, record.role] = record
    return {prediction_id: list(records.values()) for prediction_id, records in found.items()}


def _hours(model: str, wanted: Iterable[str]) -> list[str]:
    offsets = (-BORDER_SECONDS, 0.0, BORDER_SECONDS)
    times = [ulid_milliseconds(one) / 1e3 for one in wanted]
    hours = sorted({int((at + offset) // 3600) for at in times for offset in offsets})
    return [hour_folder(model, hour * 3600) for hour in hours]


def hour_folder(model: str, at: float) -> str:
    moment = datetime.fromtimestamp(at, UTC)
    return f"captures/model={model}/dt={moment:%Y-%m-%d}/hour={moment:%H}"


def _wanted(store: Store, path: str, wanted: set[str]) -> tuple[list[Record], bool]:
    """The records of these ids in one object, and whether all of it could be read."""
    try:
        data = store.get(path).data
    except NotFound:  # expired since it was listed
        return [], True
    text, is_whole = _unpacked(data)
    found = []
    for line in text.splitlines():
        if _id(line) in wanted:
            try:
                found.append(read_line(line))
            except LastmileError:
                is_whole = False
    return found, is_whole


def _unpacked(data: bytes) -> tuple[bytes, bool]:
    """As many whole lines as can be had."""
    try:
        return gzip.decompress(data), True
    except (OSError, EOFError, zlib.error):
        pass
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data)
    except zlib.error:
        return b"", False
    return text[: text.rfind(b"\n") + 1], False


def _id(line: bytes) -> str | None:
    """Without reading a line that may not be wanted: the first there is, for it comes before what was asked."""
    found = ID.search(line)
    return None if found is None else found[1].decode()
