"""The plan of a job: where its input is cut into slices, each of them some seconds of work for one function."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, BinaryIO

import orjson

from functions.batch.cutting import Block, blocks
from functions.batch.desk import Job
from functions.batch.files import Csv, Parquet
from functions.batch.scoring import Scorer, Speed
from lastmile.batches import Place, done_parts
from lastmile.errors import InvalidInput, NotFound
from lastmile.store import AlreadyExists

SLICE_SECONDS = 60.0  # a function may take fifteen times as long
MOST_BYTES = 32 << 20  # of a CSV, in one slice
LEAST_BYTES = 64 << 10
MOST_ROWS = 262_144
MANY_SLICES = 10_000
MOST_SLICES = 50_000  # of more the state machine could not keep what became of them
HEAD_ROWS = 4096

type Document = dict[str, Any]


def plan(job: Job) -> list[int]:
    """The slices that are still to be done; the plan itself is made once."""
    job.batches.write(job.batch, "report.json", {"state": "running", "since": job.desk.clock()})
    check_owner(job)
    found = job.batches.document(job.batch, "plan.json")
    if found is None:
        found = made(job)
        job.batches.write(job.batch, "plan.json", found)
    own(job)  # not before there is a plan: an input that is refused leaves the place to the one that is mended
    left = missing(job, found["slices"])
    list_items(job, left)
    return left


def missing(job: Job, slices: list[Document]) -> list[int]:
    """The slices whose part is not there."""
    done = set(done_parts(job.output, job.batch))
    return [number for number in range(len(slices)) if number not in done]


def list_items(job: Job, numbers: list[int]) -> str:
    """What the state machine goes through; where that lies."""
    job.batches.write(job.batch, "items.json", [{"slice": number} for number in numbers])
    return job.batch.path("items.json")


def own(job: Job) -> None:
    try:
        job.output.create(_owner(job), orjson.dumps(_name(job)))
    except AlreadyExists:
        check_owner(job)


def check_owner(job: Job) -> None:
    """Raises InvalidInput where another job has written: its parts would be taken for this one's."""
    try:
        owner = orjson.loads(job.output.get(_owner(job)).data)
    except NotFound:
        return
    if owner != _name(job):
        raise InvalidInput(f"{job.batch.output} holds the output of another batch")


def _owner(job: Job) -> str:
    return f"{Place.of(job.batch.output).path}/_batch.json"


def _name(job: Job) -> Document:
    return {"model": job.batch.model, "batch": job.batch.id}


def made(job: Job) -> Document:
    scorer, file = job.scorer(), job.input()
    check_heavy(job)
    table = job.table(file, scorer)
    scorer.layout(table.keep).check(job.batch.format)
    speed = measured(scorer, table, file)
    if job.batch.batch_rows is not None:
        speed = replace(speed, batch_rows=job.batch.batch_rows)
    rows = int(min(MOST_ROWS, max(scorer.fixed or 1, speed.rows_per_second * SLICE_SECONDS)))
    rows = job.batch.part_rows or min(rows, scorer.most_rows or rows)
    slices = list(cut_csv(table, file, rows) if isinstance(table, Csv) else cut_parquet(table, rows))
    if len(slices) > MOST_SLICES:
        raise InvalidInput(
            f"it would be {len(slices):,} slices of {rows:,} rows, and {MOST_SLICES:,} are the most: split the file"
        )
    return {
        "rows": sum(one["rows"] for one in slices),
        "batch_rows": speed.batch_rows,
        "rows_per_second": round(speed.rows_per_second, 1),
        "header": head(table),
        "slices": slices,
    }


def check_heavy(job: Job) -> None:
    """Raises InvalidInput where no transform job can answer, and EndpointUnavailable where no endpoint does."""
    transform, transforms = job.transform, job.desk.transforms
    if transform is not None and transforms is not None:
        instance = transform.instance
        if instance not in transforms.machines:
            known = ", ".join(transforms.machines)
            raise InvalidInput(f"transform jobs run on {known}, not on {instance}; ask the endpoint with --endpoint")
    elif job.loaded.tiers is not None:
        job.endpoint.check()


def measured(scorer: Scorer, table: Csv | Parquet, file: BinaryIO) -> Speed:
    if isinstance(table, Csv):
        slices = table.slices(file, bytes_=1 << 20, most_rows=HEAD_ROWS)
    else:
        slices = iter(
            [table.between(file, 0, min(HEAD_ROWS, table.metadata.num_rows))] if table.metadata.num_rows else []
        )
    for slice_ in slices:
        rows = table.rows(slice_)
        if rows.places is None or len(rows.places):
            return scorer.measured(rows.feeds)
    return Speed(1024, 1000.0)


def cut_csv(table: Csv, file: BinaryIO, rows: int) -> Iterator[Document]:
    """Between records, so that each slice holds at most so many; the file is read once from end to end."""
    size = max(LEAST_BYTES, min(MOST_BYTES, table.size))
    size = max(size, table.size // MANY_SLICES)
    file.seek(table.header.start)
    for block in blocks(file, table.header.delimiter, start=table.header.start, size=size, most_rows=rows):
        yield {"start": block.start, "end": block.start + len(block.data), "line": block.line, "first": block.row,
               "rows": block.rows}  # fmt: skip


def cut_parquet(table: Parquet, rows: int) -> Iterator[Document]:
    """Along row groups where they are small enough, else within them."""
    groups = [table.metadata.row_group(group).num_rows for group in range(table.metadata.num_row_groups)]
    rows = max(rows, sum(groups) // MANY_SLICES)
    first = count = 0
    for group in (one for one in groups if one):
        if count and count + group > rows:
            yield {"first": first, "rows": count}
            first, count = first + count, 0
        count += group
        while count > rows:
            yield {"first": first, "rows": rows}
            first, count = first + rows, count - rows
    if count:
        yield {"first": first, "rows": count}


def head(table: Csv | Parquet) -> Document | None:
    if isinstance(table, Parquet):
        return None
    return {"names": list(table.header.names), "delimiter": table.header.delimiter, "start": table.header.start}


def block_of(slice_: Document, data: bytes) -> Block:
    whole = data if data.endswith(b"\n") else data + b"\n"
    return Block(whole, slice_["start"], slice_["line"], slice_["first"], slice_["rows"])
