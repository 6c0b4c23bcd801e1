"""Bytes as they come, whatever they come from: read ahead, unpacked, counted, and told by their content."""

import codecs
import gzip
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Literal, cast

from lastmile.errors import DataRefused

HEAD = 1 << 16
BLOCK = 1 << 22
LONGEST_LINE = 1 << 26
FEWEST_BYTES = 2  # of a value in a CSV, as which every one counts that a file does not even write down

type Stream = BinaryIO | Iterable[bytes | memoryview]
type Form = Literal["parquet", "json", "text"]

# What people upload by mistake, by its first bytes: https://en.wikipedia.org/wiki/List_of_file_signatures
OTHERS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image"),
    (b"\xff\xd8\xff", "a JPEG image"),
    (b"GIF8", "a GIF image"),
    (b"%PDF-", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive or an Excel workbook"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "an old Excel workbook"),
    (b"BZh", "a bzip2 archive"),
    (b"\xfd7zXZ\x00", "an xz archive"),
    (b"\x28\xb5\x2f\xfd", "a Zstandard archive"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"),
    (b"SQLite format 3\x00", "an SQLite database"),
    (b"\x89HDF\r\n\x1a\n", "an HDF5 file"),
    (b"ARROW1", "an Arrow or Feather file"),
    (b"ORC", "an ORC file"),
    (b"Obj\x01", "an Avro file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x7fELF", "a program"),
    (b"\x80\x04\x95", "a Python pickle"),
)
ADVICE = "Save the table as CSV, JSON lines or Parquet and upload that."


class Source:
    """A stream with a look ahead. Raises DataRefused as soon as more than `limit` bytes have come."""

    def __init__(self, stream: Stream, limit: int | None = None) -> None:
        self._more = _reading(stream)
        self._limit = limit
        self._held = memoryview(b"")
        self._count = 0

    def head(self, size: int = HEAD) -> bytes:
        """The next bytes, which stay to be read."""
        while len(self._held) < size and (piece := self._piece()):
            self._held = memoryview(bytes(self._held) + piece)
        return bytes(self._held[:size])

    def read(self, size: int = -1) -> bytes:
        """So many bytes; fewer at the end, and without a size all that are left."""
        parts: list[bytes | memoryview] = []
        left = size
        while left:
            found = self._held or memoryview(self._piece())
            if not found:
                break
            part, self._held = (found, found[:0]) if size < 0 else (found[:left], found[left:])
            parts.append(part)
            left -= len(part) if size > 0 else 0
        return b"".join(parts)

    def _piece(self) -> bytes:
        piece = self._more()
        self._count += len(piece)
        if self._limit is not None and self._count > self._limit:
            raise too_large(self._limit)
        return piece


def too_large(limit: int) -> DataRefused:
    return DataRefused(
        f"the data has more than {limit / 1e6:,.0f} million bytes, the most that can be trained on here",
        "Upload a sample of the rows, or fewer columns; or train where there is more memory.",
    )


def unpacked(source: Source, limit: int | None) -> tuple[Source, bool]:
    """The content of a gzip file, or the source itself; and whether it was gzip."""
    if source.head(3) != b"\x1f\x8b\x08":
        return source, False
    return Source(_gunzipped(source), limit), True


def _gunzipped(source: Source) -> Iterator[bytes]:
    try:
        with gzip.GzipFile(fileobj=cast(BinaryIO, source)) as file:
            while block := file.read(BLOCK):
                yield block
    except (EOFError, OSError, zlib.error) as error:
        raise DataRefused(f"the gzip file is damaged: {error}", "Compress and upload it again.") from error


def form(source: Source) -> Form:
    """What the content is; raises DataRefused for what is no table."""
    head = source.head()
    if not head.strip():
        raise DataRefused("the file is empty", "Upload a file with a header line and rows.")
    if head.startswith(b"PAR1"):
        return "parquet"
    for magic, name in OTHERS:
        if head.startswith(magic) and not (magic.isalnum() and encoding(head)):  # a column may be called ORCID
            raise DataRefused(f"the file is {name}, whatever its name says", ADVICE)
    if encoding(head) is None:
        raise DataRefused("the file is binary data of an unknown kind", ADVICE)
    text = head.lstrip(b"\xef\xbb\xbf\xff\xfe\x00 \t\r\n")
    if text.startswith(b"{"):
        return "json"
    if text.startswith((b"[", b"<")):
        name = "one JSON array" if text.startswith(b"[") else "an HTML or XML page"
        raise DataRefused(f"the file is {name}, not a table", "Upload CSV, Parquet, or one JSON object per line.")
    return "text"


def encoding(head: bytes) -> str | None:
    """By its mark, by where the zero bytes are, by whether it is UTF-8; None if it is no text at all."""
    for mark, name in (
        (codecs.BOM_UTF8, "utf-8-sig"),
        (codecs.BOM_UTF16_LE, "utf-16"),
        (codecs.BOM_UTF16_BE, "utf-16"),
    ):
        if head.startswith(mark):
            return name
    zeros = head.count(0)
    if zeros:
        odd = head[1::2].count(0)
        if zeros * 3 < len(head):
            return None
        return "utf-16-le" if odd == zeros else "utf-16-be" if not odd else None
    if sum(map(head.count, CONTROLS)) * 100 > len(head):
        return None
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1" if any(byte in head for byte in NOT_IN_CP1252) else "cp1252"
    return "utf-8"


CONTROLS = [bytes([code]) for code in range(32) if code not in (9, 10, 12, 13, 26, 27)]
NOT_IN_CP1252 = (0x81, 0x8D, 0x8F, 0x90, 0x9D)


def as_utf8(source: Source) -> tuple[Source, str]:
    """A source whose line ends and delimiters are single bytes, and the encoding of its texts."""
    name = encoding(source.head()) or "utf-8"
    if name == "utf-8-sig":
        source.head(3)
        source.read(3)
        return source, "utf-8"
    if not name.startswith("utf-16"):
        return source, name
    return Source(_recoded(source, name)), "utf-8"


def _recoded(source: Source, name: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(name)(errors="replace")
    while block := source.read(BLOCK):
        yield decoder.decode(block).encode("utf-8", "replace")


def blocks(source: Source) -> Iterator[bytes]:
    """Whole lines, some millions of bytes at a time, each ended by a line feed."""
    old_mac = b"\n" not in source.head() and b"\r" in source.head()
    held: list[bytes] = []
    while True:
        block = source.read(BLOCK)
        if old_mac:
            block = block.replace(b"\r", b"\n")
        cut = block.rfind(b"\n") + 1
        if cut:
            yield b"".join((*held, block[:cut]))
            held = []
        held.append(block[cut:])
        if not block:
            break
        if sum(map(len, held)) > LONGEST_LINE:
            raise DataRefused(f"a line is longer than {LONGEST_LINE >> 20} million bytes", ADVICE)
    if last := b"".join(held):
        yield last + b"\n"


def _reading(stream: Stream) -> Callable[[], bytes]:
    if hasattr(stream, "read"):
        return lambda: stream.read(BLOCK)
    pieces = iter(stream)
    return lambda: next((bytes(piece) for piece in pieces if len(piece)), b"")
