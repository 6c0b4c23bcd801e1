"""What a canary's policy says is what happens, and whoever moves the release meanwhile has the last word."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import pytest

from functions.retraining.canary import LOOKS, MOST_LOOKS
from lastmile.runs import Run
from tests.unit.retraining.pipelines import SPEC, Place


def canaried(*, errors: float = 0.0, milliseconds: float = 20, requests: int = 20, **policy: Any) -> tuple[Place, Run]:
    """The second version's run, with this traffic and policy."""
    place = Place(replace(SPEC, canary=replace(SPEC.canary, **policy)))
    place.train()
    place.traffic.requests = requests
    place.traffic.errors, place.traffic.milliseconds = {2: errors}, {2: milliseconds}
    return place, place.train(bias=1)


def why(place: Place) -> str:
    return place.registry.release("fraud").head.why


def test_steps_are_the_shares_it_gets() -> None:
    place, run = canaried(steps=(0.2,))
    shares = [entry.after.weight for entry in place.registry.audit("fraud") if entry.action == "canary"]
    assert (run.state, shares) == ("promoted", [0.2])
    place, run = canaried(steps=())
    assert (run.state, place.registry.release("fraud").revision) == ("promoted", 2)
    assert "the spec wants no canary" in why(place)


def test_each_step_bakes_as_long_as_it_is_told() -> None:
    took = {}
    for seconds in (20, 200):
        place, run = canaried(bake_seconds=seconds)
        took[seconds] = place.clock.now - run.started_at
    assert 40 <= took[20] < 60
    assert 400 <= took[200] < 460


def looked(place: Place, looks: list[float]) -> None:
    looks.append(place.clock.now)


def test_it_is_looked_at_about_ten_times_and_at_least_once_a_minute() -> None:
    for seconds, least in ((100, LOOKS), (6000, 6000 / 60), (86_400, MOST_LOOKS)):
        place = Place(replace(SPEC, canary=replace(SPEC.canary, steps=(0.5,), bake_seconds=seconds)))
        place.train()
        began = place.clock.now
        looks: list[float] = []
        place.clock.meanwhile = partial(looked, place, looks)
        place.train(bias=1)
        assert least <= len(looks) <= least + 3, seconds
        assert looks[-1] - began < seconds * 1.1 + 5


def test_fewer_requests_than_wanted_are_not_judged() -> None:
    judged, _ = canaried(errors=0.5, min_requests=50)
    unjudged, run = canaried(errors=0.5, min_requests=10_000)
    assert why(judged).startswith("canary is worse")
    assert run.state == "promoted"
    assert "too little traffic to judge" in why(unjudged)


def test_more_errors_are_borne_up_to_the_margin() -> None:
    for margin, state in ((0.02, "rolled back"), (0.3, "promoted")):
        _, run = canaried(errors=0.15, requests=100, max_error_increase=margin)
        assert run.state == state


def test_slower_answers_are_borne_up_to_the_ratio() -> None:
    for ratio, state in ((1.5, "rolled back"), (50.0, "promoted")):
        _, run = canaried(milliseconds=30, requests=100, max_latency_ratio=ratio)
        assert run.state == state


def test_a_smaller_false_alarm_waits_for_more_evidence() -> None:
    took = {}
    for alarm in (0.2, 1e-9):
        place, run = canaried(errors=0.08, requests=30, false_alarm=alarm)
        assert run.state == "rolled back"
        took[alarm] = place.clock.now - run.started_at
    assert took[0.2] < took[1e-9]


MOVES: dict[str, Callable[[Place], object]] = {
    "promote": lambda place: place.registry.promote("fraud", 2, actor="ann", why="now"),
    "rollback": lambda place: place.registry.rollback("fraud", actor="ann", why="no"),
    "reject": lambda place: place.registry.reject("fraud", 2, actor="ann", why="never"),
    "shadow": lambda place: place.registry.shadow("fraud", 2, actor="ann", why="look"),
}


@pytest.mark.parametrize("move", MOVES)
def test_a_person_who_moves_the_release_during_the_canary_has_the_last_word(move: str) -> None:
    place = Place()
    place.train()
    done: list[Any] = []

    def meanwhile() -> None:
        if place.registry.release("fraud").challenger == 2 and not done:
            done.append(MOVES[move](place))

    place.clock.meanwhile = meanwhile
    run = place.train(bias=1)
    assert run.state == ("rejected" if move == "reject" else "overtaken")
    after = place.registry.release("fraud")
    assert after.head.actor == "ann"
    assert after == done[0]


def test_a_canary_of_somebody_else_is_left_alone() -> None:
    place = Place()
    place.train()
    place.train(bias=1)
    place.registry.canary("fraud", 1, weight=0.2, actor="ann", why="compare")
    before = place.registry.release("fraud")
    run = place.train(bias=2)
    assert run.state == "overtaken"
    assert place.registry.release("fraud").serving == before.serving
