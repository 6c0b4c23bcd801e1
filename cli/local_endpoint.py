"""The endpoint of heavy models beside the local AWS: a process of its own, on a port that outlives it."""

import os
import signal
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from cli.errors import CommandFailed
from cli.local_process import HOST, LocalProcess, Process, free_port

START_SECONDS = 120
ANSWER_SECONDS = 30  # of one that is running already
STOP_SECONDS = 5
SETTING = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"  # where SDKs look for it, and our own client does


class Place(NamedTuple):
    """`is_new`: another port than before. Without `listener` there is a process on it already."""

    port: int
    is_new: bool
    listener: socket.socket | None


@dataclass(frozen=True)
class LocalEndpoint:
    """Everything it writes lies in `folder`. A guest ends with the thread that started it."""

    folder: Path
    checkout: Path
    guest: bool = False

    @property
    def log(self) -> Path:
        return self._process.log

    @property
    def _process(self) -> LocalProcess:
        return LocalProcess(self.folder, "endpoint", self.guest)

    def running(self) -> Process | None:
        return self._process.running()

    @contextmanager
    def reserved(self) -> Iterator[Place]:
        """Its port, which nobody else can take until the end of the block."""
        recorded = self._process.recorded()
        if recorded is not None and self._process.is_alive():
            yield Place(recorded.port, False, None)
            return
        before = recorded.port if recorded else 0
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, free_port(before)))
            port = int(listener.getsockname()[1])
            self._process.note(Process(0, port))
            yield Place(port, port != before, listener)

    def start(self, environ: Mapping[str, str], place: Place) -> Process:
        """Return the one that is running, or start one with these settings, and wait until it answers."""
        process = self.running()
        if place.listener is None:
            if process is not None and self._process.answers(ping(process), ANSWER_SECONDS):
                return process
            self.stop()
            raise CommandFailed("The endpoint of heavy models hung and was ended.", next_step="Run `make up` again.")
        process = self._begun(place.listener.fileno(), place.port, environ)
        if not self._process.answers(ping(process), START_SECONDS):
            self.stop()
            raise CommandFailed("The endpoint of heavy models did not start.", next_step=f"Read {self.log}.")
        return process

    def stop(self) -> bool:
        """End the process; False when there was none. Its port stays its own."""
        return self._process.end(signal.SIGTERM, seconds=STOP_SECONDS)

    def _begun(self, descriptor: int, port: int, environ: Mapping[str, str]) -> Process:
        # The folder says, to whoever lists processes, which local AWS this one belongs to.
        command = [sys.executable, "-m", "functions.inference.local_endpoint", str(descriptor), str(self.folder)]
        settings = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self.folder),
            "LANG": "C.UTF-8",
            "NO_PROXY": HOST,
            "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",
        }
        return self._process.start(
            command, environ={**settings, **environ}, cwd=self.checkout, port=port, descriptors=(descriptor,)
        )


def ping(process: Process) -> str:
    return f"{process.url}/ping"
