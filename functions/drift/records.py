"""Small JSON objects that several may want to move at once: the first one wins."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import orjson

from lastmile.errors import NotFound, StoreUnavailable
from lastmile.store import AlreadyExists, Conflict, Store

ATTEMPTS = 10

type Document = dict[str, Any]
type Change = Callable[[Document | None], Document | None]


def read(store: Store, path: str) -> Document | None:
    """None when it is not there."""
    try:
        document: Document = orjson.loads(store.get(path).data)
    except NotFound:
        return None
    return document


def move(store: Store, path: str, change: Change) -> Document | None:
    """Write what `change` makes of the object (of None when it is not there yet), unless that is None.

    Whoever is beaten to it decides again on what the other has written. Returns what was written.
    """
    for _ in range(ATTEMPTS):
        try:
            stored = store.get(path)
        except NotFound:
            stored = None
        after = change(None if stored is None else orjson.loads(stored.data))
        if after is None:
            return None
        with suppress(AlreadyExists, Conflict):
            if stored is None:
                store.create(path, encoded(after))
            else:
                store.replace(path, encoded(after), stored.etag)
            return after
    raise StoreUnavailable(f"{path} is written by too many at once; try again")


def encoded(document: Document) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_INDENT_2)
