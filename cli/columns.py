"""The columns of a CSV or Parquet file, read in batches: numbers as arrays, texts as how often each is there.

Arrow's readers split and convert; this keeps memory small however long the file is.
"""

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from arro3.core import Array as Arrow
from arro3.core import DataType, Field, RecordBatch, Schema, dictionary_dictionary, dictionary_indices
from arro3.io import read_csv, read_parquet

from cli.errors import CommandFailed
from cli.rows import delimiter_of
from lastmile.tensors import Array

BATCH_ROWS = 65_536
HEADER_CHARACTERS = 1 << 20
PARQUET = b"PAR1"


class Table:
    """A file whose batches are read once, in order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        opened = opened_parquet(path) if is_parquet(path) else opened_csv(path)
        self.names, self._batches = opened

    def head(self, rows: int) -> list[RecordBatch]:
        """The first batches, until they have so many rows; they are read again with the others."""
        found: list[RecordBatch] = []
        for batch in self._batches:
            found.append(batch)
            if sum(one.num_rows for one in found) >= rows:
                break
        self._batches = chain(found, self._batches)
        return found

    def batches(self) -> Iterator[RecordBatch]:
        yield from self._batches


def opened_csv(path: Path) -> tuple[list[str], Iterator[RecordBatch]]:
    names, delimiter = header(path)
    schema = Schema([Field(name, DataType.utf8(), nullable=True) for name in names])

    def read() -> Iterable[RecordBatch]:
        return read_csv(path, schema, has_header=True, batch_size=BATCH_ROWS, delimiter=delimiter)

    return names, guarded(path, read)


def opened_parquet(path: Path) -> tuple[list[str], Iterator[RecordBatch]]:
    check_footer(path)
    try:
        reader = read_parquet(path, batch_size=BATCH_ROWS)
    except BaseException as error:
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":  # Rust's, and no Exception
            raise
        raise unreadable(path, error) from None
    names = list(reader.schema.names)
    check_names(path, names)
    return names, guarded(path, lambda: reader)


def check_footer(path: Path) -> None:
    """The reader panics, and says so at length, where a file does not end as Parquet does."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - 8))
        length, magic = int.from_bytes(file.read(4), "little"), file.read(4)
    if magic != PARQUET or length + 12 > path.stat().st_size:
        raise unreadable(path, ValueError("its end is missing, as if it had been cut off"))


def guarded(path: Path, open_reader: Any) -> Iterator[RecordBatch]:
    """The reader's batches; what it cannot read is said in a sentence."""
    try:
        yield from open_reader()
    except Exception as error:  # noqa: BLE001 - arro3 raises nothing narrower
        raise unreadable(path, error) from None


def unreadable(path: Path, error: BaseException) -> CommandFailed:
    said = str(error).splitlines()[0] if str(error) else type(error).__name__
    return CommandFailed(
        f"{path} cannot be read: {said.removeprefix('C Data interface error: ')}.",
        next_step="Give a CSV file with a header, in UTF-8, or a Parquet file.",
    )


def header(path: Path) -> tuple[list[str], str]:
    """The names, which may be quoted and hold line feeds, and what stands between them."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            text = file.read(HEADER_CHARACTERS)
        delimiter = delimiter_of(text.partition("\n")[0])
        names = next(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter), [])
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise unreadable(path, error) from None
    check_names(path, names)
    return names, delimiter


def check_names(path: Path, names: Sequence[str]) -> None:
    if not any(names):
        raise CommandFailed(f"{path} is empty.", next_step="Its first line must name the columns.")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    if twice:
        raise CommandFailed(f"{path} has the column {twice[0]!r} more than once.", next_step="Rename one of them.")


def is_parquet(path: Path) -> bool:
    advice = "Give an existing file."
    try:
        if path.is_fifo() or path.is_char_device():
            raise CommandFailed(f"{path} is no file that can be read more than once.", next_step=advice)
        with path.open("rb") as file:
            return file.read(len(PARQUET)) == PARQUET
    except OSError as error:
        raise CommandFailed(f"{path} cannot be read: {error.strerror}.", next_step=advice) from None


def readable_as_numbers(columns: Iterable[Arrow]) -> tuple[int, int]:
    """How many values there are, and how many of them can be read as numbers."""
    values = numbers = 0
    for column in columns:
        values += len(column) - column.null_count
        if is_texts(column):
            numbers += len(column) - column.cast(DataType.float64()).null_count
        elif is_numeric(column):
            numbers += len(column) - column.null_count
    return values, numbers


def as_numbers(column: Arrow) -> Array:
    """As floats; NaN where there is no value, or none that can be read as a number."""
    if not is_texts(column) and not is_numeric(column):
        return np.full(len(column), np.nan)
    cast = column.cast(DataType.float64())
    return cast.to_numpy() if not cast.null_count else np.array(cast.to_pylist(), dtype=np.float64)


def as_texts(column: Arrow) -> Array:
    """As an array of texts, None where there is none."""
    return np.array(column.cast(DataType.utf8()).to_pylist(), dtype=object)


def counted_texts(column: Arrow) -> tuple[Counter[str], int]:
    """How often each text is there, and how many rows have none."""
    texts = column.cast(DataType.utf8())
    missing = texts.null_count
    encoded = texts.cast(DataType.dictionary(DataType.int32(), DataType.utf8()))
    indices = dictionary_indices(encoded)
    places = (
        indices.to_numpy()
        if not indices.null_count
        else np.array([place for place in indices.to_pylist() if place is not None], dtype=np.int64)
    )
    names = dictionary_dictionary(encoded).to_pylist()
    counts = np.bincount(places, minlength=len(names)).tolist()
    counted = Counter({name: count for name, count in zip(names, counts, strict=True) if name and count})
    return counted, len(texts) - counted.total() if missing or counted.total() < len(texts) else 0


def is_texts(column: Arrow) -> bool:
    return DataType.is_string(column.type) or DataType.is_large_string(column.type)


def is_numeric(column: Arrow) -> bool:
    return DataType.is_numeric(column.type)
