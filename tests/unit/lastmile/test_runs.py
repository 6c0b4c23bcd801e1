"""Records of runs: named by the upload, found newest first, written by one at a time."""

from dataclasses import replace

import pytest

from lastmile.errors import NotFound
from lastmile.runs import Run, Runs, Upload, model_of, run_id
from lastmile.store import AlreadyExists, Conflict, Store


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
