"""Feedback as objects: written once per content, read back by the day of the prediction."""

from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import timedelta

import orjson

from lastmile.errors import NotFound
from lastmile.feedback.record import Feedback, day, folder, from_bytes
from lastmile.store import AlreadyExists, Store
from lastmile.ulid import ulid_milliseconds

MOST_AT_ONCE = 500  # labels of one request
OBJECTS_AT_ONCE = 32


def write(store: Store, feedback: Iterable[Feedback]) -> int:
    """How many of them were new; what is there already stays as it is."""
    return sum(at_once(lambda one: _create(store, one), feedback))


def read(store: Store, model: str, since: float, until: float) -> list[Feedback]:
    """All feedback on predictions made from `since` to before `until`, in no promised order.

    Objects that are no feedback are left out: nobody but a stranger to this module can have put them there.
    """
    days = (day(since) + timedelta(days=n) for n in range((day(until) - day(since)).days + 1))
    paths = [path for of in days for path in store.list(folder(model, of)) if _within(path, since * 1e3, until * 1e3)]
    found = at_once(lambda path: _read(store, path), paths)
    return [one for one in found if one is not None and one.model == model]


def _read(store: Store, path: str) -> Feedback | None:
    with suppress(NotFound):  # removed since it was listed
        return from_bytes(store.get(path).data)
    return None


def _create(store: Store, feedback: Feedback) -> bool:
    with suppress(AlreadyExists):
        store.create(feedback.path, orjson.dumps(asdict(feedback), option=orjson.OPT_SORT_KEYS))
        return True
    return False


def _within(path: str, since: float, until: float) -> bool:
    try:
        return since <= ulid_milliseconds(path.rpartition("/")[2][:26]) < until
    except ValueError:
        return False


def at_once[A, B](act: Callable[[A], B], items: Iterable[A]) -> list[B]:
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that the prediction path need not spend

    with ThreadPoolExecutor(OBJECTS_AT_ONCE) as pool:
        return list(pool.map(act, items))
