"""Rows of captures, for what counts cannot show: drift of all features together.

A version's first window of captures is kept as the rows that later windows are told apart from.
"""

import gzip
import random
from collections.abc import Iterator

import numpy as np
import orjson

from lastmile.capture import Record, read_line
from lastmile.errors import LastmileError, NotFound
from lastmile.labelled import hour_folder
from lastmile.manifest import Manifest
from lastmile.store import AlreadyExists, Store
from lastmile.tensors import Array, TensorSpec

HOUR = 3600
MOST_ROWS = 5_000
FEWEST_ROWS = 200  # of a sample that is kept
SHADOW = "shadow"

type Rows = dict[str, Array]


def sampled(store: Store, manifest: Manifest, since: float, until: float) -> Rows:
    """By feature, rows of captures drawn from the whole window; nothing when there are none."""
    hours = range(int(since // HOUR), -(-int(until) // HOUR))
    paths = sorted(path for hour in hours for path in store.list(hour_folder(manifest.model, hour * HOUR)))
    random.Random(f"{manifest.model} {since}").shuffle(paths)  # noqa: S311 the same check draws the same rows
    parts: list[Rows] = []
    count = 0
    for path in paths:
        for record in _records(store, path):
            if record.version == manifest.version and record.role != SHADOW and since <= record.at < until:
                rows = _rows(record, manifest)
                parts += [rows] if rows else []
                count += len(next(iter(rows.values()), ()))
        if count >= MOST_ROWS:
            break
    if not parts:
        return {}
    names = [name for name in parts[0] if all(name in part for part in parts)]
    return {name: np.concatenate([part[name] for part in parts])[:MOST_ROWS] for name in names}


def kept(store: Store, manifest: Manifest) -> Rows:
    """The rows of the version's first window; nothing while there are none."""
    try:
        document = orjson.loads(gzip.decompress(store.get(_path(manifest)).data))
    except NotFound:
        return {}
    wanted = {name for tensor in manifest.signature.inputs for name in _names(tensor)}
    return {name: _array(values) for name, values in document.items() if name in wanted}


def keep(store: Store, manifest: Manifest, rows: Rows) -> None:
    """Whoever comes first decides which rows these are; too few are none."""
    if len(next(iter(rows.values()), ())) < FEWEST_ROWS:
        return
    document = {name: array.tolist() for name, array in rows.items()}
    try:
        store.create(_path(manifest), gzip.compress(orjson.dumps(document), mtime=0))
    except AlreadyExists:
        return


def _records(store: Store, path: str) -> Iterator[Record]:
    """Those that can be read; what cannot be is told by the capture function, or by a report on quality."""
    try:
        lines = gzip.decompress(store.get(path).data).splitlines()
    except (NotFound, OSError, EOFError):
        return
    for line in lines:
        try:
            yield read_line(line)
        except LastmileError:
            continue


def _rows(record: Record, manifest: Manifest) -> Rows:
    """Inputs with one element per row, by the names of their features; none that are personal, for these rows stay
    where captures are deleted."""
    found: Rows = {}
    rows = max((len(array) for array in record.inputs.values() if array.ndim), default=0)
    for tensor in manifest.signature.inputs:
        array = record.inputs.get(tensor.name)
        if array is None or not array.ndim or not len(array) == rows > 0:
            continue  # an input of a fixed length is none of the rows
        flat = array.reshape(rows, -1)
        names = _names(tensor)
        if flat.shape[1] == len(names):
            found |= {name: _finite(flat[:, place]) for place, name in enumerate(names)}
    return found


def _finite(column: Array) -> Array:
    """Infinities as missing, as which they would come back from JSON."""
    return np.where(np.isfinite(column), column, np.nan) if column.dtype.kind == "f" else column


def _names(tensor: TensorSpec) -> tuple[str, ...]:
    return () if tensor.pii else tensor.columns or (tensor.name,)


def _array(values: list[object]) -> Array:
    """JSON's null was NaN."""
    if any(isinstance(value, str) for value in values):
        return np.array(values, object)
    return np.array(values, np.float64)


def _path(manifest: Manifest) -> str:
    return f"reports/{manifest.model}/drift/rows-{manifest.version}.json.gz"
