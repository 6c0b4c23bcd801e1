"""The last word of a run: the record first, then everybody is told, once; nothing untold keeps a record from being."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Any

import orjson
import pytest

from lastmile.bus import EventRefused
from lastmile.runs import Run
from tests.unit.retraining.pipelines import Heard, Place, manual


class Busy(Heard):
    """Refuses so many events before it takes one."""

    def __init__(self, refuses: int) -> None:
        super().__init__()
        self.refuses = refuses

    def tell(self, kind: str, detail: Mapping[str, Any]) -> None:
        if self.refuses:
            self.refuses -= 1
            raise EventRefused(f"{kind} is denied")
        super().tell(kind, detail)


def written(place: Place) -> Run:
    (run,) = place.door().desk.runs.newest("fraud", limit=1)
    return run


def ended(run: Run, status: str) -> dict[str, Any]:
    """What EventBridge says of the execution."""
    upload = '{"run": {"object": {"key": "training/fraud/may.csv"}}}'
    return {"source": "aws.states", "detail": {"executionArn": run.execution, "status": status, "input": upload}}


@pytest.mark.parametrize(("refuse", "state"), [(None, "promoted"), ("train", "refused")])
def test_a_run_whose_end_cannot_be_told_is_over_all_the_same(refuse: str | None, state: str) -> None:
    place = Place()
    place.bus = bus = Busy(refuses=10**6)
    with pytest.raises(EventRefused, match="is denied"):
        place.train(refuse=refuse)
    run = written(place)
    assert run.state == state
    assert place.report(run)["state"] == state
    assert place.door().desk.leases.read("fraud").run is None
    bus.refuses = 0
    for _ in range(2):
        assert place.door()(ended(run, "FAILED")) == {}
    assert [kind for kind, _ in bus.events] == ["RunFinished" if state == "promoted" else "RunFailed"]
    assert bus.events[0][1]["state"] == state
    assert written(place) == run


@pytest.mark.parametrize(("refuse", "state"), [(None, "promoted"), ("train", "refused")])
def test_a_bus_that_is_busy_for_a_moment_hears_of_the_end_once(refuse: str | None, state: str) -> None:
    place = Place()
    place.bus = bus = Busy(refuses=2)
    run = place.train(refuse=refuse)
    assert run.state == state
    assert [detail["run"] for _, detail in bus.events] == [run.id]


def test_an_older_upload_is_told_of_too_when_the_bus_was_busy() -> None:
    place = Place()
    place.train()
    older, marks = place.upload("training/fraud/april.csv"), place.door().desk.leases.read("fraud")
    newer = replace(marks, registered={**(marks.registered or {}), "at": 4e9})
    place.data.put("runs/fraud/lease.json", orjson.dumps(asdict(newer)))
    place.bus = bus = Busy(refuses=2)
    assert place.run(older).state == "superseded"
    assert [detail["state"] for _, detail in bus.events] == ["superseded"]


def test_a_question_that_cannot_be_asked_is_asked_again_and_refuses_nothing() -> None:
    place = Place(manual())
    place.bus = bus = Busy(refuses=2)
    assert place.train().state == "expired"
    assert [kind for kind, _ in bus.events] == ["ApprovalWanted", "RunFinished"]


def test_a_run_that_is_repeated_is_told_of_again() -> None:
    place = Place()
    door = place.door()

    def broken(*_: Any) -> Any:
        raise RuntimeError

    door.acts = {**door.acts, "train": broken}
    run = place.run(place.upload(), door=door)
    assert run.state == "failed"
    again = place.run(execution="second")
    assert (again.id, again.state) == (run.id, "promoted")
    assert [kind for kind, _ in place.bus.events] == ["RunFailed", "RunFinished"]


@pytest.mark.parametrize("moment", ["before the run was looked at", "after it was written as failed"])
def test_a_version_that_serves_is_that_of_a_promoted_run_whenever_it_was_stopped(moment: str) -> None:
    """The execution is stopped while its function goes on and makes the last move."""
    place = Place()
    promote = place.registry.promote
    fail = place.door()

    def stopped_meanwhile(*given: Any, **named: Any) -> Any:
        if moment.startswith("before"):
            read, releases = place.registry.release, iter([place.registry.release("fraud")] * 2)
            moved: list[Any] = []

            def stale(model: str) -> Any:
                """As it was, until this run's end is decided."""
                found = next(releases, None)
                if found is not None:
                    return found
                place.registry.release = read  # type: ignore[method-assign]
                moved.append(promote(*given, **named))
                return read(model)

            place.registry.release = stale  # type: ignore[method-assign]
            fail(ended(written(place), "ABORTED"))
            return moved[0]
        fail(ended(written(place), "ABORTED"))
        assert written(place).state == "failed"
        return promote(*given, **named)

    place.registry.promote = stopped_meanwhile  # type: ignore[method-assign]
    run = place.train()
    assert place.registry.release("fraud").champion == run.version == 1
    assert (run.state, run.problem) == ("promoted", None)
    assert written(place) == run
    assert place.report(run)["state"] == "promoted"
    assert place.bus.events[-1][0] == "RunFinished"
