"""A CSV file cut into blocks of whole records, without reading what is in them.

A newline ends a record unless it stands inside a quoted field. A quotation mark opens a field only at its beginning
(RFC 4180); anywhere else in an unquoted field it is a character like any other.
"""

from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

import numpy as np

from lastmile.errors import InvalidInput
from lastmile.tensors import Array

BLOCK_BYTES = 2 << 20
LONGEST_RECORD = 32 << 20
MOST_ROWS = 131_072
QUOTE, NEWLINE, RETURN = b'"\n\r'


class Block(NamedTuple):
    """Whole records of a file, which begin at byte `start`, line `line` and row `row`; the first data row is 0."""

    data: bytes
    start: int
    line: int
    row: int
    rows: int


def blocks(
    file: BinaryIO, delimiter: str, *, start: int, line: int = 2, size: int = BLOCK_BYTES, most_rows: int = MOST_ROWS
) -> Iterator[Block]:
    """From byte `start` to the end; blank lines are no rows. Raises InvalidInput where a record does not end."""
    row, rest = 0, b""
    while True:
        piece = file.read(size)
        data = rest + piece
        if not piece and data and not data.endswith(b"\n"):
            data += b"\n"
        while data:
            end = _end(data, delimiter, most_rows)
            if end == 0:
                if not piece or len(data) > LONGEST_RECORD:
                    raise InvalidInput(f"line {line}: the record that begins here {_unending(data, not piece)}")
                break
            whole = data if end == len(data) else data[:end]
            newlines = whole.count(b"\n")
            rows = newlines if _is_plain(whole) else count(whole, delimiter)
            yield Block(whole, start, line, row, rows)
            data, start, row, line = data[end:], start + end, row + rows, line + newlines
            if len(data) < size and piece:
                break
        if not piece:
            return
        rest = data


def _unending(data: bytes, is_all: bool) -> str:
    """Why the record does not end; only quotation marks keep the last newline of a file from ending it."""
    quoted = "opens a quotation mark for good"
    if is_all:
        return quoted
    return f"is longer than {LONGEST_RECORD >> 20} MB" + (f", or {quoted}" if QUOTE in data else "")


def count(data: bytes, delimiter: str) -> int:
    """How many records there are in a block of whole ones."""
    return len(records(data, delimiter)[0])


def records(data: bytes, delimiter: str) -> tuple[Array, Array]:
    """Where each record begins and ends; a blank line is none, as one of carriage returns is."""
    raw, ended = np.frombuffer(data, np.uint8), ends(data, delimiter)
    begun = np.append(0, ended)[:-1]
    lengths = ended - begun - 1
    blank = (lengths == 0) | ((lengths == 1) & (raw[begun] == RETURN))
    for place in np.flatnonzero((lengths > 1) & (raw[begun] == RETURN)):
        blank[place] = not data[begun[place] : ended[place]].strip(b"\r\n")
    return begun[~blank], ended[~blank]


def _is_plain(data: bytes) -> bool:
    """Whether every newline in it ends a record: none is quoted, and no line is blank."""
    if QUOTE in data:
        return False
    raw = np.frombuffer(data, np.uint8)
    first = raw[np.append(0, np.flatnonzero(raw == NEWLINE)[:-1] + 1)]
    return not bool(((first == NEWLINE) | (first == RETURN)).any())


def ends(data: bytes, delimiter: str) -> Array:
    """Where each record ends, just behind its newline, in bytes that begin with a record."""
    raw = np.frombuffer(data, np.uint8)
    newlines: Array = np.flatnonzero(raw == NEWLINE)
    if QUOTE not in data:
        return newlines + 1
    quotes = _meant(raw, np.flatnonzero(raw == QUOTE), ord(delimiter))
    inside = np.searchsorted(quotes, newlines) & 1
    ended: Array = newlines[inside == 0] + 1
    return ended


def _end(data: bytes, delimiter: str, most_rows: int) -> int:
    """Where the last record ends, or the last of so many; 0 when none does."""
    if QUOTE in data or data.count(b"\n") > most_rows:
        found = ends(data, delimiter)
        return int(found[min(len(found), most_rows) - 1]) if len(found) else 0
    return data.rfind(b"\n") + 1


def _meant(raw: Array, quotes: Array, delimiter: int) -> Array:
    """Those quotation marks that open or close a field."""
    opening = quotes[::2]
    before = raw[opening - 1]  # of one at the very beginning it is whatever comes last, and does not matter
    usual = (opening == 0) | np.isin(before, (delimiter, NEWLINE, RETURN, QUOTE))
    return quotes if usual.all() else _walked(raw, quotes, delimiter)


def _walked(raw: Array, quotes: Array, delimiter: int) -> Array:
    """One by one: what `_meant` says for every second one is not so where some of them are mere text."""
    found: list[int] = []
    is_open = False
    for at in quotes.tolist():
        doubled = bool(found) and found[-1] == at - 1
        if is_open or doubled or at == 0 or raw[at - 1] in (delimiter, NEWLINE, RETURN):
            found.append(at)
            is_open = not is_open
    return np.array(found, dtype=np.int64)
