"""Blocks of a CSV file as rows. A block whose every record is as it should be is converted at once."""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc

from functions.batch.columns import ARROW, Problems, is_list, names_of
from functions.batch.cutting import NEWLINE, Block, records
from functions.batch.rows import Rows, needed, taken, with_torn
from lastmile.errors import InvalidInput
from lastmile.tensors import TensorSpec

csv.field_size_limit((1 << 31) - 1)  # records are at most as long as their block

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


def header(head: bytes, name: str, wanted: Sequence[str], keep: Sequence[str] = ()) -> Header:
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
    if b"\r" in b"".join(head[:end].rstrip(b"\r\n").split(b'"')[::2]):  # outside quotation marks
        raise InvalidInput(f"{name}: the first line ends with a carriage return alone; lines must end with a newline, "
                           "or with both")  # fmt: skip
    if len(head) >= HEAD_BYTES and end == len(head):
        raise InvalidInput(f"{name}: the first line is longer than {HEAD_BYTES:,} bytes")
    try:
        line = head[bom:end].decode().rstrip("\r\n")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"{name}: the header is not UTF-8 at byte {error.start + bom}") from None
    found = [(delimiter, _split(line, delimiter)) for delimiter in DELIMITERS]
    delimiter, names = max(found, key=lambda one: len({*wanted, *keep} & set(one[1])))
    check(names, name, wanted, keep)
    return Header(tuple(names), delimiter, end)


def check(names: Sequence[str], name: str, wanted: Sequence[str], keep: Sequence[str] = ()) -> None:
    """Of the columns `wanted` by the model, and those to `keep`."""
    for columns, why in ((wanted, "; its columns must be named as the model's"), (keep, " that could be kept")):
        missing = [column for column in columns if column not in names]
        if missing:
            more = f" and {len(missing) - 5} more" if len(missing) > 5 else ""
            raise InvalidInput(f"{name} has no column {', '.join(missing[:5])}{more}{why}")
    twice = next((column for column in (*wanted, *keep) if list(names).count(column) > 1), None)
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
        """At once where all is as it should be; else in the next way, until every record is found."""
        for read in (self._converted, self._as_texts, self._apart):
            rows = read(block)
            if rows is not None and rows.total == block.rows:
                return rows._replace(lines=self._lines(block, rows.problems)) if rows.problems else rows
        raise InvalidInput(f"line {block.line}: {block.rows} records follow that cannot be told apart")

    def _converted(self, block: Block) -> Rows | None:
        """None where anything in the block needs a closer look."""
        types = {name: pa.string() if is_list(spec) else ARROW[spec.datatype]
                 for spec in self.inputs for name in names_of(spec)}  # fmt: skip
        return self._read(block.data, {**types, **self.keep})  # what is kept stays as it stands

    def _as_texts(self, block: Block) -> Rows | None:
        """Columns are converted one by one; None where a record has other columns than the header."""
        return self._read(block.data, {})

    def _apart(self, block: Block) -> Rows | None:
        """Records that are torn are left out, and bad rows."""
        whole, torn = [], {}
        for place, (begin, end) in enumerate(zip(*records(block.data, self.header.delimiter), strict=True)):
            record = block.data[begin:end]
            if (reason := self._torn(record)) is None:
                whole.append(record)
            else:
                torn[place] = reason
        rows = self._read(b"".join(whole) or b"\n", {})
        return None if rows is None else with_torn(rows, torn)

    def _torn(self, record: bytes) -> str | None:
        """Why it cannot be split into the header's columns."""
        line, width = record.strip(b"\r\n").decode("utf-8", "replace"), len(self.header.names)
        try:
            cells = len(next(csv.reader([line], delimiter=self.header.delimiter)))
        except csv.Error:
            return "holds a carriage return outside quotation marks"
        return None if cells == width else f"has {cells} cells, the header has {width}"

    def _read(self, data: bytes, types: Mapping[str, pa.DataType]) -> Rows | None:
        try:
            columns = self._table(data, types)
            return taken({name: _decoded(column) for name, column in columns.items()}, self.inputs, self.keep)
        except pa.ArrowInvalid:
            return None

    def _lines(self, block: Block, wanted: Problems) -> dict[int, int]:
        """The line on which each of these records begins."""
        begun = records(block.data, self.header.delimiter)[0][list(wanted)]
        newlines = np.flatnonzero(np.frombuffer(block.data, np.uint8) == NEWLINE)
        return dict(zip(wanted, (block.line + np.searchsorted(newlines, begun)).tolist(), strict=True))

    def _table(self, data: bytes, types: Mapping[str, pa.DataType]) -> dict[str, pa.Array]:
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
        parse = pc.ParseOptions(delimiter=self.header.delimiter, newlines_in_values=True)
        table = pc.read_csv(pa.BufferReader(data), read_options=read, parse_options=parse, convert_options=convert)
        return {name: _one(table.column(name)) for name in columns}


def _one(column: pa.ChunkedArray) -> pa.Array:
    return column.chunk(0) if column.num_chunks == 1 else pa.concat_arrays(column.chunks or [pa.array([], column.type)])


def _decoded(column: pa.Array) -> pa.Array:
    """Bytes as text, where all of them are; else they stay bytes, for their own row to say so."""
    try:
        return column.cast(pa.string()) if pa.types.is_binary(column.type) else column
    except pa.ArrowInvalid:
        return column
