"""One run of a model at a time: a lease that expires, moved by compare-and-swap, numbered so that old holders notice.

The same object remembers which upload was the newest to get a version, and the newest to be released.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import Any

import orjson

from lastmile.errors import LastmileError, NotFound, StoreUnavailable
from lastmile.runs import Run, Upload, folder
from lastmile.store import AlreadyExists, Conflict, Store

SECONDS = 1500.0  # longer than a step and all its waits between attempts
ATTEMPTS = 20


class LeaseLost(LastmileError):
    """Another run or execution has taken over; nothing more may be written for this one."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`fence` grows with every taking; `registered` and `released` are uploads by their key and time."""

    run: str | None = None
    execution: str | None = None
    fence: int = 0
    until: float = 0.0
    registered: dict[str, Any] | None = None
    released: dict[str, Any] | None = None


class Leases:
    def __init__(self, store: Store, *, clock: Callable[[], float], is_running: Callable[[str], bool | None]) -> None:
        self._store = store
        self._clock = clock
        self._is_running = is_running

    def read(self, model: str) -> Lease:
        return self._read(model)[0]

    def take(self, run: Run) -> Lease | None:
        """Hold the model for the run; None while another one does. Its holder may take it again."""

        def taken(lease: Lease) -> Lease | None:
            mine = (lease.run, lease.execution) == (run.id, run.execution)
            if not mine and self._is_held(lease):
                return None
            fence = lease.fence if mine else lease.fence + 1
            return replace(lease, run=run.id, execution=run.execution, fence=fence, until=self._clock() + SECONDS)

        return self._move(run.model, taken)

    def hold(
        self,
        run: Run,
        *,
        registered: Upload | None = None,
        released: Upload | None = None,
        seconds: float = SECONDS,
    ) -> None:
        """Prolong, and remember an upload if it is the newest; raises LeaseLost."""

        def held(lease: Lease) -> Lease:
            self._check(lease, run)
            return replace(
                lease,
                until=max(lease.until, self._clock() + seconds),
                registered=_newer(lease.registered, registered),
                released=_newer(lease.released, released),
            )

        self._move(run.model, held)

    def release(self, run: Run) -> None:
        """Let the next run go on; nothing happens when this one no longer holds the lease."""

        def free(lease: Lease) -> Lease | None:
            if (lease.run, lease.execution) != (run.id, run.execution):
                return None
            return replace(lease, run=None, execution=None, until=0.0)

        self._move(run.model, free)

    def _is_held(self, lease: Lease) -> bool:
        if lease.run is None or lease.execution is None or lease.until <= self._clock():
            return False
        return self._is_running(lease.execution) is not False

    def _check(self, lease: Lease, run: Run) -> None:
        if (lease.run, lease.execution) != (run.id, run.execution):
            raise LeaseLost(f"run {run.id} no longer holds model '{run.model}'")

    def _move(self, model: str, change: Callable[[Lease], Lease | None]) -> Lease | None:
        for _ in range(ATTEMPTS):
            lease, etag = self._read(model)
            moved = change(lease)
            if moved is None or moved == lease:
                return moved
            data = orjson.dumps(asdict(moved), option=orjson.OPT_SORT_KEYS)
            try:
                if etag is None:
                    self._store.create(_path(model), data)
                else:
                    self._store.replace(_path(model), data, etag)
            except (AlreadyExists, Conflict):
                continue
            return moved
        raise StoreUnavailable(f"the lease of model '{model}' is written by too many at once; try again")

    def _read(self, model: str) -> tuple[Lease, str | None]:
        try:
            stored = self._store.get(_path(model))
        except NotFound:
            return Lease(), None
        return Lease(**orjson.loads(stored.data)), stored.etag


def is_older(upload: Upload, mark: dict[str, Any] | None) -> bool:
    """Whether the upload was written before the one remembered; written in the same second, neither is older."""
    return mark is not None and upload.at < mark["at"]


def _newer(known: dict[str, Any] | None, upload: Upload | None) -> dict[str, Any] | None:
    if upload is None or is_older(upload, known):
        return known
    return {"key": upload.key, "version": upload.version, "at": upload.at}


def _path(model: str) -> str:
    return f"{folder(model)}/lease.json"
