"""A run may break off anywhere, be delivered twice, and come too late: one version, and a champion that serves."""

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Any, NoReturn

import pytest

from functions.retraining.door import Door
from functions.retraining.here import follow
from functions.retraining.lease import SECONDS
from functions.retraining.pipeline import FIRST, JOBS, ORDER, TABLE
from lastmile.errors import NotFound
from lastmile.runs import Run
from lastmile.store import Store
from tests.unit.retraining.pipelines import KEY, SPEC, Killed, KillingStore, Place

ELSEWHERE = ("ask", "failed", "roll back", ORDER, *JOBS)  # steps of other runs


def killable() -> tuple[Place, KillingStore, KillingStore]:
    """A place with a champion."""
    data, artifacts = (KillingStore(Store.open("memory://", environ={})) for _ in range(2))
    place = Place(data=data, artifacts=artifacts)
    place.train()
    place.upload()
    return place, data, artifacts


def cut_short(place: Place, execution: str) -> None:
    """An execution whose store is dead from some request on. Where the last step needs none of it, the run ends as
    failed; otherwise it stays as it is."""
    door = place.door(bias=1)
    with suppress(Killed):
        follow(door, KEY, execution=execution, say=lambda _: None, sleep=place.clock.sleep)
    place.executions.ended.add(execution)


def check_served(place: Place, run: Run) -> None:
    assert run.state == "promoted", run.problem
    release = place.registry.release("fraud")
    assert (release.champion, release.previous, release.latest, release.challenger) == (2, 1, 2, None)
    assert release.revision == 4, "promoted, two canary steps, promoted"
    assert place.registry.verify_audit("fraud") == []
    lineages = [manifest.lineage["run"] for manifest in place.registry.versions("fraud")]
    assert len(set(lineages)) == len(lineages) == 2


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
@pytest.mark.parametrize("which", ["data", "artifacts"])
def test_a_run_killed_at_any_request_is_repeated_from_the_start(which: str, after: bool) -> None:
    place, data, artifacts = killable()
    killing = data if which == "data" else artifacts
    killing.revive()
    run = place.run(bias=1)
    requests = killing.calls
    assert requests > 20
    check_served(place, run)
    for kill_at in range(1, requests + 1):
        place, data, artifacts = killable()
        killing = data if which == "data" else artifacts
        killing.revive(kill_at=kill_at, after=after)
        cut_short(place, "killed")
        killing.revive()
        champion = place.registry.release("fraud").champion
        assert champion is not None
        assert place.registry.artefact(place.registry.manifest("fraud", champion))
        if champion == 2 and all(run.is_over for run in place.door().desk.runs.newest("fraud", limit=2)):
            continue  # it was killed after its last word
        check_served(place, place.run(execution="again", bias=1))


@pytest.mark.parametrize("step", [name for name in TABLE if name not in ELSEWHERE])
def test_a_run_stopped_before_any_step_is_put_in_order_and_repeated(step: str) -> None:
    place = Place()
    place.train()
    place.upload()
    door = place.door(bias=1)
    if step != FIRST:
        stopped(place, door, step, "stopped")
        run = put_in_order(place, "stopped")
        assert run.state == "failed"
        assert run.problem is not None
        assert "ABORTED" in run.problem["reason"]
    release = place.registry.release("fraud")
    assert (release.champion, release.challenger, release.weight) == (1, None, 0.0)
    again = place.run(execution="again", bias=1)
    assert again.state == "promoted"
    assert place.registry.release("fraud").latest == 2


def stopped(place: Place, door: Door, before: str, execution: str, *, key: str = KEY) -> None:
    """An execution that goes no further than to this step."""

    class Stop(BaseException):
        pass

    def say(said: dict[str, Any]) -> None:
        if said["step"] == before:
            raise Stop

    with pytest.raises(Stop):
        follow(door, key, execution=execution, say=say, sleep=place.clock.sleep)


def put_in_order(place: Place, execution: str) -> Run:
    """What follows when somebody stops an execution: its run, ended."""
    tell_of_the_end(place, execution)
    return next(run for run in place.door().desk.runs.newest("fraud", limit=2) if run.execution == execution)


def tell_of_the_end(place: Place, execution: str) -> None:
    place.executions.ended.add(execution)
    event = {"executionArn": execution, "status": "ABORTED", "input": f'{{"run": {{"object": {{"key": "{KEY}"}}}}}}'}
    place.door()({"source": "aws.states", "detail": event})


class Interrupted(KillingStore):
    """Something happens just before or just after the next move of a release."""

    meanwhile: Callable[[], object] | None = None
    happens_after = False

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        if self.meanwhile is None or method != "replace" or not arguments[0].endswith("release.json"):
            return super()._call(method, *arguments, **named)
        meanwhile, self.meanwhile = self.meanwhile, None
        if not self.happens_after:
            meanwhile()
        done = super()._call(method, *arguments, **named)
        if self.happens_after:
            meanwhile()
        return done


def interrupted(step: str, *, after: bool) -> Place:
    """A place whose run was stopped while the function had its step in hand, which came to its end all the same."""
    artifacts = Interrupted(Store.open("memory://", environ={}))
    place = Place(artifacts=artifacts)
    place.train()
    place.upload()
    artifacts.happens_after = after
    armed: list[str] = []

    def say(said: dict[str, Any]) -> None:
        if said["step"] == step and not armed:
            armed.append(step)
            artifacts.meanwhile = partial(put_in_order, place, "stopped")

    follow(place.door(bias=1), KEY, execution="stopped", say=say, sleep=place.clock.sleep)
    assert armed
    assert artifacts.meanwhile is None
    return place


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_canary_that_begins_while_its_run_is_stopped_ends_with_it(after: bool) -> None:
    place = interrupted("canary", after=after)
    release = place.registry.release("fraud")
    assert (release.champion, release.challenger, release.latest) == (1, None, 2)
    assert place.run(execution="again", bias=1).state == "promoted"
    assert place.registry.release("fraud").latest == 2
    assert place.registry.verify_audit("fraud") == []


@pytest.mark.parametrize("after", [False, True], ids=["before its effect", "after its effect"])
def test_a_promotion_that_happens_while_its_run_is_stopped_holds(after: bool) -> None:
    place = interrupted("promote", after=after)
    run = next(run for run in place.door().desk.runs.newest("fraud", limit=2) if run.execution == "stopped")
    assert run.state == ("promoted" if after else "failed")
    if not after:
        assert place.run(execution="again", bias=1).state == "promoted"
    release = place.registry.release("fraud")
    assert (release.champion, release.previous, release.challenger, release.latest) == (2, 1, None, 2)


def test_a_canary_that_its_own_run_left_is_gone_on_with() -> None:
    place = Place()
    place.train()
    place.upload()
    stopped(place, place.door(bias=1), "canary", "stopped")
    run = put_in_order(place, "stopped")
    place.registry.canary("fraud", 2, weight=0.3, actor=f"learning run {run.id}", why="it came late")
    assert place.run(execution="again", bias=1).state == "promoted"


def test_the_same_event_twice_is_one_run() -> None:
    place = Place()
    first = place.train()
    release = place.registry.release("fraud")
    door = place.door()
    event = {"step": FIRST, "run": {"object": {"key": KEY}}, "execution": "second"}
    assert door(event)["outcome"] == "end"
    assert place.registry.release("fraud") == release
    assert door.desk.runs.ids("fraud") == [first.id]


@pytest.mark.parametrize("step", ["validate", "register", "judge"])
def test_the_same_event_while_the_first_run_works_ends_at_once(step: str) -> None:
    place = Place()
    place.train()
    place.upload()
    door = place.door(bias=1)
    stopped(place, door, step, "first")
    event = {"step": FIRST, "run": {"object": {"key": KEY}}, "execution": "second"}
    assert door(event)["outcome"] == "end"
    assert {run.execution for run in door.desk.runs.newest("fraud", limit=2)} == {"first"}


def test_a_second_event_that_breaks_off_ends_the_run_of_nobody_else() -> None:
    place = Place()
    place.train()
    place.upload()
    door = place.door(bias=1)
    stopped(place, door, "judge", "first")
    announced = {"object": {"key": KEY}}
    assert (
        door({"step": "failed", "run": announced, "error": {"Error": "Lambda.TooManyRequests"}})["outcome"] == "broken"
    )
    assert door({"step": "failed", "run": announced, "execution": "second", "error": None})["outcome"] == "end"
    tell_of_the_end(place, "second")
    assert {run.state for run in door.desk.runs.newest("fraud", limit=2)} == {"promoted", "in canary"}
    assert place.registry.release("fraud").challenger == 2


@pytest.mark.parametrize("becomes", ["replaced", "deleted"])
def test_a_stopped_run_is_put_in_order_whatever_becomes_of_its_upload(becomes: str) -> None:
    place = Place()
    place.train()
    place.upload()
    stopped(place, place.door(bias=1), "judge", "stopped")
    if becomes == "replaced":
        place.upload()
    else:
        place.door().desk.data.stat = gone  # type: ignore[method-assign]
    assert put_in_order(place, "stopped").state == "failed"
    assert place.registry.release("fraud").challenger is None


def gone(*_: Any, **__: Any) -> NoReturn:
    raise NotFound("it is deleted")


def test_an_execution_of_which_nobody_knows_is_dead_when_its_time_is_over() -> None:
    place = Place()
    place.train()
    place.upload()
    door = place.door(bias=1)
    stopped(place, door, "train", "first")
    place.executions.unknown.add("first")
    event = {"step": FIRST, "run": {"object": {"key": KEY}}, "execution": "second"}
    assert door(event)["outcome"] == "end"
    place.clock.now += SECONDS + 1
    assert place.run(execution="second", bias=1).state == "promoted"


def test_what_an_execution_does_that_was_taken_over_changes_nothing() -> None:
    place = Place()
    place.train()
    place.upload()
    door = place.door(bias=1)
    stopped(place, door, "register", "first")
    place.executions.ended.add("first")
    run = place.run(execution="second", bias=1)
    release = place.registry.release("fraud")
    address = {"model": "fraud", "id": run.id, "execution": "first"}
    for step in ("register", "canary", "judge", "promote", "roll back", "failed"):
        assert door({"step": step, "run": address})["outcome"] == "end"
    assert place.registry.release("fraud") == release


def test_an_older_upload_after_a_newer_one_is_superseded() -> None:
    place = Place()
    older = place.upload("training/fraud/april.csv")
    time.sleep(0.01)
    newer = place.upload("training/fraud/may.csv")
    assert place.run(newer).state == "promoted"
    late = place.run(older, bias=1)
    assert late.state == "superseded"
    assert place.registry.release("fraud").latest == 1


def test_a_newer_upload_that_was_refused_supersedes_nothing() -> None:
    place = Place()
    older = place.upload("training/fraud/april.csv")
    time.sleep(0.01)
    newer = place.upload("training/fraud/may.csv")
    assert place.run(newer, refuse="validate").state == "refused"
    assert place.run(older).state == "promoted"


def test_runs_of_one_model_queue_and_those_of_another_do_not() -> None:
    place = Place()
    place.upload("training/fraud/one.csv")
    place.upload("training/fraud/two.csv")
    door = place.door()
    stopped(place, door, "train", "first", key="training/fraud/one.csv")
    event = {"step": FIRST, "run": {"object": {"key": "training/fraud/two.csv"}}, "execution": "second"}
    waiting = door(event)
    assert waiting["outcome"] == "wait"
    assert waiting["seconds"] >= 1
    assert door.desk.runs.read("fraud", waiting["run"]["id"])[0].state == "queued"
    place.registry.declare(replace(SPEC, name="churn"), actor="ann", why="declared")
    assert place.run(place.upload("training/churn/one.csv"), execution="third").state == "promoted"
    assert door({**event, "run": waiting["run"]})["outcome"] == "wait"
    place.run("training/fraud/one.csv", execution="first", door=door)
    assert door({**event, "run": waiting["run"]})["outcome"] == "done"
