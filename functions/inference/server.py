"""Where a container starts: `python -m functions.inference.server [serve]`, settings from the environment."""

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from pybase64 import b64encode

from functions.inference.background import Background
from functions.inference.captures import Captures
from functions.inference.connection import Connection
from functions.inference.container import capacity
from functions.inference.listening import Listening
from functions.inference.metrics import MULTIPROCESS_FOLDER, Metrics
from functions.inference.server_door import ServerDoor
from functions.inference.serving import Serving
from lastmile.capture import Capture
from lastmile.errors import LastmileError
from lastmile.settings import Settings
from lastmile.store import Store

KEEP_ALIVE_SECONDS = 75  # longer than the 60 s of common load balancers, which must be the ones to close
GRACE_SECONDS = 25
SILENCE_SECONDS = 30  # after which a worker is ended and another takes its place; it says nothing while it imports


def application() -> ServerDoor:
    """What each worker runs."""
    settings, listening = Settings.from_env(os.environ), Listening.from_env(os.environ)
    captures = None
    if settings.capture and settings.data is not None:
        captures = Captures.open(settings.artifacts, settings.data, os.environ)
    metrics, background = Metrics(), Background(captures)
    serving = Serving.open(
        settings,
        os.environ,
        capacity=capacity(workers=listening.workers),
        record=metrics.recording(Capture(background.lines, b64encode) if settings.capture else None),
        spawn=background.refresh,
        spawn_shadow=background.shadow,
    )
    return ServerDoor(serving, metrics=metrics, background=background)


def main(arguments: list[str]) -> int:
    """SageMaker starts its containers with the argument `serve`; it means what no argument means."""
    if arguments not in ([], ["serve"]):
        sys.stderr.write(f"lastmile: unknown arguments: {' '.join(arguments)}; there is only serve\n")
        return 2
    try:
        settings = Settings.from_env(os.environ)
        listening = Listening.from_env(os.environ)
        for uri in filter(None, (settings.artifacts, settings.data)):
            Store.open(uri, environ=os.environ)
    except LastmileError as error:
        sys.stderr.write(f"lastmile: {error}\n")
        return 2
    with _shared_metrics(listening.workers):
        uvicorn.run(
            "functions.inference.server:application",
            factory=True,
            host=listening.host,
            port=listening.port,
            workers=listening.workers,
            loop="uvloop",
            http=Connection,
            ws="none",
            lifespan="on",
            access_log=False,
            proxy_headers=False,  # nothing here asks who the client is
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE_SECONDS,
            timeout_graceful_shutdown=GRACE_SECONDS,
            timeout_worker_healthcheck=SILENCE_SECONDS,
        )
    return 0


@contextmanager
def _shared_metrics(workers: int) -> Iterator[None]:
    """Several workers add up their metrics through files; one alone needs no folder to write to."""
    if workers == 1:
        yield
        return
    with tempfile.TemporaryDirectory(prefix="lastmile-metrics-") as folder:
        os.environ.setdefault(MULTIPROCESS_FOLDER, folder)
        yield


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
