from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from functions.drift.records import Document, move, read
from lastmile.errors import Damaged, StoreUnavailable
from lastmile.store import Store

PATH = "reports/fraud/drift/state.json"


def one_more(document: Document | None) -> Document:
    return {"count": 1 + (document["count"] if document else 0)}


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store.open(tmp_path.as_uri(), environ={})


def test_what_is_not_there_is_none(store: Store) -> None:
    assert read(store, PATH) is None


@pytest.mark.parametrize("data", [b"", b"[1]", b'{"count"'])
def test_what_is_no_record_is_named_and_stays(store: Store, data: bytes) -> None:
    store.put(PATH, data)
    with pytest.raises(Damaged, match=f"{PATH} is damaged, restore an earlier version"):
        read(store, PATH)
    with pytest.raises(Damaged, match=f"{PATH} is damaged"):
        move(store, PATH, one_more)
    assert store.get(PATH).data == data


def test_a_record_begins_and_moves_on(store: Store) -> None:
    assert move(store, PATH, one_more) == {"count": 1}
    assert move(store, PATH, one_more) == {"count": 2}
    assert read(store, PATH) == {"count": 2}


def test_a_change_may_decide_to_leave_it(store: Store) -> None:
    move(store, PATH, one_more)
    assert move(store, PATH, lambda document: None) is None
    assert read(store, PATH) == {"count": 1}


def test_no_move_of_many_at_once_is_lost(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: move(store, PATH, one_more), range(8)))
    assert read(store, PATH) == {"count": 8}


def test_of_many_who_want_the_same_step_one_takes_it(store: Store) -> None:
    with ThreadPoolExecutor(4) as pool:
        won = list(pool.map(lambda _: move(store, PATH, lambda found: None if found else {"count": 1}), range(8)))
    assert sorted(map(bool, won)) == [False] * 7 + [True]


def test_a_record_that_others_keep_moving_is_given_up(store: Store) -> None:
    def raced(document: Document | None) -> Document:
        store.put(PATH, b'{"count": %d}' % ((document or {"count": 0})["count"] + 1))
        return {"count": 0}

    with pytest.raises(StoreUnavailable, match="written by too many at once"):
        move(store, PATH, raced)
