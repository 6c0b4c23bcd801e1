"""How a run ends: a report for people and programs, the model free for the next run, the last record, and an event."""

from contextlib import suppress
from typing import Any

import orjson

from functions.retraining.lease import LeaseLost
from functions.retraining.work import Job, keep
from lastmile.audit import rfc3339
from lastmile.errors import NotFound

FAILURES = ("failed", "refused")
TOLD = "told"  # holds the end and the execution that were told: a run that is repeated ends once more


def conclude(job: Job, state: str, problem: dict[str, str] | None = None) -> None:
    """Everything before the record can be done twice; with the record the run is over, whoever hears of it.

    A run that is put to an end may be making its last move: either this look sees that its version serves, or the
    move is made after the model was let go of, and whoever made it notices (`correct`).
    """
    _record(job, state, problem)
    if state in FAILURES and _serves(job):
        _record(job, "promoted", None)
    announce(job)


def correct(job: Job) -> None:
    """The run's version serves, and its record was meanwhile written as that of one that has failed."""
    found = Job.open(job.desk, job.address)
    if found.run.state in FAILURES and found.run.execution == job.run.execution and _serves(found):
        conclude(found, "promoted")


def _record(job: Job, state: str, problem: dict[str, str] | None) -> None:
    from functions.retraining.runpage import page  # which draws tables of what was measured

    report = _report(job, state, problem)
    path = f"reports/{job.run.model}/run/{job.run.id}"
    job.desk.data.put(f"{path}.html", page(report).encode())
    job.desk.data.put(f"{path}.json", orjson.dumps(report, option=orjson.OPT_SERIALIZE_NUMPY))
    job.desk.leases.release(job.run)
    job.write(state=state, problem=problem, report=f"{path}.json")


def announce(job: Job) -> None:
    """Tell that the run is over, unless it has been told. What cannot be told is raised: then it is tried again."""
    run, desk = job.run, job.desk
    with suppress(NotFound):
        if desk.data.get(run.path(TOLD)).data == _told(job):
            return
    kind = "RunFailed" if run.state in FAILURES else "RunFinished"
    facts = {"model": run.model, "version": run.version, "state": run.state, "problem": run.problem}
    desk.bus.tell(kind, {"id": run.id, "report": run.report, "run": run.id, **facts, "key": run.upload.key})
    keep(job, TOLD, _told(job))


def _told(job: Job) -> bytes:
    return f"{job.run.state} {job.run.execution}".encode()


def fail(job: Job, error: dict[str, Any] | None) -> None:
    """End a run that was refused, or that broke off with this error of the state machine."""
    if job.run.is_over:
        announce(job)
        return
    if _serves(job):
        conclude(job, "promoted")
        return
    problem = job.run.problem
    state = "failed" if problem is None else "refused"
    if problem is None:
        problem = {
            "step": job.run.step,
            "reason": f"the step broke off: {_said(error)}",
            "advice": "Repeat the run with `lastmile run repeat`; if it breaks off again, see `lastmile logs`.",
        }
    _end_own_canary(job, problem)
    conclude(job, state, problem)


def _serves(job: Job) -> bool:
    """It broke off after its last move."""
    version = job.run.version
    return version is not None and job.desk.registry.release(job.run.model).champion == version


def _end_own_canary(job: Job, problem: dict[str, str]) -> None:
    """The champion alone goes on serving, unless somebody has moved the release since."""
    if job.run.version is None:
        return
    release = job.desk.registry.release(job.run.model)
    if release.challenger != job.run.version:
        return
    if "canary" not in job.run.waits and not job.made(release):  # it may have been killed before it could note it
        return
    try:
        job.desk.leases.hold(job.run)
    except LeaseLost:
        return
    why = f"{problem['step']}: {problem['reason']}"[:1900]
    job.desk.registry.rollback(job.run.model, actor=job.actor, why=why, expected_revision=release.revision)


def _said(error: dict[str, Any] | None) -> str:
    """The state machine's error in few words, without traces."""
    name = str((error or {}).get("Error") or "no reason was given")
    cause = (error or {}).get("Cause")
    try:
        document = orjson.loads(cause or "")
        message = str(document.get("errorMessage") or "")
    except (orjson.JSONDecodeError, AttributeError):
        message = str(cause or "")
    return f"{name} {message}".strip()[:500]


def _report(job: Job, state: str, problem: dict[str, str] | None) -> dict[str, Any]:
    run = job.run
    now = job.desk.clock()
    return {
        "run": run.id,
        "model": run.model,
        "state": state,
        "version": run.version,
        "problem": problem,
        "key": run.upload.key,
        "key_version": run.upload.version,
        "bytes": run.upload.size,
        "uploaded_at": rfc3339(int(run.upload.at * 1000)),
        "started_at": rfc3339(int(run.started_at * 1000)),
        "ended_at": rfc3339(int(now * 1000)),
        "seconds": round(now - run.started_at, 1),
        "steps": {name: {"at": step["at"], "facts": step["facts"]} for name, step in run.steps.items()},
    }
