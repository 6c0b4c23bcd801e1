"""May the version be released? The gates have said so already; where the spec wants a person too, one is asked."""

from functions.retraining import pipeline
from functions.retraining.lease import is_older
from functions.retraining.work import Answer, Desk, Job, Outcome, Overtaken
from lastmile.approvals import Approval


def approve(job: Job) -> Outcome:
    """Done when the gates decide alone or a person has said yes; otherwise the model is free while one is asked."""
    run, spec = job.run, job.spec
    assert run.version is not None
    rejection = job.desk.registry.rejection(run.model, run.version)
    if rejection is not None:
        return _rejected(rejection["actor"], rejection["why"])
    if spec.approval.policy == "auto":
        return Outcome(facts={"policy": "auto", "actor": "the gates", "why": "every gate is passed"})
    now = job.desk.clock()
    question = Approval(run.model, run.version, run.id, now, now + spec.approval.expires_hours * 3600)
    asked = job.desk.approvals.ask(question)
    if asked.answer == "reject":
        return _rejected(str(asked.actor), str(asked.why))
    if asked.answer == "approve":
        return Outcome(facts={"policy": "manual", "actor": asked.actor, "why": asked.why})
    if now >= asked.expires_at:
        return Outcome(
            pipeline.END,
            state="expired",
            why=f"nobody approved or rejected version {run.version} within {spec.approval.expires_hours:g} hours",
            advice=f"Release it by hand with `lastmile release promote {run.model} {run.version}`, or upload again.",
        )
    if run.state != "waiting for approval":
        detail = {"id": run.id, "run": run.id, "model": run.model, "version": run.version}
        job.desk.bus.tell("ApprovalWanted", detail | {"expires_at": asked.expires_at})
    job.desk.leases.release(run)
    return Outcome(pipeline.ASK, seconds=_longest(asked.expires_at - now), state="waiting for approval")


def ask(desk: Desk, job: Job, token: str) -> Answer:
    """Leave the token by which the answer wakes up the run. The answer may have come meanwhile."""
    assert job.run.version is not None
    asked = desk.approvals.hand(job.run.model, job.run.version, token)
    if asked.answer is not None:
        desk.executions.wake(token)
    return Answer(pipeline.DONE, job.address)


def resume(job: Job) -> Outcome:
    """Take the model again after a person was asked; what was released meanwhile may be newer."""
    lease = job.desk.leases.take(job.run)
    if lease is None:
        waited = job.desk.clock() - job.run.steps["approve"]["at"]
        return Outcome(pipeline.WAIT, seconds=pipeline.pause(waited))
    if is_older(job.run.upload, lease.released):
        assert lease.released is not None
        return Outcome(
            pipeline.END,
            state="superseded",
            why=f"a version trained on newer data, {lease.released['key']}, has been released meanwhile",
            advice="Nothing; to release this one after all, use `lastmile release promote`.",
        )
    if "resume" in job.run.steps:
        return Outcome(facts=job.run.found("resume"))
    release = job.desk.registry.release(job.run.model)
    by_gates = job.run.found("approve")["policy"] == "auto"
    judged_against = job.run.found("evaluate").get("champion")
    if by_gates and release.champion not in (judged_against, job.run.version):
        raise Overtaken(
            f"the gates compared with champion {judged_against or 'none'}, and now version {release.champion} serves"
        )
    return Outcome(facts={"revision": release.revision}, state="running")


def _rejected(actor: str, why: str) -> Outcome:
    return Outcome(pipeline.END, state="rejected", why=f"{actor} rejected the version: {why}")


def _longest(seconds: float) -> int:
    """The longest wait that is not past the end, or the shortest."""
    return next((wait for wait in pipeline.ASK_SECONDS if wait <= seconds), pipeline.ASK_SECONDS[-1])
