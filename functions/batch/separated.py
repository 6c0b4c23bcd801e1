"""Blocks of a CSV file as rows. A block whose every record is as it should be is converted at once."""

import csv
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.csv as pc

from functions.batch.columns import ARROW, Problems, is_list, names_of
from functions.batch.cutting import LONGEST_RECORD, Block
from functions.batch.rows import Rows, needed, taken, with_torn
from lastmile.errors import InvalidInput
from lastmile.tensors import TensorSpec

if TYPE_CHECKING:
    import _csv

DELIMITERS = ",;\t|"
HEAD_BYTES = 1 << 20
KINDS = {
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF document",
    b"PK\x03\x04": "a ZIP archive (or an Excel workbook)",
    b"\x1f\x8b": "packed with gzip",
    b"\x28\xb5\x2f\xfd": "packed with zstd",
}


@dataclass(frozen=True, slots=True)
class Header:
    """`start` is the first byte behind it."""

    names: tuple[str, ...]
    delimiter: str
    start: int


def header(head: bytes, name: str, wanted: Sequence[str]) -> Header:
    """From the beginning of the file; raises InvalidInput with what is wrong with it."""
    for magic, kind in KINDS.items():
        if head.startswith(magic):
            raise InvalidInput(f"{name} is {kind}, a CSV or Parquet file is wanted")
    if b"\0" in head:
        raise InvalidInput(f"{name} is no CSV in UTF-8: it holds zero bytes")
    bom = 3 if head.startswith(b"\xef\xbb\xbf") else 0
    if not head[bom:].strip():
        raise InvalidInput(f"{name} is empty; its first line must name the columns")
    end = head.find(b"\n") + 1 or len(head)
    if len(head) >= HEAD_BYTES and end == len(head):
        raise InvalidInput(f"{name}: the first line is longer than {HEAD_BYTES:,} bytes")
    try:
        line = head[bom:end].decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: the header is not UTF-8 at byte {error.start + bom}") from None
    found = [(delimiter, _split(line, delimiter)) for delimiter in DELIMITERS]
    delimiter, names = max(found, key=lambda one: len(set(wanted) & set(one[1])))
    check(names, name, wanted)
    return Header(tuple(names), delimiter, end)


def check(names: Sequence[str], name: str, wanted: Sequence[str]) -> None:
    missing = [column for column in wanted if column not in names]
    if missing:
        more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
        raise InvalidInput(f"{name} has no column {', '.join(missing[:5])}{more}; its columns must be named as the "
                           "model's")  # fmt: skip
    twice = next((column for column in wanted if list(names).count(column) > 1), None)
    if twice is not None:
        raise InvalidInput(f"{name} has the column '{twice}' more than once")


def _split(line: str, delimiter: str) -> list[str]:
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


@dataclass(frozen=True, slots=True)
class Separated:
    """Reads blocks of one file for one model."""

    header: Header
    inputs: tuple[TensorSpec, ...]
    keep: Mapping[str, pa.DataType] = field(default_factory=dict)

    def rows(self, block: Block) -> Rows:
        rows = self._converted(block.data) or self._checked(block)
        if rows.total != block.rows:
            raise InvalidInput(f"line {block.line}: {block.rows} records follow, {rows.total} of them can be read")
        return rows

    def _converted(self, data: bytes) -> Rows | None:
        """None where anything in the block needs a closer look."""
        types = {name: ARROW[spec.datatype] if not is_list(spec) else pa.string()
                 for spec in self.inputs for name in names_of(spec)}  # fmt: skip
        try:
            return taken(self._table(data, types, self._parse()), self.inputs, self.keep)
        except pa.ArrowInvalid:
            return None

    def _checked(self, block: Block) -> Rows:
        """Every value as text, and records of other lengths apart; columns are converted one by one."""
        data = block.data
        seen: list[pc.InvalidRow] = []

        def skip(row: pc.InvalidRow) -> str:
            seen.append(row)
            return "skip"

        columns = self._table(data, {}, self._parse(skip))
        rows = taken({name: _decoded(column) for name, column in columns.items()}, self.inputs, self.keep)
        if seen:
            width = len(self.header.names)
            places = _places(data, self.header.delimiter, width)
            torn: Problems = {place: f"has {cells} cells, the header has {width}" for place, cells in places.items()}
            rows = with_torn(rows, torn)
        return rows._replace(lines=_lines(block, self.header.delimiter, rows.problems) if rows.problems else {})

    def _table(self, data: bytes, types: dict[str, pa.DataType], parse: pc.ParseOptions) -> dict[str, pa.Array]:
        columns = list(dict.fromkeys((*needed(self.inputs), *self.keep)))
        convert = pc.ConvertOptions(
            column_types={name: types.get(name, pa.string() if types else pa.binary()) for name in columns},
            include_columns=columns,
            null_values=[""],
            strings_can_be_null=True,
            true_values=["true", "True", "TRUE", "1"],
            false_values=["false", "False", "FALSE", "0"],
        )
        names = [name if name in columns else f"{name}#{place}" for place, name in enumerate(self.header.names)]
        read = pc.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names)
        table = pc.read_csv(pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert)
        return {name: _one(table.column(name)) for name in columns}

    def _parse(self, skip: object = None) -> pc.ParseOptions:
        return pc.ParseOptions(delimiter=self.header.delimiter, newlines_in_values=True, invalid_row_handler=skip)


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _decoded(column: pa.Array) -> pa.Array:
    """As text, where all of it is; else what is not stays bytes, for its own row to say so."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        return column


def _records(data: bytes, delimiter: str) -> "_csv.Reader":
    csv.field_size_limit(LONGEST_RECORD)
    return csv.reader(io.StringIO(data.decode("utf-8", "replace"), newline=""), delimiter=delimiter)


def _places(data: bytes, delimiter: str, width: int) -> dict[int, int]:
    """Of records of other lengths than the header's: how many cells they have."""
    cells = (len(record) for record in _records(data, delimiter) if record)
    return {place: length for place, length in enumerate(cells) if length != width}


def _lines(block: Block, delimiter: str, wanted: Problems) -> dict[int, int]:
    """The line on which each of these records begins."""
    reader = _records(block.data, delimiter)
    found: dict[int, int] = {}
    place, line = 0, block.line
    for record in reader:
        if record:
            if place in wanted:
                found[place] = line
            place += 1
        line = block.line + reader.line_num
    return found
