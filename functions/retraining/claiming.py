"""The first step: an upload becomes a run, once, and the run waits until its model is free."""

from contextlib import suppress
from dataclasses import replace
from typing import Any

from aws_lambda_powertools import Logger

from functions.retraining import pipeline
from functions.retraining.ending import announce, conclude
from functions.retraining.lease import SECONDS, is_older
from functions.retraining.work import Answer, Desk, Job, Refused, exists, keep, problem
from lastmile.errors import LastmileError, ModelNotFound, NotFound
from lastmile.runs import Run, Upload, model_of, run_id
from lastmile.store import AlreadyExists, Conflict

LOOK_BACK = 100  # runs of a model, the newest first
MADE = ("claim", "validate", "train", "evaluate", "compress", "certify", "register")

logger = Logger(service="retraining")


def claim(desk: Desk, asked: dict[str, Any], execution: str) -> Answer:
    """`asked` is the object of the upload's event, or the address that this step gave when it was last looked at."""
    nobody = Answer(pipeline.END, {"model": "", "id": "", "execution": execution})
    try:
        job = _again(desk, asked) if "id" in asked else _first(desk, asked["object"], execution)
    except NotFound as error:
        logger.warning("no run", extra={"reason": str(error)})
        return nobody
    if job is None:
        logger.info("duplicate", extra={"asked": asked})
        return nobody
    if job.run.execution != execution:
        return Answer(pipeline.END, job.address)
    if job.run.is_over:
        announce(job)
        return Answer(pipeline.END, job.address)
    return _taken(job)


def find(desk: Desk, announced: dict[str, Any], execution: str) -> Job | None:
    """The run of an upload that the execution works on, if it has begun; the upload may be gone meanwhile, or another
    one have its name."""
    key = announced["key"]
    with suppress(NotFound):
        stat = desk.data.stat(key, version=announced.get("version-id") or None)
        upload = Upload(key, stat.version, stat.size, stat.modified)
        if (job := _worked_on(desk, run_id(upload), key, execution)) is not None:
            return job
    with suppress(NotFound):
        found = (_worked_on(desk, run, key, execution) for run in desk.runs.ids(model_of(key))[:LOOK_BACK])
        return next((job for job in found if job is not None), None)
    return None


def _worked_on(desk: Desk, run: str, key: str, execution: str) -> Job | None:
    """The run, if it is of an upload of that name and in the hands of the execution."""
    with suppress(NotFound):  # a folder is older than its record
        found, etag = desk.runs.read(model_of(key), run)
        if (found.upload.key, found.execution) == (key, execution):
            return Job(desk, found, etag)
    return None


def _again(desk: Desk, address: dict[str, Any]) -> Job:
    return Job.open(desk, address)


def _first(desk: Desk, announced: dict[str, Any], execution: str) -> Job | None:
    """The run of the upload in the hands of this execution, or None when another one works on it or has ended it."""
    stat = desk.data.stat(announced["key"], version=announced.get("version-id") or None)
    upload = Upload(announced["key"], stat.version, stat.size, stat.modified)
    now = desk.clock()
    run = Run(run_id(upload), upload.model, upload, execution, started_at=now, updated_at=now)
    try:
        return Job(desk, run, desk.runs.create(run))
    except AlreadyExists:
        return _inherited(desk, run)


def _inherited(desk: Desk, run: Run) -> Job | None:
    """A run that is dead, or broke off, goes on where it stopped."""
    found, etag = desk.runs.read(run.model, run.id)
    if found.execution == run.execution:
        return Job(desk, found, etag)
    if found.is_over and found.state != "failed":
        return None
    if not found.is_over and _is_alive(desk, found):
        return None
    heir = replace(_afresh(found) if found.is_over else found, execution=run.execution)
    try:
        return Job(desk, *desk.runs.replace(heir, etag, now=desk.clock()))
    except Conflict:
        return None  # a third one was faster


def _afresh(found: Run) -> Run:
    """A run that has failed, with what it made; how it is released is decided again."""
    made = {name: step for name, step in found.steps.items() if name in MADE}
    return replace(found, state="queued", steps=made, waits={}, problem=None, report=None)


def _is_alive(desk: Desk, run: Run) -> bool:
    running = desk.executions.is_running(run.execution)
    return running if running is not None else desk.clock() - run.updated_at < SECONDS


def _taken(job: Job) -> Answer:
    lease = job.desk.leases.take(job.run)
    if lease is None:
        waited = job.desk.clock() - job.run.started_at
        return Answer(pipeline.WAIT, job.address, pipeline.pause(waited))
    if is_older(job.run.upload, lease.registered):
        assert lease.registered is not None
        conclude(
            job,
            "superseded",
            {
                "step": "claim",
                "reason": f"newer data, {lease.registered['key']}, has been trained on already",
                "advice": "Nothing; to train on this data after all, upload it again.",
            },
        )
        return Answer(pipeline.END, job.address)
    if "claim" in job.run.steps:
        if job.run.state == "queued":
            job.write(state="running")
        return Answer(pipeline.DONE, job.address)
    try:
        latest = _pinned(job)
    except LastmileError as error:
        if isinstance(error, (Refused, ModelNotFound)):
            job.write(problem=problem("claim", error), state="running")
            return Answer(pipeline.REFUSED, job.address)
        raise
    done = {"at": job.desk.clock(), "outcome": pipeline.DONE, "facts": {"latest": latest}}
    job.write(state="running", steps={"claim": done})
    return Answer(pipeline.DONE, job.address)


def _pinned(job: Job) -> int:
    """Keep the spec of this moment for the whole run; the newest version before it."""
    import orjson

    registry = job.desk.registry
    try:
        spec = registry.spec(job.run.model)
    except ModelNotFound:
        raise Refused(
            f"nobody has declared a model '{job.run.model}'",
            "Declare it: `lastmile train <model> <data> --spec <spec.toml>`; or mend the folder's name.",
        ) from None
    except NotFound as error:
        raise Refused(str(error), "Declare it: `lastmile train <model> <data> --spec <spec.toml>`.") from None
    if spec.training is None:
        raise Refused(
            f"the spec of model '{spec.name}' has no [training] section",
            "Add one to spec.toml, and train again with --spec.",
        )
    if not exists(job, "spec.json"):
        keep(job, "spec.json", orjson.dumps(spec.to_document()))
    return registry.release(job.run.model).latest
