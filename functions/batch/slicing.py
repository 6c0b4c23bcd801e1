"""One slice of a job: read, predicted, written; a part that is there is not made again."""

from collections.abc import Mapping
from typing import NamedTuple

import pyarrow as pa

from functions.batch import results
from functions.batch.answers import at_once
from functions.batch.desk import Job
from functions.batch.files import Csv, Slice
from functions.batch.planning import Document, block_of
from functions.batch.rows import Rows
from functions.batch.scoring import Scorer
from functions.batch.separated import Header
from lastmile.errors import LastmileError

MANY_FAILED, MANY_SHARE = 10, 0.1


class Read(NamedTuple):
    """The rows of a slice, the first of which has this number in the file."""

    rows: Rows
    first: int
    keep: Mapping[str, pa.DataType]


def make(job: Job, number: int) -> Document:
    scorer = scorer_of(job)
    return written(job, number, scorer, read(job, number, scorer))


def is_made(job: Job, number: int) -> bool:
    return job.output.exists(job.batch.part(number))


def scorer_of(job: Job) -> Scorer:
    return job.scorer(job.batches.document(job.batch, "plan.json")["batch_rows"])


def read(job: Job, number: int, scorer: Scorer) -> Read:
    plan = job.batches.document(job.batch, "plan.json")
    wanted = plan["slices"][number]
    file = job.input()
    if plan["header"] is None:
        parquet = job.table(file, scorer)
        assert not isinstance(parquet, Csv)
        rows = parquet.rows(parquet.between(file, wanted["first"], wanted["rows"]))
        return Read(rows, wanted["first"], parquet.keep)
    table = Csv(Header(**{**plan["header"], "names": tuple(plan["header"]["names"])}), scorer.inputs,
                job.batch.keep, job.batch.size)  # fmt: skip
    file.seek(wanted["start"])
    data = file.read(min(wanted["end"], job.batch.size) - wanted["start"])
    slice_ = Slice(wanted["first"], wanted["rows"], block_of(wanted, data), 1.0)
    return Read(table.rows(slice_), wanted["first"], table.keep)


def written(job: Job, number: int, scorer: Scorer, read: Read) -> Document:
    table, rows = scorer.score(read.rows, scorer.layout(read.keep), prefix=job.batch.prefix, first=read.first)
    if rows.problems:
        job.desk.data.put(job.batch.path(f"errors/{number:05d}.jsonl"), results.errors(rows, read.first))
    job.output.put(job.batch.part(number), results.encoded(table, job.batch.format))
    return {"outcome": "made", "rows": rows.total, "bad": len(rows.problems)}


def note_failure(job: Job, attempt: str, number: int, error: Document) -> None:
    """Kept for the report. Raises LastmileError when so many slices have failed that the others would too."""
    keep_failure(job, attempt, number, error)
    failed = len(job.batches.numbers(job.batch, f"failed/{attempt}"))
    slices = len(job.batches.document(job.batch, "plan.json")["slices"])
    if failed >= MANY_FAILED and failed > MANY_SHARE * slices:
        raise LastmileError(f"{failed} of {slices} slices have failed; the others are left")


def keep_failure(job: Job, attempt: str, number: int, error: Document) -> None:
    kept = {"slice": number, "at": job.desk.clock(), **error}
    job.batches.write(job.batch, f"failed/{attempt}/{number:05d}.json", kept)


def failed_with(job: Job, attempt: str, error: str) -> set[int]:
    """The slices that have failed so."""
    numbers = job.batches.numbers(job.batch, f"failed/{attempt}")
    kept = at_once(lambda number: job.batches.document(job.batch, f"failed/{attempt}/{number:05d}.json"), numbers)
    return {number for number, document in zip(numbers, kept, strict=True) if document["Error"] == error}
