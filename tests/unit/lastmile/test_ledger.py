"""Moving releases: races, crashes and lost answers."""

import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from lastmile.errors import ModelNotFound, NotFound, ReleaseConflict, StoreUnavailable, VersionNotFound
from lastmile.registry import Registry, Release
from lastmile.store import AlreadyExists, Conflict, Store, Stored

ROUNDS, SERVED_ROUNDS = 200, 60  # a server takes one request after the other, and a tenth of a second for a round

type Push = Callable[..., Any]
type Watch = Callable[[Store], Any]
type Race = Callable[[int, int, int], list[bool]]


def promotes(registry: Registry, version: int, revision: int | None = None, *, actor: str = "ann") -> bool:
    try:
        registry.promote("fraud", version, actor=actor, why="race", expected_revision=revision)
    except ReleaseConflict:
        return False
    return True


@pytest.fixture(params=["threads", "processes"])
def race(request: pytest.FixtureRequest, uri: str, registry: Registry, s3_environ: dict[str, str]) -> Iterator[Race]:
    """Two that promote one version each at the same time; whether each of them won."""
    if request.param == "threads":
        gate = Barrier(2)

        def promote(version: int, revision: int) -> bool:
            gate.wait()
            return promotes(registry, version, revision, actor=f"thread-{version}")

        with ThreadPoolExecutor(2) as pool:
            yield lambda first, second, revision: list(pool.map(promote, (first, second), (revision, revision)))
        return
    if uri.startswith("memory"):
        pytest.skip("a store in memory belongs to one process")
    with ExitStack() as stack:
        command = [sys.executable, str(Path(__file__).with_name("promoter.py")), uri]
        both = [
            stack.enter_context(
                subprocess.Popen(
                    command, env=os.environ | s3_environ, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        pipes = [(process.stdin, process.stdout) for process in both if process.stdin and process.stdout]
        assert [output.readline() for _, output in pipes] == ["ready\n"] * 2

        def promote_both(first: int, second: int, revision: int) -> list[bool]:
            for (orders, _), version in zip(pipes, (first, second), strict=True):
                orders.write(f"{version} {revision}\n")
                orders.flush()
            answers = [output.readline() for _, output in pipes]
            assert set(answers) <= {"won\n", "lost\n"}
            return [answer == "won\n" for answer in answers]

        yield promote_both
        for orders, _ in pipes:
            orders.close()


def test_of_two_promotions_at_once_exactly_one_wins_and_both_are_in_the_audit(
    registry: Registry, push: Push, race: Race, uri: str
) -> None:
    rounds = SERVED_ROUNDS if uri.startswith("s3") else ROUNDS
    for number in range(4):
        push(registry, b"%d" % number)
    champions: list[int | None] = [None]
    for number in range(rounds):
        pair = (1, 2) if number % 2 else (3, 4)
        won = race(*pair, number)
        assert sorted(won) == [False, True], f"round {number}"
        champions.append(pair[won.index(True)])
        release = registry.release("fraud")
        assert (release.revision, release.champion, release.previous) == (number + 1, champions[-1], champions[-2])
    entries = registry.audit("fraud", limit=10 * rounds)
    assert Counter((entry.action, entry.outcome) for entry in entries) == {
        ("create", "done"): 1,
        ("register", "done"): 4,
        ("promote", "done"): rounds,
        ("promote", "conflict"): rounds,
    }
    done = [entry.after.champion for entry in reversed(entries) if (entry.action, entry.outcome) == ("promote", "done")]
    assert done == champions[1:]
    assert registry.verify_audit("fraud") == []


def test_without_a_revision_two_promotions_one_after_the_other_both_count(registry: Registry, push: Push) -> None:
    push(registry, b"1")
    push(registry, b"2")
    assert promotes(registry, 1)
    assert promotes(registry, 2)
    assert registry.release("fraud").serving.previous == 1


def test_a_promotion_that_is_overtaken_between_reading_and_writing_loses(
    store: Store, push: Push, watched: Watch
) -> None:
    slow_store = watched(store)
    fast, slow = Registry(store), Registry(slow_store)
    push(fast, b"1")
    push(fast, b"2")
    overtaken: list[bool] = []

    def overtake(method: str, path: str) -> None:
        if method == "replace" and not overtaken:
            overtaken.append(promotes(fast, 1, actor="fast"))

    slow_store.before = overtake
    with pytest.raises(ReleaseConflict, match="is at revision 1, not 0: somebody else moved it, and its champion is 1"):
        slow.promote("fraud", 2, actor="slow", why="race")
    newest, before = fast.audit("fraud", limit=2)
    assert (newest.actor, newest.outcome, newest.version, newest.before) == ("slow", "conflict", 2, newest.after)
    assert (before.actor, before.outcome, before.version) == ("fast", "done", 1)
    assert fast.release("fraud").champion == 1
    assert fast.verify_audit("fraud") == []


def test_a_rejection_that_loses_a_race_rejects_nothing(store: Store, push: Push, watched: Watch) -> None:
    slow_store = watched(store)
    fast, slow = Registry(store), Registry(slow_store)
    push(fast, b"1")
    push(fast, b"2")
    overtaken: list[bool] = []

    def overtake(method: str, path: str) -> None:
        if method == "replace" and not overtaken:
            overtaken.append(promotes(fast, 1))

    slow_store.before = overtake
    with pytest.raises(ReleaseConflict, match="is at revision 1, not 0"):
        slow.reject("fraud", 2, actor="slow", why="race")
    assert fast.release("fraud").head.outcome == "conflict"
    assert fast.rejection("fraud", 2) is None
    assert promotes(fast, 2)
    assert fast.verify_audit("fraud") == []


def test_a_promotion_is_not_lost_to_a_push_or_to_the_record_of_a_lost_race(
    store: Store, push: Push, watched: Watch
) -> None:
    slow_store = watched(store)
    fast, slow = Registry(store), Registry(slow_store)
    push(fast, b"1")
    push(fast, b"2")
    between: list[Callable[[], object]] = [lambda: push(fast, b"3"), lambda: promotes(fast, 2, revision=77)]

    def interrupt(method: str, path: str) -> None:
        if method == "replace" and between:
            between.pop()()

    slow_store.before = interrupt
    slow.promote("fraud", 1, actor="slow", why="no race at all", expected_revision=0)
    actions = [(entry.action, entry.outcome) for entry in fast.audit("fraud", limit=3)]
    assert actions == [("promote", "done"), ("register", "done"), ("promote", "conflict")]
    assert fast.verify_audit("fraud") == []


def test_an_expected_revision_that_has_passed_is_a_recorded_conflict(registry: Registry, push: Push) -> None:
    push(registry)
    moves: list[Callable[[], Release]] = [
        lambda: registry.promote("fraud", 1, actor="ann", why="w", expected_revision=5),
        lambda: registry.canary("fraud", 1, weight=0.5, actor="ann", why="w", expected_revision=5),
        lambda: registry.shadow("fraud", 1, actor="ann", why="w", expected_revision=5),
        lambda: registry.rollback("fraud", actor="ann", why="w", expected_revision=5),
    ]
    for move in moves:
        with pytest.raises(ReleaseConflict, match="is at revision 0, not 5"):
            move()
    recorded = [(entry.action, entry.outcome) for entry in registry.audit("fraud", limit=4)]
    assert recorded == [(name, "conflict") for name in ("rollback", "shadow", "canary", "promote")]
    assert registry.release("fraud").revision == 0


def calls_of(store: Store, act: Callable[[Registry], object], watched: Watch) -> int:
    counting = watched(store)
    act(Registry(counting))
    return len(counting.calls)


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize(
    "act",
    [
        lambda registry: registry.promote("fraud", 2, actor="ann", why="w"),
        lambda registry: registry.canary("fraud", 3, weight=0.5, actor="ann", why="w"),
        lambda registry: registry.shadow("fraud", 3, actor="ann", why="w"),
        lambda registry: registry.rollback("fraud", actor="ann", why="w"),
        lambda registry: registry.reject("fraud", 3, actor="ann", why="w"),
    ],
    ids=["promote", "canary", "shadow", "rollback", "reject"],
)
def test_a_move_killed_at_any_call_is_done_and_recorded_or_not_done_at_all(
    push: Push,
    watched: Watch,
    killed: type[Exception],
    act: Callable[[Registry], object],
    after_effect: bool,
) -> None:
    def fresh() -> Store:
        store = Store.open("memory://", environ={})
        registry = Registry(store)
        for number in range(3):
            push(registry, b"%d" % number)
        registry.promote("fraud", 2, actor="ann", why="w")
        registry.promote("fraud", 1, actor="ann", why="w")
        return store

    for number in range(1, calls_of(fresh(), act, watched) + 1):
        store = fresh()
        dying = watched(store)
        dying.kill_at, dying.kill_after_effect = number, after_effect
        before = Registry(store).release("fraud")
        with pytest.raises(killed):
            act(Registry(dying))
        registry = Registry(store)
        after = registry.release("fraud")
        assert registry.verify_audit("fraud") == []
        if after.revision == before.revision:
            assert after == before
            act(registry)  # it can be repeated
        assert registry.release("fraud").revision == before.revision + 1
        newest = registry.audit("fraud", limit=1)[0]
        assert (newest.outcome, newest.to_revision) == ("done", before.revision + 1)
        registry.canary("fraud", None, weight=0, actor="bob", why="the next one repairs what is missing")
        push(registry, b"next")
        assert store.exists(newest.key)
        if newest.action == "reject":
            assert store.exists("models/fraud/versions/3/rejected.json")
        assert registry.verify_audit("fraud") == []


@pytest.mark.parametrize("version", [2, 10**30])
def test_a_version_that_is_not_there_is_said_also_where_the_revision_has_passed(push: Push, version: int) -> None:
    registry = Registry(Store.open("memory://", environ={}))
    push(registry)
    registry.promote("fraud", 1, actor="ann", why="w")
    before = registry.audit("fraud")
    with pytest.raises(VersionNotFound):
        registry.promote("fraud", version, actor="ann", why="w", expected_revision=0)
    assert registry.audit("fraud") == before


def test_a_rejection_counts_before_its_mark_is_written(push: Push, watched: Watch, killed: type[Exception]) -> None:
    store = Store.open("memory://", environ={})
    push(Registry(store))
    dying = watched(store)

    def kill(method: str, path: str) -> None:
        if method == "create" and path.endswith("rejected.json"):
            raise killed

    dying.before = kill
    with pytest.raises(killed):
        Registry(dying).reject("fraud", 1, actor="ann", why="biased")
    registry = Registry(store)
    assert not store.exists("models/fraud/versions/1/rejected.json")
    found = registry.rejection("fraud", 1)
    assert found is not None
    assert found["why"] == "biased"


class LosingStore:
    """The answer to the first write of a release is lost: it was carried out, and whoever wrote it is told not. `then`
    is what the next who reads is told."""

    def __init__(
        self, inner: Store, error: Exception, *, carried_out: bool = True, then: Exception | None = None
    ) -> None:
        self.inner = inner
        self.error: Exception | None = error
        self.carried_out = carried_out
        self.then = then

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)

    def get(self, path: str) -> Stored:
        if self.error is None and self.then is not None:
            error, self.then = self.then, None
            raise error
        return self.inner.get(path)

    def replace(self, path: str, data: bytes, etag: str) -> str:
        if self.error is None:
            return self.inner.replace(path, data, etag)
        error, self.error = self.error, None
        if self.carried_out:
            self.inner.replace(path, data, etag)
        raise error


@pytest.mark.parametrize("error", [Conflict("sent twice"), StoreUnavailable("timed out")], ids=["conflict", "timeout"])
def test_a_write_whose_answer_is_lost_still_counts(push: Push, error: Exception) -> None:
    store = Store.open("memory://", environ={})
    push(Registry(store))
    losing: Any = LosingStore(store, error)
    release = Registry(losing).promote("fraud", 1, actor="ann", why="w")
    assert (release.champion, release.revision) == (1, 1)
    assert [entry.outcome for entry in Registry(store).audit("fraud", limit=1)] == ["done"]
    assert Registry(store).verify_audit("fraud") == []


@pytest.mark.parametrize("order", ["record", "promote"])
def test_an_order_of_which_nobody_can_tell_is_not_given_again(push: Push, order: str) -> None:
    store = Store.open("memory://", environ={})
    push(Registry(store))
    registry = Registry(LosingStore(store, Conflict("sent twice"), then=StoreUnavailable("no answer")))  # type: ignore[arg-type]
    with pytest.raises(StoreUnavailable, match="no answer"):
        if order == "record":
            registry.record("fraud", "approve", 1, actor="ann", why="w")
        else:
            registry.promote("fraud", 1, actor="ann", why="w")
    newest, before, _ = Registry(store).audit("fraud")
    assert (newest.why, newest.outcome, before.action) == ("w", "done", "register")


def test_a_write_that_was_not_carried_out_is_reported(push: Push) -> None:
    store = Store.open("memory://", environ={})
    push(Registry(store))
    losing: Any = LosingStore(store, StoreUnavailable("timed out"), carried_out=False)
    with pytest.raises(StoreUnavailable, match="timed out"):
        Registry(losing).promote("fraud", 1, actor="ann", why="w")
    assert Registry(store).release("fraud").champion is None


def test_a_move_is_done_even_if_its_entry_cannot_be_written_on_its_own(push: Push, watched: Watch) -> None:
    store = Store.open("memory://", environ={})
    push(Registry(store))
    failing = watched(store)
    moved = []

    def fail(method: str, path: str) -> None:
        if method == "replace":
            moved.append(path)
        if moved and method == "create":
            raise StoreUnavailable("gone")

    failing.before = fail
    assert Registry(failing).promote("fraud", 1, actor="ann", why="w").champion == 1
    assert Registry(store).verify_audit("fraud") == []
    Registry(store).shadow("fraud", None, actor="ann", why="w")
    assert store.exists(Registry(store).release("fraud").head.key)


def test_a_store_that_is_written_by_too_many_says_so(push: Push, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lastmile.ledger.LONGEST_WAIT", 0)
    store = Store.open("memory://", environ={})
    push(Registry(store))

    class Busy:
        def __getattr__(self, name: str) -> Any:
            return getattr(store, name)

        def replace(self, path: str, data: bytes, etag: str) -> str:
            raise Conflict(path)

    busy: Any = Busy()
    with pytest.raises(StoreUnavailable, match="by too many at once"):
        Registry(busy).promote("fraud", 1, actor="ann", why="w")


def test_two_that_create_a_model_at_once_both_find_it(store: Store, push: Push) -> None:
    registry = Registry(store)
    with ThreadPoolExecutor(4) as pool:
        versions = list(pool.map(lambda number: push(registry, b"%d" % number).version, range(4)))
    assert sorted(versions) == [1, 2, 3, 4]
    assert Counter(entry.action for entry in registry.audit("fraud")) == {"create": 1, "register": 4}
    assert registry.verify_audit("fraud") == []


def test_a_model_without_a_release_is_not_found(registry: Registry) -> None:
    with pytest.raises(ModelNotFound, match="model 'fraud' does not exist"):
        registry.promote("fraud", 1, actor="ann", why="w")
    with pytest.raises(NotFound):
        registry.release_if_changed("fraud", '"etag"')


def test_entries_are_read_in_pages(registry: Registry, push: Push) -> None:
    for number in range(5):
        push(registry, b"%d" % number)
    whole = registry.audit("fraud")
    first = registry.audit("fraud", limit=2)
    second = registry.audit("fraud", limit=2, before=first[-1].id)
    rest = registry.audit("fraud", before=second[-1].id)
    assert first + second + rest == whole
    assert registry.audit("fraud", before=whole[-1].id) == []


def test_an_entry_of_another_model_or_of_nothing_starts_no_page(registry: Registry, push: Push) -> None:
    push(registry, name="fraud")
    push(registry, name="other")
    other = registry.audit("other")[-1].id
    for unknown in (other, "01ARZ3NDEKTSV4RRFFQ69G5FAV", "../../secret", ""):
        with pytest.raises(NotFound, match="has no audit entry"):
            registry.audit("fraud", before=unknown)


def test_existing_entries_are_never_written_over(store: Store, push: Push) -> None:
    registry = Registry(store)
    push(registry)
    head = registry.release("fraud").head
    with pytest.raises(AlreadyExists):
        store.create(head.key, b"other")
