"""A process beside this one, on a loopback port of its own: found again by its folder, and ended whole."""

import ctypes
import fcntl
import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import IO

from cli import interrupts
from cli.errors import CommandFailed

HOST = "127.0.0.1"  # an IP address, so that SDKs use path-style S3
LOOK_SECONDS = 2  # at most, that somebody needs to look whether a process lives
HEALTH_SECONDS = 5  # one question, and then the next
PR_SET_PDEATHSIG = 1  # linux/prctl.h

children: "dict[int, subprocess.Popen[bytes]]" = {}  # started by this very process, to be waited for


@dataclass(frozen=True)
class Process:
    """With `pid` 0 there is none, and the ports are those of the last one."""

    pid: int
    port: int
    tls_port: int | None = None

    @property
    def url(self) -> str:
        return f"https://{HOST}:{self.tls_port}" if self.tls_port else f"http://{HOST}:{self.port}"


@dataclass(frozen=True)
class LocalProcess:
    """`<name>.json` in `folder` says which process it is, `<name>.alive` is locked as long as it lives, whatever
    happened to whoever started it, and `<name>.log` has its words.

    A guest ends with the thread that started it, even when that is killed; tests are such hosts.
    """

    folder: Path
    name: str
    guest: bool = False

    @property
    def log(self) -> Path:
        return self.folder / f"{self.name}.log"

    @property
    def last_words(self) -> str:
        lines = self.log.read_text(errors="replace").split("\n") if self.log.exists() else []
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def recorded(self) -> Process | None:
        """The one that was noted last, dead or alive."""
        try:
            return Process(**json.loads(self._record.read_bytes()))
        except (FileNotFoundError, ValueError, TypeError):
            return None

    def running(self) -> Process | None:
        recorded = self.recorded()
        return recorded if recorded is not None and self.is_alive() else None

    def is_alive(self) -> bool:
        try:
            with self._alive.open("r") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            pass
        return False

    def answers(self, url: str, seconds: float) -> bool:
        """Whether it does before it ends, and before the time is up."""
        return waited_until(self.is_alive, url, seconds)

    def note(self, process: Process) -> None:
        """Whole or not at all: of a process that no record names, nobody could say which it is."""
        self.folder.mkdir(parents=True, exist_ok=True)
        new = self._record.with_suffix(".new")
        new.write_text(json.dumps(asdict(process)))
        new.replace(self._record)

    def start(
        self,
        command: Sequence[str],
        *,
        environ: Mapping[str, str],
        cwd: Path,
        port: int,
        tls_port: int | None = None,
        descriptors: tuple[int, ...] = (),
    ) -> Process:
        """Begun and noted in one go; whether it answers is another question. It gets nothing but this environment."""
        with interrupts.held():
            child = self._spawn(command, environ, cwd, descriptors)
            process = Process(child.pid, port, tls_port)
            try:
                self.note(process)
            except OSError:  # a full disk, say
                child.kill()
                child.wait()
                raise
            children[child.pid] = child
        return process

    def end(self, by: signal.Signals, *, seconds: float) -> bool:
        """End it and whatever it has started, by force after so many seconds; False when there was none. Raises
        CommandFailed when it is out of reach."""
        recorded = self.recorded()
        if recorded is None or not recorded.pid:
            return False
        alive = self.is_alive()
        if alive and not self._is(recorded.pid) and self.is_alive():  # and has not just ended
            raise CommandFailed(
                f"What runs in {self.folder} was started in a container, outside of one, or by somebody else: "
                f"it is not process {recorded.pid} here.",
                next_step="End it where it was started.",
            )
        if alive:
            os.killpg(recorded.pid, by)  # what it has started too: it may wait for connections of theirs to close
            if not self._has_ended(seconds):
                os.kill(recorded.pid, signal.SIGKILL)
                self._has_ended(seconds)
        reap(recorded.pid)
        # What it has started is in its process group. A process with the leader's own id is somebody else's by now.
        if not exists(recorded.pid):
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(recorded.pid, signal.SIGKILL)
        self.note(replace(recorded, pid=0))
        return alive

    @property
    def _record(self) -> Path:
        return self.folder / f"{self.name}.json"

    @property
    def _alive(self) -> Path:
        return self.folder / f"{self.name}.alive"

    def _spawn(
        self, command: Sequence[str], environ: Mapping[str, str], cwd: Path, descriptors: tuple[int, ...]
    ) -> "subprocess.Popen[bytes]":
        self.log.touch(mode=0o600)
        with self.log.open("wb") as log, self._alive.open("w") as alive:
            self._take(alive)
            return subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=cwd,
                env=dict(environ),
                pass_fds=(*descriptors, alive.fileno()),  # the last keeps the lock until the process ends
                start_new_session=True,
                umask=0o077,  # what it keeps are secrets and what callers sent
                preexec_fn=begin_as_guest if self.guest else interrupts.accept,
            )

    def _take(self, alive: IO[str]) -> None:
        """Once whoever only looks has looked. Raises CommandFailed when a process lives that nobody has noted."""
        deadline = time.monotonic() + LOOK_SECONDS
        while True:
            try:
                fcntl.flock(alive, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise CommandFailed(
                        f"A process that {self._record} does not name still runs here.",
                        next_step=f"End it: `fuser -k {self._alive}`. Then try again.",
                    ) from None
                time.sleep(0.02)
            else:
                return

    def _is(self, pid: int) -> bool:
        """Whether that process, by its number here, has the lock open. In a container numbers are others."""
        descriptors = Path(f"/proc/{pid}/fd")
        with suppress(OSError):
            return any(same_file(descriptor, self._alive) for descriptor in descriptors.iterdir())
        return False

    def _has_ended(self, seconds: float) -> bool:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if not self.is_alive():
                return True
            time.sleep(0.02)
        return False


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


def same_file(one: Path, other: Path) -> bool:
    try:
        return one.samefile(other)
    except OSError:
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
