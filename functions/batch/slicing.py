"""One slice of a job: read, predicted, written; a part that is there is not made again."""

from dataclasses import dataclass

from functions.batch import results
from functions.batch.desk import Job
from functions.batch.files import Csv, Slice
from functions.batch.planning import Document, block_of
from functions.batch.separated import Header
from lastmile.errors import LastmileError

MANY_FAILED, MANY_SHARE = 10, 0.1


@dataclass(frozen=True, slots=True)
class Made:
    rows: int
    bad: int


def make(job: Job, number: int) -> Made | None:
    """None when the part is there already."""
    path = job.batch.part(number)
    if job.output.exists(path):
        return None
    plan = job.batches.document(job.batch, "plan.json")
    wanted = plan["slices"][number]
    scorer = job.scorer(plan["batch_rows"])
    file = job.input()
    if plan["header"] is not None:
        table = Csv(Header(**{**plan["header"], "names": tuple(plan["header"]["names"])}), scorer.inputs,
                    job.batch.keep, job.batch.size)  # fmt: skip
        file.seek(wanted["start"])
        data = file.read(min(wanted["end"], job.batch.size) - wanted["start"])
        slice_ = Slice(wanted["first"], wanted["rows"], block_of(wanted, data), 1.0)
        rows = table.rows(slice_)
        keep = table.keep
    else:
        parquet = job.table(file, scorer)
        assert not isinstance(parquet, Csv)
        rows = parquet.rows(parquet.between(file, wanted["first"], wanted["rows"]))
        keep = parquet.keep
    table_, rows = scorer.score(rows, scorer.layout(keep), prefix=job.batch.prefix, first=wanted["first"])
    if rows.problems:
        job.desk.data.put(job.batch.path(f"errors/{number:05d}.jsonl"), results.errors(rows, wanted["first"]))
    job.output.put(path, results.encoded(table_, job.batch.format))
    return Made(rows.total, len(rows.problems))


def note_failure(job: Job, attempt: str, number: int, error: Document) -> None:
    """Kept for the report. Raises LastmileError when so many slices have failed that the others would too."""
    path = f"failed/{attempt}"
    job.batches.write(job.batch, f"{path}/{number:05d}.json", {"slice": number, "at": job.desk.clock(), **error})
    failed = len(job.batches.numbers(job.batch, path))
    slices = len(job.batches.document(job.batch, "plan.json")["slices"])
    if failed >= MANY_FAILED and failed > MANY_SHARE * slices:
        raise LastmileError(f"{failed} of {slices} slices have failed; the others are left")
