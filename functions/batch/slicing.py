"""One slice of a job: read, predicted, written; a part that is there is not made again."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import pyarrow as pa

from functions.batch import results
from functions.batch.desk import Job
from functions.batch.files import Csv, Slice
from functions.batch.pieces import Answered, length
from functions.batch.planning import Document, block_of
from functions.batch.rows import Rows
from functions.batch.scoring import Scorer
from functions.batch.separated import Header
from functions.batch.transforms import Transform, packed, unpacked
from lastmile.batches import done_parts
from lastmile.errors import LastmileError, NotFound
from lastmile.tensors import Array

MANY_FAILED, MANY_SHARE = 10, 0.1
NOTHING = Answered({}, {})


class Read(NamedTuple):
    """The rows of a slice, the first of which has this number in the file."""

    rows: Rows
    first: int
    keep: Mapping[str, pa.DataType]


def make(job: Job, number: int, attempt: str) -> Document:
    """Where a transform job answers, that is only asked."""
    if job.output.exists(job.batch.part(number)):
        return {"outcome": "found"}
    transform = job.transform
    if transform is not None:
        return _asked(job, transform, number, attempt)
    scorer = _scorer(job)
    return _written(job, number, scorer, _read(job, number, scorer))


def order(job: Job, attempt: str) -> Document:
    """What is to be asked of a transform job, and the slices that are still to be done."""
    transform, transforms = job.transform, job.desk.transforms
    done, plan = set(done_parts(job.output, job.batch)), job.batches.document(job.batch, "plan.json")
    missing = [number for number in range(len(plan["slices"])) if number not in done]
    job.batches.write(job.batch, "items.json", [{"slice": number} for number in missing])
    items = job.batch.path("items.json")
    if transform is None or transforms is None or not missing:
        return {"outcome": "over", "items": items, "order": {}}
    asked = transform.asked(attempt)
    given = transform.order(attempt, bucket=job.desk.bucket or "data", **transforms._asdict())
    return {"outcome": "ask" if asked else "settle", "items": items, "order": given, "requests": asked}


def settle(job: Job, number: int, attempt: str) -> Document:
    """The part of a slice out of what a transform job has answered; what is missing of that is kept as a failure."""
    if job.output.exists(job.batch.part(number)):
        return {"outcome": "found"}
    transform = job.transform
    if transform is None:
        raise LastmileError("there is no transform job here that could have answered")
    try:
        chosen = unpacked(job.desk.data.get(_chosen(job, number)).data)
    except NotFound:  # its rows could not be asked for: that is kept as a failure already
        return {"outcome": "unasked"}
    answered = transform.answered(number, len(chosen))
    if isinstance(answered, int):
        why = f"the transform job has no answer for {answered:,} of {len(chosen):,} rows"
        _keep_failure(job, attempt, number, {"Error": "Unanswered", "Cause": why})
        return {"outcome": "unanswered", "rows": answered}
    scorer = _given(_scorer(job), chosen, answered)
    return _written(job, number, scorer, _read(job, number, scorer))


def _asked(job: Job, transform: Transform, number: int, attempt: str) -> Document:
    scorer = _scorer(job)
    assert scorer.sides is not None
    read = _read(job, number, scorer)
    feeds = read.rows.feeds
    try:
        chosen = unpacked(job.desk.data.get(_chosen(job, number)).data)
    except NotFound:
        first = None if scorer.sides.threshold is None else scorer.light(feeds)
        chosen = scorer.sides.chosen(first, length(feeds))
        job.desk.data.put(_chosen(job, number), packed(chosen))
    if not len(chosen):
        return _written(job, number, _given(scorer, chosen, NOTHING), read)
    asked = transform.ask({name: array[chosen] for name, array in feeds.items()}, number, attempt)
    return {"outcome": "asked", "rows": len(chosen), "requests": asked}


def _chosen(job: Job, number: int) -> str:
    """Where it says which of a slice's rows the heavy side answers, among those that can be read."""
    return job.batch.path(f"heavy/{number:05d}.bin")


def _given(scorer: Scorer, chosen: Array, answered: Answered) -> Scorer:
    """With what the heavy side has said already."""
    assert scorer.sides is not None
    return replace(scorer, sides=scorer.sides.given(chosen, lambda feeds: answered))


def _scorer(job: Job) -> Scorer:
    return job.scorer(job.batches.document(job.batch, "plan.json")["batch_rows"])


def _read(job: Job, number: int, scorer: Scorer) -> Read:
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


def _written(job: Job, number: int, scorer: Scorer, read: Read) -> Document:
    table, rows = scorer.score(read.rows, scorer.layout(read.keep), prefix=job.batch.prefix, first=read.first)
    if rows.problems:
        job.desk.data.put(job.batch.path(f"errors/{number:05d}.jsonl"), results.errors(rows, read.first))
    job.output.put(job.batch.part(number), results.encoded(table, job.batch.format))
    return {"outcome": "made", "rows": rows.total, "bad": len(rows.problems)}


def note_failure(job: Job, attempt: str, number: int, error: Document) -> None:
    """Kept for the report. Raises LastmileError when so many slices have failed that the others would too."""
    _keep_failure(job, attempt, number, error)
    failed = len(job.batches.numbers(job.batch, f"failed/{attempt}"))
    slices = len(job.batches.document(job.batch, "plan.json")["slices"])
    if failed >= MANY_FAILED and failed > MANY_SHARE * slices:
        raise LastmileError(f"{failed} of {slices} slices have failed; the others are left")


def _keep_failure(job: Job, attempt: str, number: int, error: Document) -> None:
    kept = {"slice": number, "at": job.desk.clock(), **error}
    job.batches.write(job.batch, f"failed/{attempt}/{number:05d}.json", kept)
