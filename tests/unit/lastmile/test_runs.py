"""Records of runs: named by the upload, found newest first, written by one at a time."""

from dataclasses import replace
from typing import Any

import pytest

from lastmile.errors import NotFound
from lastmile.executions import GONE, RUNNING, Status, this_process
from lastmile.runs import Run, Runs, Upload, model_of, run_id
from lastmile.store import AlreadyExists, Conflict, Store

ARN = "arn:aws:states:eu-west-1:123456789012:execution:lastmile-dev-learning:e"
NOW = 2e9


def a_run(at: float, *, version: str = "v1", model: str = "fraud") -> Run:
    upload = Upload(f"training/{model}/may.csv", version, 10, at)
    return Run(run_id(upload), model, upload, "execution", started_at=at)


@pytest.fixture
def runs() -> Runs:
    return Runs(Store.open("memory://", environ={}))


def test_the_same_version_of_an_object_is_the_same_run_and_another_is_not() -> None:
    assert a_run(1e9).id == a_run(1e9).id
    assert a_run(1e9).id != a_run(1e9, version="v2").id
    assert a_run(1_800_000_000.7).id.startswith("20270115T080000Z-")


@pytest.mark.parametrize(
    "key", ["training/fraud.csv", "training/fraud/", "captures/fraud/a.csv", "training//a.csv", "training/Ö/a.csv"]
)
def test_what_is_no_training_data_has_no_model(key: str) -> None:
    with pytest.raises(NotFound, match="is no training data"):
        model_of(key)


def test_a_record_is_read_as_it_was_written(runs: Runs) -> None:
    run = replace(a_run(1e9), state="refused", problem={"step": "validate", "reason": "no", "advice": "mend"})
    etag = runs.create(run)
    assert runs.read("fraud", run.id) == (run, etag)
    assert run.is_over
    assert run.path("table.bin") == f"runs/fraud/{run.id}/table.bin"
    with pytest.raises(AlreadyExists):
        runs.create(run)


def test_of_two_writers_one_is_told_that_it_was_too_late(runs: Runs) -> None:
    run = a_run(1e9)
    etag = runs.create(run)
    written, _ = runs.replace(replace(run, state="running"), etag, now=7.0)
    assert (written.state, written.updated_at) == ("running", 7.0)
    with pytest.raises(Conflict):
        runs.replace(replace(run, state="failed"), etag, now=8.0)
    assert runs.read("fraud", run.id)[0].state == "running"


def test_the_newest_come_first_and_a_folder_without_a_record_is_none(runs: Runs) -> None:
    store = Store.open("memory://", environ={})
    runs = Runs(store)
    for at in (1e9, 3e9, 2e9):
        runs.create(a_run(at))
    store.put("runs/fraud/99991231T000000Z-0123456789ab/table.bin", b"")
    assert [run.upload.at for run in runs.newest("fraud", limit=4)] == [3e9, 2e9, 1e9]
    runs.create(a_run(1e9, model="churn"))
    assert sorted(runs.models()) == ["churn", "fraud"]


@pytest.mark.parametrize(("model", "run"), [("fraud", "../../x"), ("../fraud", "x"), ("fraud", "nothing")])
def test_what_is_not_there_or_outside_is_not_found(runs: Runs, model: str, run: str) -> None:
    with pytest.raises((NotFound, ValueError)):
        runs.read(model, run)


def looked_at(run: Run, ended: Status | None, *, meanwhile: Run | None = None) -> Run:
    """The run as it is shown when its execution is said to be so."""
    store = Store.open("memory://", environ={})

    def ask(execution: str) -> Status | None:
        assert execution == run.execution
        if meanwhile is not None:
            runs.replace(meanwhile, etag, now=NOW)
        return ended

    runs = Runs(store, ask=ask, clock=lambda: NOW)
    etag = runs.create(run)
    (listed,) = runs.newest("fraud", limit=1)
    if meanwhile is None:
        assert runs.seen("fraud", run.id) == listed
    return listed


def live(*, silent: float = 600.0, **fields: Any) -> Run:
    given: dict[str, Any] = {"execution": ARN, "state": "running", "step": "train"} | fields
    return replace(a_run(1e9), **given, updated_at=NOW - silent)


@pytest.mark.parametrize("name", ["FAILED", "TIMED_OUT", "ABORTED", "SUCCEEDED", GONE])
def test_a_run_whose_execution_ended_without_a_word_has_failed(name: str) -> None:
    found = looked_at(live(), Status(name, NOW - 300))
    assert found.state == "failed"
    assert found.problem is not None
    assert found.problem["reason"] == f"the pipeline ended without a word at step train ({name})"
    assert f"`lastmile run repeat {found.id}`" in found.problem["advice"]


@pytest.mark.parametrize(
    ("run", "ended"),
    [
        (live(), Status(RUNNING)),
        (live(), Status("FAILED", NOW - 5)),  # it is being put in order
        (live(silent=5), Status("FAILED", NOW - 300)),
        (live(), None),
        (live(silent=25 * 3600, state="waiting for approval"), None),
        (live(state="promoted"), Status("SUCCEEDED", NOW - 300)),
    ],
)
def test_a_run_that_may_still_speak_is_shown_as_it_is_written(run: Run, ended: Status | None) -> None:
    assert looked_at(run, ended) == run


def test_where_nobody_can_tell_a_day_of_silence_is_the_end() -> None:
    found = looked_at(live(silent=30 * 3600), None)
    assert found.state == "failed"
    assert found.problem is not None
    assert found.problem["reason"] == "nothing was heard of it for 30 hours after step train"


def test_the_last_word_counts_that_was_said_while_step_functions_was_asked() -> None:
    last = replace(live(), state="promoted", version=3)
    assert looked_at(live(), Status("SUCCEEDED", NOW - 40), meanwhile=last).state == "promoted"


def test_a_process_that_is_gone_is_not_waited_for() -> None:
    found = looked_at(live(execution=this_process().rpartition(":")[0] + ":1", silent=0.0), None)
    assert found.state == "failed"
    assert found.problem is not None
    assert "`lastmile train fraud <data> --here`" in found.problem["advice"]


def test_a_canary_that_nobody_looks_after_is_said_and_so_is_an_earlier_refusal() -> None:
    problem = {"step": "judge", "reason": "it errs more often", "advice": "Look."}
    found = looked_at(live(state="in canary", version=3, problem=problem), Status("FAILED", NOW - 300))
    assert found.problem is not None
    assert found.problem["step"] == "judge"
    assert found.problem["reason"].startswith("it errs more often; then the pipeline ended without a word")
    assert "version 3 keeps its share; `lastmile release rollback fraud` ends that" in found.problem["advice"]
