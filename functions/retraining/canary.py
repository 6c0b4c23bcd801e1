"""From an approved version to one that serves: shares of the requests, looks at what came of them, and the last move.

Every move names the revision that it starts from. When somebody else has moved the release meanwhile, the run ends
and touches nothing.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from functions.retraining import pipeline
from functions.retraining.ending import correct
from functions.retraining.judge import Verdict, verdict
from functions.retraining.lease import LeaseLost
from functions.retraining.signals import Latency, signals
from functions.retraining.work import Job, Outcome, Overtaken
from lastmile.errors import ReleaseConflict
from lastmile.profile import Profile
from lastmile.registry import Release

LOOKS = 10  # at one step, unless
LONGEST_LOOK = 60.0  # would pass between two of them, or
MOST_LOOKS = 400
BEFORE = 86_400.0  # seconds of the champion's past that say how fast it is


def canary(job: Job) -> Outcome:
    """Give the version its next share of the requests; done when there is none left, or nobody to compare with."""
    release, policy = job.desk.registry.release(job.run.model), job.spec.canary
    version = _version(job)
    begun = job.run.waits.get("canary")
    passed = job.run.waits.get("judge", {}).get("passed", 0)
    if release.champion in (None, version) or passed >= len(policy.steps):
        return Outcome(facts=_bare(begun) | {"passed": passed, "first": release.champion is None})
    if begun is not None and begun["index"] == passed:
        _check(job, release, begun["revision"])
        return Outcome(pipeline.WAIT, seconds=_look(policy.bake_seconds))
    expected = job.run.found("resume")["revision"] if begun is None else begun["revision"]
    if begun is None and release.revision == expected and _is_taken(job, release):
        raise Overtaken(f"a canary of version {release.challenger} is under way")
    share, now = policy.steps[passed], job.desk.clock()
    why = f"canary step {passed + 1} of {len(policy.steps)}: {share:.2%} of the requests for {policy.bake_seconds:g} s"

    def move() -> Release:
        return job.desk.registry.canary(
            job.run.model, version, weight=share, actor=job.actor, why=why, expected_revision=expected
        )

    moved = _moved(job, release, expected, move)
    _check_held(job, moved)
    began = now if begun is None else begun["began_at"]
    remembered = {"index": passed, "share": share, "revision": moved.revision, "began_at": began, "step_at": now}
    return Outcome(
        pipeline.WAIT,
        remember=remembered | {"champion": moved.champion},
        seconds=_look(policy.bake_seconds),
        state="in canary",
    )


def judge(job: Job) -> Outcome:
    """Compare both sides since the canary began; done when this step has lasted long enough without a bad sign."""
    begun, known = job.run.waits["canary"], job.run.waits.get("judge", {})
    _check(job, job.desk.registry.release(job.run.model), begun["revision"])
    policy, now = job.spec.canary, job.desk.clock()
    found, latency = _judged(job, begun, known, now)
    remembered = known | {"latency": latency, "figures": found["figures"]}
    if found["worse"]:
        return Outcome("worse", facts=found, remember=remembered)
    left = begun["step_at"] + policy.bake_seconds - now
    if left > 0:
        return Outcome(pipeline.WAIT, remember=remembered, seconds=min(left, _look(policy.bake_seconds)))
    return Outcome(facts=found, remember=remembered | {"passed": begun["index"] + 1})


def promote(job: Job) -> Outcome:
    """Make the version the champion."""
    release, version = job.desk.registry.release(job.run.model), _version(job)
    begun, approved = job.run.waits.get("canary"), job.run.found("approve")
    expected = job.run.found("resume")["revision"] if begun is None else begun["revision"]
    if job.run.found("canary")["first"]:
        said = "the first version of the model: there is no champion to compare it with"
    elif begun is None:
        said = "the spec wants no canary"
    else:
        said = f"canary passed: {job.run.waits['judge']['figures']}"
    why = f"{said}; approved by {approved['actor']}: {approved['why']}"

    def move() -> Release:
        return job.desk.registry.promote(
            job.run.model, version, actor=job.actor, why=why[:2000], expected_revision=expected
        )

    _moved(job, release, expected, move)
    try:
        job.desk.leases.hold(job.run, released=job.run.upload)
    except LeaseLost:
        correct(job)
        raise
    return Outcome(pipeline.END, state="promoted", why=said)


def roll_back(job: Job) -> Outcome:
    """End the canary; the champion alone goes on."""
    expected, why = job.run.waits["canary"]["revision"], job.run.waits["judge"]["figures"]

    def move() -> Release:
        return job.desk.registry.rollback(
            job.run.model, actor=job.actor, why=f"canary is worse: {why}", expected_revision=expected
        )

    _moved(job, job.desk.registry.release(job.run.model), expected, move)
    return Outcome(
        pipeline.END,
        state="rolled back",
        why=f"the canary is worse than the champion: {why}",
        advice="Look into the version's predictions and errors before training again.",
    )


def _judged(job: Job, begun: dict[str, Any], known: dict[str, Any], now: float) -> tuple[dict[str, Any], Any]:
    """What the figures say, and what slow means from now on."""
    policy, champion, began = job.spec.canary, begun["champion"], begun["began_at"]
    its = job.desk.profiles(job.run.model, champion, began, now)
    mine = job.desk.profiles(job.run.model, _version(job), began, now)
    counted = {"champion": its.requests if its else 0, "canary": mine.requests if mine else 0}
    if its is None or mine is None or min(counted.values()) < policy.min_requests:
        seen = f"{counted['canary']:,} requests, the champion {counted['champion']:,}"
        figures = f"too little traffic to judge (the canary had {seen}; each needs {policy.min_requests:,})"
        return {"worse": False, "figures": figures, **counted}, known.get("latency")
    latency = _latency(job, begun, known, its, mine)
    tolerance, captured = job.spec.drift.tolerance, job.spec.capture.rate
    signs = signals(its, mine, policy, tolerance=tolerance, latency=latency, captured=captured)
    found = verdict(signs, false_alarm=policy.false_alarm)
    return {"worse": found.worse, "figures": _figures(found, counted), **counted}, latency.to_document()


def _latency(job: Job, begun: dict[str, Any], known: dict[str, Any], its: Profile, mine: Profile) -> Latency:
    settled, before = known.get("latency"), None
    if settled is None:
        began = begun["began_at"]
        before = job.desk.profiles(job.run.model, begun["champion"], began - BEFORE, began)
    return Latency.settle(settled, its, mine, before=before, least=job.spec.canary.min_requests)


def _figures(found: Verdict, counted: dict[str, int]) -> str:
    return (
        f"{found.why}; evidence {found.evidence:.3g} where {found.needed:.3g} means worse, "
        f"after {counted['canary']:,} requests to the canary and {counted['champion']:,} to the champion"
    )


def _moved(job: Job, release: Release, expected: int, move: Callable[[], Release]) -> Release:
    """The release after the move; one that this run made before it was cut short is not made again."""
    if release.revision == expected + 1 and job.made(release):
        return release
    _check(job, release, expected)
    try:
        return move()
    except ReleaseConflict as error:
        raise Overtaken(str(error)) from error


def _is_taken(job: Job, release: Release) -> bool:
    """By a canary that is not one which this run has left."""
    return release.challenger is not None and (release.challenger != _version(job) or not job.made(release))


def _check_held(job: Job, moved: Release) -> None:
    """A canary that began while its run was put to an end has nobody who judges it: it is ended, too. Who repeats the
    run meanwhile finds it and goes on with it."""
    try:
        job.desk.leases.hold(job.run)
    except LeaseLost:
        if job.desk.runs.read(job.run.model, job.run.id)[0].is_over:
            with suppress(ReleaseConflict):
                why = "its run was over when it began"
                job.desk.registry.rollback(job.run.model, actor=job.actor, why=why, expected_revision=moved.revision)
        raise


def _check(job: Job, release: Release, expected: int) -> None:
    if release.revision != expected:
        last = next(
            (entry for entry in job.desk.registry.audit(job.run.model, limit=50) if entry.outcome == "done"), None
        )
        by = f": {last.action} by {last.actor}" if last else ""
        raise Overtaken(f"the release has moved to revision {release.revision}{by}")


def _version(job: Job) -> int:
    assert job.run.version is not None
    return job.run.version


def _bare(begun: dict[str, Any] | None) -> dict[str, Any]:
    return {} if begun is None else {"share": begun["share"]}


def _look(bake_seconds: float) -> float:
    """How long to wait between two looks."""
    return max(1.0, bake_seconds / MOST_LOOKS, min(LONGEST_LOOK, bake_seconds / LOOKS))
