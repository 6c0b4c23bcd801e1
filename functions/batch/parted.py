"""A part of a result on this machine's disk: what the model said, and no column that follows from the number of its
first row or is empty."""

from pathlib import Path

import pyarrow as pa

from functions.batch import results
from functions.batch.results import ERROR, NUMBERED

FIRST = b"lastmile.first"


def store(table: pa.Table, first: int, path: Path) -> None:
    """As Arrow has it in memory: it is written once and seldom read."""
    empty = [ERROR] if table.column(ERROR).null_count == table.num_rows else []
    said = table.drop_columns([*NUMBERED, *empty]).replace_schema_metadata({FIRST: str(first)})
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, said.schema) as writer:
        writer.write_table(said)


def restored(path: Path, schema: pa.Schema, *, prefix: str, first: int, rows: int) -> pa.Table | None:
    """None where other rows lie there, or what a machine that lost its power left."""
    try:
        with pa.OSFile(str(path)) as file:
            said = pa.ipc.open_file(file).read_all()
    except (pa.ArrowException, OSError):
        return None
    if said.num_rows != rows or (said.schema.metadata or {}).get(FIRST) != str(first).encode():
        return None
    columns = [*results.numbered(prefix, first, rows), *said.columns]
    names = [*NUMBERED, *said.schema.names]
    table = pa.Table.from_arrays(columns, names=names)
    if ERROR not in names:
        table = table.append_column(ERROR, pa.nulls(rows, pa.string()))
    return table if table.schema.equals(schema) else None
