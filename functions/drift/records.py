"""Small JSON objects that several may want to move at once: the first one wins."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from lastmile.errors import Damaged, NotFound, StoreUnavailable
from lastmile.store import AlreadyExists, Conflict, Store

ATTEMPTS = 10

type Document = dict[str, Any]
type Change = Callable[[Document | None], Document | None]


def read(store: Store, path: str) -> Document | None:
    """None when it is not there. Raises Damaged for what is no record."""
    try:
        return _parsed(store.get(path).data, path)
    except NotFound:
        return None


def move(store: Store, path: str, change: Change) -> Document | None:
    """Write what `change` makes of the object (of None when it is not there yet), unless that is None.

    Whoever is beaten to it decides again on what the other has written. Returns what was written.
    """
    for _ in range(ATTEMPTS):
        try:
            stored = store.get(path)
        except NotFound:
            stored = None
        after = change(None if stored is None else _parsed(stored.data, path))
        if after is None:
            return None
        with suppress(AlreadyExists, Conflict):
            if stored is None:
                store.create(path, encoded(after))
            else:
                store.replace(path, encoded(after), stored.etag)
            return after
    raise StoreUnavailable(f"{path} is written by too many at once; try again")


def _parsed(data: bytes, path: str) -> Document:
    """Nobody goes on from half a record, nor begins anew beside it: what it says of a cool-down would be lost."""
    try:
        document = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise Damaged(f"{path} is damaged, restore an earlier version of it: {error}") from None
    if not isinstance(document, dict):
        raise Damaged(f"{path} is damaged, restore an earlier version of it: it is no object")
    return document


def encoded(document: Document) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2)
