"""The endpoint of heavy models beside the local AWS: a process of its own, on a port that outlives it."""

import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from cli import interrupts
from cli.emulator import HOST, Process, begin_as_guest, children, free_port, reap, waited_until
from cli.errors import CommandFailed

START_SECONDS = 60
STOP_SECONDS = 5
SETTING = "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME"  # where SDKs look for it, and our own client does


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

    def reserve(self) -> tuple[int, bool]:
        """The port that it has or will have, and whether that is another one than before."""
        recorded = self._recorded()
        if recorded is not None and self._is_alive():
            return recorded.port, False
        before = recorded.port if recorded else 0
        port = free_port(before)
        self.folder.mkdir(parents=True, exist_ok=True)
        self._record.write_text(json.dumps(asdict(Process(0, port))))
        return port, port != before

    def start(self, environ: Mapping[str, str]) -> Process:
        """Return the one that is running, or start one with these settings, and wait until it answers."""
        if (process := self.running()) is not None and waited_until(self._is_alive, ping(process), STOP_SECONDS):
            return process
        self.stop()
        port, _ = self.reserve()
        with socket.socket() as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                listener.bind((HOST, port))
            except OSError:
                raise CommandFailed(f"Port {port} was taken meanwhile.", next_step="Run `make up` again.") from None
            with interrupts.held():
                child = self._spawn(listener.fileno(), environ)
                children[child.pid] = child
                process = Process(child.pid, port)
                self._record.write_text(json.dumps(asdict(process)))
        if not waited_until(lambda: child.poll() is None, ping(process), START_SECONDS):
            self.stop()
            raise CommandFailed("The local endpoint did not start.", next_step=f"Read {self.log}.")
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
