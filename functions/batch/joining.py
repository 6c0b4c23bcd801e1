"""The end of a job: every part in order in one manifest, the bad rows in one list, what failed in the report."""

from typing import Any

import orjson

from functions.batch.desk import Job
from lastmile.batches import Place, done_parts

SHOWN = 100

type Document = dict[str, Any]


def join(job: Job, attempt: str, *, tolerated: float = 0.0, error: Document | None = None) -> Document:
    """The report; `attempt` is the execution whose failures it lists.

    It says `done` when no larger share of the rows is missing than is tolerated.
    """
    plan = job.batches.document(job.batch, "plan.json")
    if plan is None:
        return _reported(job, {"state": "failed", "reason": _reason(error) or "no plan was made"})
    done = done_parts(job.output, job.batch)
    slices = plan["slices"]
    missing = [number for number in range(len(slices)) if number not in set(done)]
    lost = sum(slices[number]["rows"] for number in missing)
    bad = _errors(job, done)
    enough = lost <= tolerated * plan["rows"]
    report = {
        "state": "done" if enough else "incomplete",
        "rows": plan["rows"] - lost,
        "bad_rows": bad,
        "missing_rows": lost,
        "parts": len(done),
        "failed": [_failure(job, attempt, number, slices[number]) for number in missing[:SHOWN]],
        "reason": None if enough else _reason(error) or f"{len(missing)} of {len(slices)} parts are missing",
        "manifest": f"{job.batch.output}/_manifest.json" if enough else None,
        "errors": f"{job.batch.output}/_errors.jsonl" if bad else None,
    }
    if enough:
        parts = [{"name": job.batch.part(number).rpartition("/")[2], **_rows(slices[number])} for number in done]
        manifest = {
            "model": job.batch.model,
            "version": job.batch.version,
            "batch": job.batch.id,
            "input": job.batch.input,
            "format": job.batch.format,
            "rows": report["rows"],
            "parts": parts,
        }
        job.output.put(f"{Place.of(job.batch.output).path}/_manifest.json", orjson.dumps(manifest))
    return _reported(job, report)


def refuse(job: Job, why: str) -> Document:
    """Nothing can be done with such an input, however often it is tried."""
    return _reported(job, {"state": "refused", "reason": why})


def _errors(job: Job, done: list[int]) -> int:
    """Puts the lists of bad rows together; how many there are."""
    listed = [number for number in job.batches.numbers(job.batch, "errors") if number in set(done)]
    texts = [job.desk.data.get(job.batch.path(f"errors/{number:05d}.jsonl")).data for number in listed]
    if texts:
        job.output.put(f"{Place.of(job.batch.output).path}/_errors.jsonl", b"".join(texts))
    return sum(text.count(b"\n") for text in texts)


def _failure(job: Job, attempt: str, number: int, slice_: Document) -> Document:
    found = job.batches.document(job.batch, f"failed/{attempt}/{number:05d}.json")
    return {"slice": number, **_rows(slice_), "reason": _reason(found) or "it was not tried"}


def _rows(slice_: Document) -> Document:
    """As the result counts them, from 1 on."""
    return {"first_row": slice_["first"] + 1, "rows": slice_["rows"]}


def _reason(error: Document | None) -> str | None:
    """In the words of the function or the transform job, which the state machine passes on as JSON in a text."""
    if not error:
        return None
    cause = str(error.get("Cause") or error.get("Error") or "")
    try:
        told = orjson.loads(cause)
        return str(told["errorMessage"] if "errorMessage" in told else told["FailureReason"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return cause or None


def _reported(job: Job, report: Document) -> Document:
    whole = {**report, "ended_at": job.desk.clock()}
    job.batches.write(job.batch, "report.json", whole)
    return whole
