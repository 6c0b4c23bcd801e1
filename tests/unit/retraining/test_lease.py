"""A lease: one holder, an end, and the memory of the newest uploads."""

import pytest

from functions.retraining.lease import SECONDS, Lease, LeaseLost, Leases, is_older
from lastmile.runs import Run, Upload
from lastmile.store import AlreadyExists, Conflict, Store, Stored
from tests.unit.retraining.pipelines import Clock, Known


def run(name: str, *, execution: str = "", at: float = 0.0) -> Run:
    return Run(name, "fraud", Upload(f"training/fraud/{name}.csv", "v", 1, at), execution or f"{name}'s")


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def known() -> Known:
    return Known()


@pytest.fixture
def leases(clock: Clock, known: Known) -> Leases:
    return Leases(Store.open("memory://", environ={}), clock=clock, is_running=known.is_running)


def test_a_model_is_held_by_one_run_until_it_is_released(leases: Leases) -> None:
    assert leases.take(run("one")) is not None
    assert leases.take(run("two")) is None
    leases.release(run("two"))  # which does not hold it
    assert leases.take(run("two")) is None
    leases.release(run("one"))
    assert leases.read("fraud").run is None
    assert leases.take(run("two")) is not None


def test_its_holder_may_take_it_again_and_keeps_its_number(leases: Leases) -> None:
    first, again = leases.take(run("one")), leases.take(run("one"))
    assert first is not None
    assert again is not None
    assert first.fence == again.fence == 1


def test_whoever_takes_over_gets_a_higher_number_and_the_old_holder_notices(leases: Leases, known: Known) -> None:
    leases.take(run("one"))
    known.ended.add("one's")
    taken = leases.take(run("two"))
    assert taken is not None
    assert taken.fence == 2
    with pytest.raises(LeaseLost, match="run one no longer holds model 'fraud'"):
        leases.hold(run("one"))
    leases.hold(run("two"))


def test_another_execution_of_the_same_run_is_another_holder(leases: Leases, known: Known) -> None:
    leases.take(run("one"))
    assert leases.take(run("one", execution="another")) is None
    known.ended.add("one's")
    assert leases.take(run("one", execution="another")) is not None


def test_a_lease_ends_by_itself_unless_it_is_prolonged(leases: Leases, clock: Clock) -> None:
    leases.take(run("one"))
    clock.now += SECONDS - 1
    leases.hold(run("one"))
    clock.now += SECONDS - 1
    assert leases.take(run("two")) is None
    clock.now += 1
    assert leases.take(run("two")) is not None


def test_the_newest_uploads_are_remembered_and_older_ones_change_nothing(leases: Leases) -> None:
    newer, older = run("new", at=200.0), run("old", at=100.0)
    leases.take(newer)
    leases.hold(newer, registered=newer.upload, released=newer.upload)
    leases.release(newer)
    leases.take(older)
    leases.hold(older, registered=older.upload)
    lease = leases.read("fraud")
    assert lease.registered == lease.released == {"key": newer.upload.key, "version": "v", "at": 200.0}
    assert is_older(older.upload, lease.registered)
    assert not is_older(newer.upload, lease.registered)
    assert not is_older(older.upload, None)


class Crowded(Store):
    """Another one was faster, the first few times."""

    def __init__(self, inner: Store, times: int) -> None:
        self.inner = inner
        self.times = times

    def get(self, path: str) -> Stored:
        return self.inner.get(path)

    def create(self, path: str, data: bytes) -> str:
        if self.times:
            self.times -= 1
            raise AlreadyExists(path)
        return self.inner.create(path, data)

    def replace(self, path: str, data: bytes, etag: str) -> str:
        if self.times:
            self.times -= 1
            raise Conflict(path)
        return self.inner.replace(path, data, etag)


def test_whoever_was_slower_looks_again(clock: Clock, known: Known) -> None:
    store = Crowded(Store.open("memory://", environ={}), 3)
    leases = Leases(store, clock=clock, is_running=known.is_running)
    assert leases.take(run("one")) is not None
    store.times = 3
    leases.hold(run("one"), registered=run("one", at=5.0).upload)
    assert leases.read("fraud").registered is not None


def test_nobody_holds_what_nobody_took(leases: Leases) -> None:
    assert leases.read("fraud") == Lease()
    with pytest.raises(LeaseLost):
        leases.hold(run("one"))
    leases.release(run("one"))
