"""A person is asked, answers or does not, and the model is free meanwhile."""

from contextlib import suppress
from typing import Any

import pytest

from functions.retraining.here import follow
from lastmile.errors import LastmileError
from tests.unit.retraining.pipelines import Place, manual


def test_a_yes_releases_the_version_and_names_the_person() -> None:
    place = Place(manual())
    place.clock.meanwhile = lambda: answer(place, "approve")
    run = place.train()
    assert run.state == "promoted"
    assert "approved by ann: because" in place.registry.release("fraud").head.why
    assert [kind for kind, _ in place.bus.events] == ["ApprovalWanted", "RunFinished"]


def answer(place: Place, what: str) -> None:
    with suppress(LastmileError):
        place.door().desk.approvals.answer("fraud", 1, what, actor="ann", why="because", now=place.clock())


def test_a_no_leaves_the_version_unreleased() -> None:
    place = Place(manual())
    place.clock.meanwhile = lambda: answer(place, "reject")
    run = place.train()
    assert run.state == "rejected"
    assert (place.registry.release("fraud").champion, place.registry.release("fraud").latest) == (None, 1)


def test_a_version_rejected_in_the_registry_is_not_released_either() -> None:
    place = Place(manual())
    place.clock.meanwhile = lambda: reject(place)
    assert place.train().state == "rejected"


def reject(place: Place) -> None:
    if place.registry.rejection("fraud", 1) is None:
        place.registry.reject("fraud", 1, actor="ann", why="unfair")


def test_a_question_that_nobody_answers_expires() -> None:
    place = Place(manual(hours=0.5))
    run = place.train()
    assert run.state == "expired"
    assert place.clock.now - run.started_at < 0.5 * 3600 + 60
    assert place.registry.release("fraud").champion is None
    answer(place, "approve")
    assert place.door().desk.approvals.read("fraud", 1).answer is None


def test_while_a_person_is_asked_the_model_is_free_for_the_next_run() -> None:
    place = Place(manual())
    place.upload("training/fraud/one.csv")
    seen: list[str | None] = []
    place.clock.meanwhile = lambda: seen.append(place.door().desk.leases.read("fraud").run)
    place.run("training/fraud/one.csv")
    assert set(seen) == {None}


def test_a_token_that_is_left_after_the_answer_wakes_the_run_at_once() -> None:
    place = Place(manual())
    place.upload()
    door = place.door()
    place.clock.meanwhile = lambda: answer(place, "approve")
    run = place.run(door=door)
    assert run.version == 1
    answered = door({"step": "ask", "run": {"model": "fraud", "id": run.id, "execution": "first"}, "token": "t"})
    assert answered["outcome"] == "done"
    assert place.executions.woken == ["t"]
    late = {"step": "ask", "run": {"model": "fraud", "id": run.id, "execution": "taken over"}, "token": "late"}
    assert door(late)["outcome"] == "end"
    assert door.desk.approvals.read("fraud", 1).token == "t"


def test_while_a_person_is_asked_each_look_is_told_until_nobody_listens() -> None:
    place = Place(manual())
    said: list[dict[str, Any]] = []

    def say(document: dict[str, Any]) -> None:
        said.append(document)
        if len(said) > 20:
            raise BrokenPipeError

    with pytest.raises(BrokenPipeError):
        follow(place.door(), place.upload(), execution="first", say=say, sleep=place.clock.sleep)
    (run,) = place.door().desk.runs.ids("fraud")
    assert said[-1] == {"step": "ask", "run": run, "version": 1}
