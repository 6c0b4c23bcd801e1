"""What every door of the inference function opens: store, registry, predictor, protocols."""

import os
from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from pybase64 import b64encode  # 15 times as fast as the standard library's

from functions.inference.cors import Cors
from lastmile.capture import Capture
from lastmile.following import Spawn, call_now
from lastmile.model import threads_for
from lastmile.predictor import Predictor, Record
from lastmile.protocols.routes import Protocols
from lastmile.registry import Registry
from lastmile.settings import Settings
from lastmile.store import Store

if TYPE_CHECKING:
    from lastmile.heavy.opening import Heavy

CACHE_SHARE = 0.5  # of Lambda's memory goes to sessions; the interpreter and the libraries need the rest
SERVER_CACHE_BYTES = 4 << 30
ENVIRONMENT: Mapping[bytes, bytes] = os.environ._data  # type: ignore[attr-defined]  # what is behind it, in a tenth of the time


def recorder(settings: Settings) -> Record | None:
    is_lambda = settings.memory_mb is not None
    record = Capture(encode=b64encode, trace=trace if is_lambda else None) if settings.capture else None
    daemon = ENVIRONMENT.get(b"AWS_XRAY_DAEMON_ADDRESS")
    if not is_lambda or daemon is None:
        return record
    from functions.inference.segments import Segments

    return Segments(daemon.decode(), ENVIRONMENT, record)


def trace() -> bytes | None:
    """The root of this call's X-Ray trace, which Lambda puts into the environment anew for each call."""
    found = ENVIRONMENT.get(b"_X_AMZN_TRACE_ID", b"")
    root = found[5:40]
    return root if found.startswith(b"Root=") and root.replace(b"-", b"").isalnum() else None


def heavy(settings: Settings, environ: Mapping[str, str]) -> "Heavy":
    from lastmile.heavy.opening import Heavy  # only who serves a version with a heavy side pays for it

    return Heavy(environ, stage=settings.stage, data=settings.data)


class Capacity(NamedTuple):
    """Threads of one session, whether they spin, and bytes of all sessions together."""

    threads: int
    cache_bytes: int
    spinning: bool = False

    @classmethod
    def of_function(cls, memory_mb: int | None) -> "Capacity":
        cache_bytes = SERVER_CACHE_BYTES if memory_mb is None else int(memory_mb * CACHE_SHARE) << 20
        return cls(threads_for(memory_mb), cache_bytes, spinning=memory_mb is not None)


class Serving(NamedTuple):
    settings: Settings
    store: Store
    predictor: Predictor
    protocols: Protocols
    cors: Cors | None

    @classmethod
    def open(
        cls,
        settings: Settings,
        environ: Mapping[str, str],
        *,
        capacity: Capacity | None = None,
        record: Record | None = None,
        spawn: Spawn = call_now,
        spawn_shadow: Spawn | None = None,
    ) -> "Serving":
        """`capacity` takes the place of what Lambda gives, `record` of the capture that the settings ask for."""
        store = Store.open(settings.artifacts, environ=environ)
        capacity = capacity or Capacity.of_function(settings.memory_mb)
        predictor = Predictor(
            Registry(store),
            threads=capacity.threads,
            spinning=capacity.spinning,
            release_seconds=settings.release_seconds,
            cache_bytes=capacity.cache_bytes,
            capture=record or recorder(settings),
            spawn=spawn,
            spawn_shadow=spawn_shadow,
            heavy=partial(heavy, settings, environ),
        )
        cors = Cors(settings.cors_origins) if settings.cors_origins else None
        return cls(settings, store, predictor, Protocols(predictor, default_model=settings.default_model), cors)

    def warm_up(self) -> None:
        """Before a snapshot: load every champion and run it once, so that a restored copy answers at once."""
        self.predictor.preload()

    def wake(self) -> None:
        """After a restore: connections are dead, time has passed, releases may have moved."""
        self.store.reconnect()
        self.predictor.reconnect()
