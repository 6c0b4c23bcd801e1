"""The endpoint of heavy models beside the local AWS: a process of its own, on a port that outlives it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

from cli import interrupts
from cli.emulator import HOST, Process, begin_as_guest, children, free_port, reap, waited_until
from cli.errors import CommandFailed

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
        return self.folder / "endpoint.log"

    @property
    def _record(self) -> Path:
        return self.folder / "endpoint.json"

    @property
    def _alive(self) -> Path:
        """Locked as long as the process lives."""
        return self.folder / "endpoint.alive"

    def running(self) -> Process | None:
        recorded = self._recorded()
        return recorded if recorded is not None and self._is_alive() else None

    @contextmanager
    def reserved(self) -> Iterator[Place]:
        """Its port, which nobody else can take until the end of the block."""
        recorded = self._recorded()
        if recorded is not None and self._is_alive():
            yield Place(recorded.port, False, None)
            return
        before = recorded.port if recorded else 0
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((HOST, free_port(before)))
            port = int(listener.getsockname()[1])
            self.folder.mkdir(parents=True, exist_ok=True)
            self._record.write_text(json.dumps(asdict(Process(0, port))))
            yield Place(port, port != before, listener)

    def start(self, environ: Mapping[str, str], place: Place) -> Process:
        """Return the one that is running, or start one with these settings, and wait until it answers."""
        process = self.running()
        if place.listener is None:
            if process is not None and waited_until(self._is_alive, ping(process), ANSWER_SECONDS):
                return process
            self.stop()
            raise CommandFailed("The endpoint of heavy models hung and was ended.", next_step="Run `make up` again.")
        with interrupts.held():
            child = self._spawn(place.listener.fileno(), environ)
            children[child.pid] = child
            process = Process(child.pid, place.port)
            self._record.write_text(json.dumps(asdict(process)))
        if not waited_until(lambda: child.poll() is None, ping(process), START_SECONDS):
            self.stop()
            raise CommandFailed("The endpoint of heavy models did not start.", next_step=f"Read {self.log}.")
        return process

    def stop(self) -> bool:
        """End the process; False when there was none. Its port stays its own."""
        process = self.running()
        if process is None or not process.pid:
            return False
        for by in (signal.SIGTERM, signal.SIGKILL):
            os.kill(process.pid, by)
            deadline = time.monotonic() + STOP_SECONDS
            while self._is_alive() and time.monotonic() < deadline:
                time.sleep(0.02)
            if not self._is_alive():
                break
        reap(process.pid)
        return True

    def _spawn(self, descriptor: int, environ: Mapping[str, str]) -> "subprocess.Popen[bytes]":
        # The folder says, to whoever lists processes, which local AWS this one belongs to.
        command = [sys.executable, "-m", "functions.inference.local_endpoint", str(descriptor), str(self.folder)]
        with self.log.open("wb") as log, self._alive.open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.checkout,
                env={
                    "PATH": os.environ.get("PATH", os.defpath),
                    "HOME": str(self.folder),
                    "LANG": "C.UTF-8",
                    "NO_PROXY": HOST,
                    "OPENBLAS_NUM_THREADS": "1",
                    "ORT_DISABLE_TELEMETRY": "1",
                    **environ,
                },
                pass_fds=(descriptor, alive.fileno()),  # the second keeps the lock until the process ends
                start_new_session=True,
                preexec_fn=begin_as_guest if self.guest else interrupts.accept,
            )

    def _recorded(self) -> Process | None:
        try:
            return Process(**json.loads(self._record.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _is_alive(self) -> bool:
        try:
            with self._alive.open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False


def ping(process: Process) -> str:
    return f"{process.url}/ping"
