"""The local AWS: MiniStack as a process of its own on free loopback ports, found again later and stopped whole."""

import ctypes
import fcntl
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from cli import interrupts
from cli.errors import CommandFailed

HOST = "127.0.0.1"  # an IP address, so that SDKs use path-style S3
REGION = "us-east-1"
ROOT_KEY = "test"  # MiniStack's own root caller, id and secret alike
START_SECONDS = 60
ANSWER_SECONDS = 10  # of one that is running already
HEALTH_SECONDS = 5  # one question, and then the next
STOP_SECONDS = 20
ATTEMPTS = 5
PR_SET_PDEATHSIG = 1  # linux/prctl.h

children: "dict[int, subprocess.Popen[bytes]]" = {}  # started by this very process, to be waited for


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1, as PEM files."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Process:
    pid: int
    port: int
    tls_port: int | None = None

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.tls_port}" if self.tls_port else f"http://{HOST}:{self.port}"

    @property
    def health_url(self) -> str:
        return f"http://{HOST}:{self.port}/_ministack/health"


@dataclass(frozen=True)
class Emulator:
    """Everything it writes lies in `folder`. With a certificate it enforces IAM, as AWS does.

    A guest ends with the thread that started it, even when that is killed; tests are such hosts. `environ` is what the
    handlers find in their environment besides.
    """

    folder: Path
    certificate: Certificate | None = None
    guest: bool = False
    environ: Mapping[str, str] = MappingProxyType({})

    @property
    def log(self) -> Path:
        return self.folder / "emulator.log"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def _record(self) -> Path:
        return self.folder / "emulator.json"

    @property
    def _alive(self) -> Path:
        """Locked as long as the process lives, whatever happened to whoever started it."""
        return self.folder / "emulator.alive"

    def running(self) -> Process | None:
        """The process that serves this folder, if there is one."""
        recorded = self._recorded()
        return recorded if recorded is not None and self._is_alive() else None

    def start(self, python: Path) -> Process:
        """Return the process that is running already, or start one with this interpreter and wait until it answers."""
        if (process := self.running()) is not None and waited_until(self._is_alive, process.health_url, ANSWER_SECONDS):
            return process
        self.kill()  # one that hangs, or the handlers of one that crashed
        if self._saved_at() is None:
            # Objects are written as they come, all else at the end: without it, buckets would be there that
            # no stack knows of, and no stack could be created.
            shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True, exist_ok=True)
        previous = self._recorded()
        for attempt in range(ATTEMPTS):
            port = free_port(previous.port if previous and attempt == 0 else 0)
            tls_port = free_port() if self.certificate else None
            if (started := self._launch(python, port, tls_port)) is not None:
                return started
        raise CommandFailed(
            f"The local AWS did not start: {self._last_words()}",
            next_step=f"Read {self.log}, then run `make up` again.",
        )

    def stop(self) -> bool:
        """End the process, which writes its state first, and every handler it started; False when there was none."""
        return self._end(signal.SIGTERM)

    def save(self, python: Path) -> Process:
        """Have it write its state, which it does only when it ends: from here on a crash loses nothing but logs."""
        before = self._saved_at()
        self.stop()
        if self._saved_at() in (None, before):
            raise CommandFailed("The local AWS did not save its state.", next_step=f"Read the end of {self.log}.")
        return self.start(python)

    def kill(self) -> bool:
        """End it at once, back to the state it saved last; objects stay as they are."""
        return self._end(signal.SIGKILL)

    def erase(self) -> None:
        self.kill()
        shutil.rmtree(self.state, ignore_errors=True)

    def _end(self, by: signal.Signals) -> bool:
        recorded = self._recorded()
        if recorded is None:
            return False
        alive = self._is_alive()
        if alive:
            os.killpg(recorded.pid, by)  # the handlers too: it waits for connections of theirs to close
            if not self._waited_for_end():
                os.kill(recorded.pid, signal.SIGKILL)
                self._waited_for_end()
        reap(recorded.pid)
        # Handlers are in its process group. A process with the leader's own id is somebody else's by now.
        if not exists(recorded.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(recorded.pid, signal.SIGKILL)
        shutil.rmtree(self.folder / "tmp", ignore_errors=True)
        return alive

    def _launch(self, python: Path, port: int, tls_port: int | None) -> Process | None:
        """None when the process ended before it answered: the port was taken in between, or it cannot run at all."""
        temporary = self.folder / "tmp"
        temporary.mkdir(exist_ok=True)
        command = [str(python), "-m", "hypercorn", "--workers", "0", "--keep-alive", "75"]
        if self.certificate and tls_port:
            command += ["--certfile", str(self.certificate.certificate), "--keyfile", str(self.certificate.key)]
            command += ["--bind", f"{HOST}:{tls_port}", "--insecure-bind", f"{HOST}:{port}"]
        else:
            command += ["--bind", f"{HOST}:{port}"]
        try:
            with interrupts.held():
                child = self._spawn([*command, "ministack.app:app"], self._environ(port, tls_port, temporary))
                children[child.pid] = child
                process = Process(child.pid, port, tls_port)
                self._record.write_text(json.dumps(asdict(process)))
            answered = waited_until(lambda: child.poll() is None, process.health_url, START_SECONDS)
        except BaseException:
            self.kill()
            raise
        if not answered:
            self.kill()
        return process if answered else None

    def _spawn(self, command: list[str], environ: dict[str, str]) -> "subprocess.Popen[bytes]":
        with self.log.open("wb") as log, self._alive.open("w") as alive:
            fcntl.flock(alive, fcntl.LOCK_EX)
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=environ,
                pass_fds=(alive.fileno(),),  # keeps the lock until the process ends
                start_new_session=True,
                preexec_fn=begin_as_guest if self.guest else interrupts.accept,
            )

    def _environ(self, port: int, tls_port: int | None, temporary: Path) -> dict[str, str]:
        """Nothing of the user's own environment reaches the handlers, as in Lambda."""
        settings = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(temporary),
            "TMPDIR": str(temporary),
            "LANG": "C.UTF-8",
            "AWS_ACCESS_KEY_ID": ROOT_KEY,
            "AWS_SECRET_ACCESS_KEY": ROOT_KEY,
            "GATEWAY_PORT": str(port),
            "MINISTACK_HOST": HOST,
            "MINISTACK_REGION": REGION,
            "PERSIST_STATE": "1",
            "STATE_DIR": str(self.state),
            "S3_PERSIST": "1",
            "S3_DATA_DIR": str(self.state / "s3"),
            "LAMBDA_EXECUTOR": "local",
            "LAMBDA_WARM_TTL_SECONDS": "86400",  # an idle handler stays warm for the working day
            "IOT_MTLS_ENABLED": "0",  # no ports but ours
            "SFTP_ENABLED": "0",
            "DOCKER_HOST": f"unix://{temporary}/no-docker",
        }
        if self.certificate:
            certificate = str(self.certificate.certificate)
            settings |= {
                "AUTH": "true",
                # Read by the SDKs in the handlers; MiniStack names itself http there.
                "AWS_ENDPOINT_URL": f"https://{HOST}:{tls_port}",
                "AWS_CA_BUNDLE": certificate,
                "SSL_CERT_FILE": certificate,
            }
        return settings | dict(self.environ)

    def _recorded(self) -> Process | None:
        try:
            return Process(**json.loads(self._record.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def _saved_at(self) -> int | None:
        """When it last wrote what it knows of stacks."""
        try:
            return (self.state / "cloudformation.json").stat().st_mtime_ns
        except FileNotFoundError:
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

    def _waited_for_end(self) -> bool:
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            if not self._is_alive():
                return True
            time.sleep(0.05)
        return False

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")


def waited_until(is_alive: Callable[[], bool], url: str, seconds: float) -> bool:
    """Whether it answers before it ends, and before the time is up."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and is_alive():
        try:
            with opener.open(url, timeout=HEALTH_SECONDS):
                return is_alive()  # on a port lost to somebody else, somebody else answers
        except (urllib.error.URLError, OSError):
            time.sleep(0.05)
    return False


def free_port(wanted: int = 0) -> int:
    """The wanted loopback port when it is free, else any that is."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, wanted))
        except OSError:
            probe.bind((HOST, 0))
        return int(probe.getsockname()[1])


def begin_as_guest() -> None:
    """Have the kernel send this process SIGTERM when the thread that started it ends."""
    interrupts.accept()
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


def reap(pid: int) -> None:
    """Collect the exit status where the process is our own child; elsewhere init does."""
    if (child := children.pop(pid, None)) is not None:
        child.wait()


def exists(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextmanager
def alone(path: Path, *, waiting: str) -> Iterator[IO[str]]:
    """Hold a lock between processes; says `waiting` when another one has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(waiting, file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield file
