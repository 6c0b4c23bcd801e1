"""CSV in pieces: a block without quotation marks and with equally long lines is split at once, any other is read
record by record."""

import csv
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np

from functions.retraining.data.chunk import Chunk, Opened, Raw, Torn
from functions.retraining.data.dialect import SOME_LINES, Dialect, decimal, lines, sniff
from functions.retraining.data.source import HEAD, LONGEST_LINE, Source, as_utf8, blocks
from lastmile.errors import DataRefused

FEW_LINES = 5
LONE_RETURN = "new-line character seen in unquoted field"  # Python's words
NAMES = {"utf-8": "UTF-8", "cp1252": "Windows-1252", "latin-1": "Latin-1"}


def opened(source: Source, wanted: Collection[str], numbers: Collection[str] | None = None) -> Opened:
    """`numbers` are those of the wanted columns that tell how numbers are written, by default all."""
    source, encoding = as_utf8(source)
    head = lines(_head(source).decode(encoding, "replace").replace("\r\n", "\n").replace("\r", "\n"))
    skipped = next((number for number, line in enumerate(head) if not _is_no_header(line)), 0)
    text = "".join(head[skipped:])
    dialect = sniff(text, wanted)
    names = _header(dialect, text)
    telling = [at for at, name in enumerate(names) if name in (wanted if numbers is None else numbers)]
    point = "." if dialect.delimiter == "," else decimal(_sample(dialect, text, telling))
    file = File(dialect, encoding, names, skipped)
    decimals = ", with decimal commas" if point == "," else ""
    return Opened(f"{dialect}, {NAMES[encoding]}{decimals}", names, lambda of: file.chunks(blocks(source), of), point)


@dataclass
class File:
    dialect: Dialect
    encoding: str
    names: tuple[str, ...]
    skipped: int
    line: int = 1
    _blocks: Iterator[bytes] = field(default_factory=lambda: iter(()))

    def chunks(self, pieces: Iterator[bytes], wanted: Sequence[str]) -> Iterator[Chunk]:
        positions = {name: self.names.index(name) for name in wanted if name in self.names}
        self._blocks = pieces
        header = 1
        for block in self._blocks:
            text, is_clean = self._text(block)
            chunk = None if header or not is_clean else self._split(text, positions)
            if chunk is None:
                chunk = self._records(text, positions, header)
            header = 0
            if chunk.lines or chunk.torn:
                yield chunk

    def _text(self, block: bytes) -> tuple[str, bool]:
        """The block's text, with what cannot be decoded kept as surrogates; and whether there is none of that."""
        block = block.replace(b"\r\n", b"\n")
        try:
            return block.decode(self.encoding), True
        except UnicodeDecodeError:
            return block.decode(self.encoding, "surrogateescape"), False

    def _split(self, text: str, positions: dict[str, int]) -> Chunk | None:
        """All lines at once; None where a line needs more thought."""
        width, delimiter = len(self.names), self.dialect.delimiter
        if self.dialect.quote in text or (self.dialect.escape and self.dialect.escape in text) or "\r" in text:
            return None
        rows = _regular(text, delimiter, width)
        if not rows:
            return None
        fields = text[:-1].replace("\n", delimiter).split(delimiter)
        columns: dict[str, Raw] = {name: fields[position::width] for name, position in positions.items()}
        if self.dialect.spaced:
            columns = {name: list(map(str.lstrip, column)) for name, column in columns.items()}
        lines = range(self.line, self.line + rows)
        self.line += rows
        return Chunk(lines, columns, plain="_" not in text)

    def _records(self, text: str, positions: dict[str, int], header: int) -> Chunk:
        """Record by record; one that goes on after this block takes its lines from the next."""
        pulled = _Lines(text, self._blocks, self._text)
        reader = self.dialect.read(pulled)
        rows: list[list[str]] = []
        places: list[int] = []
        torn: list[Torn] = []
        skip, width, start = header * self.skipped, len(self.names), self.line
        line = start
        while pulled.is_in_block:
            line = start + reader.line_num
            try:
                row: list[str] = next(reader, [])
            except csv.Error as error:
                if LONE_RETURN not in str(error):
                    raise _unreadable(line, str(error)) from error
                torn.append(Torn(line, "has a carriage return in the middle, which is no line end here"))
                continue
            if skip or header:
                header, skip = (header, skip - 1) if skip else (0, 0)
            elif len(row) == width and _is_text(row):
                rows.append(row)
                places.append(line)
            elif len(row) > 1 or "".join(row).strip():
                torn.append(Torn(line, _why(row, width, self.encoding)))
        if pulled.has_ended_early:
            raise _unreadable(line, "a quotation mark is opened and never closed")
        self.line += reader.line_num
        columns = list(zip(*rows, strict=True)) or [()] * width
        return Chunk(places, {name: list(columns[at]) for name, at in positions.items()}, tuple(torn))


class _Lines:
    """The lines of a block and, if one record wants them, of those after it."""

    def __init__(self, text: str, more: Iterator[bytes], decode: Callable[[bytes], tuple[str, bool]]) -> None:
        self._lines = text.split("\n")[:-1]
        self._at = 0
        self._more, self._decode = more, decode
        self.has_ended_early = False

    @property
    def is_in_block(self) -> bool:
        return self._at < len(self._lines)

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        if self._at == len(self._lines):
            block = next(self._more, b"")
            if not block:
                self.has_ended_early = True
                raise StopIteration
            self._lines, self._at = self._decode(block)[0].split("\n")[:-1], 0
        self._at += 1
        return self._lines[self._at - 1] + "\n"


def _regular(text: str, delimiter: str, width: int) -> int:
    """The number of lines if each has exactly so many fields and none is blank, else 0."""
    raw = np.frombuffer(text.encode(), np.uint8)
    ends = np.flatnonzero(raw == ord("\n"))
    if width == 1:
        return len(ends) if len(ends) and ends[0] > 0 and (np.diff(ends) > 1).all() else 0
    marks = np.flatnonzero(raw == ord(delimiter))
    if len(marks) != len(ends) * (width - 1):
        return 0
    of_lines = marks.reshape(len(ends), width - 1)
    fits = (of_lines[:, -1] < ends).all() and (of_lines[1:, 0] > ends[:-1]).all()
    return len(ends) if fits else 0


def _head(source: Source) -> bytes:
    """The first lines, however long the header is."""
    size = HEAD
    while len(head := source.head(size)) == size < LONGEST_LINE and head.count(b"\n") + head.count(b"\r") < FEW_LINES:
        size *= 4
    return head


def _is_no_header(line: str) -> bool:
    """A blank line, or the one in which Excel notes the delimiter for itself."""
    return not line.strip() or line.lower().startswith("sep=")


def _header(dialect: Dialect, text: str) -> tuple[str, ...]:
    try:
        names = tuple(name.strip() for name in next(dialect.read(lines(text)), []))
    except csv.Error as error:
        raise DataRefused(f"line 1: the header cannot be read ({error})", "Upload a CSV with a header line.") from error
    return names


def _sample(dialect: Dialect, text: str, positions: Sequence[int]) -> list[str]:
    """Some values of the columns at these positions."""
    some = lines(text)[1:]
    if len(text) >= HEAD // 2:
        some = some[:-1]  # it may have been cut
    try:
        rows = list(dialect.read(some[: 20 * SOME_LINES]))
    except csv.Error:
        return []
    return [row[position] for row in rows for position in positions if position < len(row)]


def _unreadable(line: int, why: str) -> DataRefused:
    return DataRefused(
        f"line {line}: the record that begins here cannot be read: {why}",
        "Double every quotation mark inside a quoted field, and close every field that is opened.",
    )


def _is_text(row: list[str]) -> bool:
    try:
        "".join(row).encode()
    except UnicodeEncodeError:
        return False
    return True


def _why(row: list[str], width: int, encoding: str) -> str:
    if len(row) != width:
        return f"has {len(row)} fields, and the header has {width}"
    return f"is not {NAMES[encoding]} text"
