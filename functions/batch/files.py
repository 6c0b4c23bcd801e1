"""A file of rows, whichever kind it is: what the model needs of it, slice by slice."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import BinaryIO, NamedTuple, Protocol

import pyarrow as pa
import pyarrow.parquet as pq

from functions.batch.cutting import BLOCK_BYTES, MOST_ROWS, Block, blocks
from functions.batch.rows import Rows, needed, taken
from functions.batch.separated import HEAD_BYTES, Header, Separated, check, header
from lastmile.errors import InvalidInput
from lastmile.tensors import TensorSpec

PARQUET = b"PAR1"
PARQUET_ROWS = 16_384
BUFFER_BYTES = 64 << 10  # of each column, in place of a whole row group


class Slice(NamedTuple):
    """Some rows of a file, still to be read: a block of a CSV, or a batch of a Parquet file. `share` of the file is
    over with it."""

    first: int
    rows: int
    content: Block | pa.RecordBatch
    share: float


class Table(Protocol):
    """`keep` are the columns that results repeat."""

    @property
    def keep(self) -> Mapping[str, pa.DataType]: ...

    def slices(self, file: BinaryIO) -> Iterator[Slice]: ...

    def rows(self, slice_: Slice) -> Rows: ...


@dataclass(frozen=True, slots=True)
class Csv:
    header: Header
    inputs: tuple[TensorSpec, ...]
    kept: tuple[str, ...]
    size: int

    @property
    def keep(self) -> Mapping[str, pa.DataType]:
        return dict.fromkeys(self.kept, pa.string())

    def slices(self, file: BinaryIO, *, bytes_: int = BLOCK_BYTES, most_rows: int = MOST_ROWS) -> Iterator[Slice]:
        file.seek(self.header.start)
        for block in blocks(file, self.header.delimiter, start=self.header.start, size=bytes_, most_rows=most_rows):
            yield Slice(block.row, block.rows, block, min(1.0, (block.start + len(block.data)) / self.size))

    def rows(self, slice_: Slice) -> Rows:
        assert isinstance(slice_.content, Block)
        return Separated(self.header, self.inputs, self.keep).rows(slice_.content)


@dataclass(frozen=True, slots=True)
class Parquet:
    metadata: pq.FileMetaData
    inputs: tuple[TensorSpec, ...]
    keep: Mapping[str, pa.DataType]

    def slices(self, file: BinaryIO) -> Iterator[Slice]:
        first, total = 0, max(1, self.metadata.num_rows)
        for batch in self._batches(file, range(self.metadata.num_row_groups), PARQUET_ROWS):
            yield Slice(first, batch.num_rows, batch, (first + batch.num_rows) / total)
            first += batch.num_rows

    def between(self, file: BinaryIO, first: int, rows: int) -> Slice:
        """Some rows of the file; only the row groups that hold them are read."""
        groups, skipped, start = [], 0, 0
        for group in range(self.metadata.num_row_groups):
            count = self.metadata.row_group(group).num_rows
            if start < first + rows and start + count > first:
                groups.append(group)
            elif not groups:
                skipped = start + count
            start += count
        found, at = [], skipped
        for batch in self._batches(file, groups, PARQUET_ROWS):
            begin, end = max(first - at, 0), min(first + rows - at, batch.num_rows)
            if begin < end:
                found.append(batch.slice(begin, end - begin))
            at += batch.num_rows
        return Slice(first, rows, _whole(found), 1.0)

    def rows(self, slice_: Slice) -> Rows:
        batch = slice_.content
        assert isinstance(batch, pa.RecordBatch)
        columns = {name: batch.column(name) for name in self._names()}
        return taken(columns, self.inputs, self.keep)

    def _batches(self, file: BinaryIO, groups: "range | list[int]", rows: int) -> Iterator[pa.RecordBatch]:
        if not groups:
            return
        opened = pq.ParquetFile(file, metadata=self.metadata, pre_buffer=False, buffer_size=BUFFER_BYTES)
        columns = self._names()
        try:
            for batch in opened.iter_batches(rows, row_groups=list(groups), columns=columns, use_threads=False):
                if batch.num_rows:
                    yield batch
        except (pa.ArrowException, OSError) as error:
            raise InvalidInput(f"the Parquet file cannot be read: {error}") from error

    def _names(self) -> list[str]:
        return list(dict.fromkeys((*needed(self.inputs), *self.keep)))


def opened(
    file: BinaryIO, name: str, inputs: tuple[TensorSpec, ...], keep: tuple[str, ...], *, size: int
) -> Csv | Parquet:
    """Raises InvalidInput where the file is none, or lacks a column."""
    wanted = needed(inputs)
    head = file.read(HEAD_BYTES)
    if not head.startswith(PARQUET):
        return Csv(header(head, name, wanted, keep), inputs, keep, size)
    try:
        metadata = pq.ParquetFile(file).metadata
        schema = metadata.schema.to_arrow_schema()
    except (pa.ArrowException, OSError) as error:
        raise InvalidInput(f"{name} begins like a Parquet file and cannot be read: {error}") from error
    check(schema.names, name, wanted, keep)
    return Parquet(metadata, inputs, {column: _plain(schema.field(column).type) for column in keep})


def _plain(kind: pa.DataType) -> pa.DataType:
    """What results have in place of dictionaries and views, which not every reader knows."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return pa.string() if plain == pa.string_view() else plain


def _whole(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    return batches[0] if len(batches) == 1 else pa.Table.from_batches(batches).combine_chunks().to_batches()[0]
