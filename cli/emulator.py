"""The local AWS: MiniStack as a process of its own on free loopback ports, found again later and stopped whole."""

import fcntl
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import IO

from cli.errors import CommandFailed
from cli.local_process import HOST, LocalProcess, Process, free_port

REGION = "us-east-1"
ROOT_KEY = "test"  # MiniStack's own root caller, id and secret alike
START_SECONDS = 60
ANSWER_SECONDS = 60  # of one that is running already, on a machine with much else to do
STOP_SECONDS = 20
ATTEMPTS = 5
NOT_SAVED = "Persistence: failed to save "  # in MiniStack's log, before what and why


@dataclass(frozen=True)
class Certificate:
    """A self-signed certificate for 127.0.0.1, as PEM files."""

    certificate: Path
    key: Path


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
        return self._process.log

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def _process(self) -> LocalProcess:
        return LocalProcess(self.folder, "emulator", self.guest)

    def running(self) -> Process | None:
        """The process that serves this folder, if there is one."""
        return self._process.running()

    def start(self, python: Path) -> Process:
        """Return the process that is running already, or start one with this interpreter and wait until it answers."""
        process = self.running()
        if process is not None and self._process.answers(health_url(process), ANSWER_SECONDS):
            return process
        self.kill()  # one that hangs, or the handlers of one that crashed
        if self._saved_at() is None:
            # Objects are written as they come, all else at the end: without it, buckets would be there that
            # no stack knows of, and no stack could be created.
            shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir(parents=True, exist_ok=True)
        previous = self._process.recorded()
        for attempt in range(ATTEMPTS):
            port = free_port(previous.port if previous and attempt == 0 else 0)
            tls_port = free_port() if self.certificate else None
            if (started := self._launch(python, port, tls_port)) is not None:
                return started
        raise CommandFailed(
            f"The local AWS did not start: {self._process.last_words}",
            next_step=f"Read {self.log}, then run `make up` again.",
        )

    def stop(self) -> bool:
        """End the process, which writes its state first, and every handler it started; False when there was none."""
        return self._end(signal.SIGTERM)

    def save(self, python: Path) -> Process:
        """Have it write its state, which it does only when it ends: from here on a crash loses nothing but logs."""
        before = self._saved_at()
        with self._kept() as go_back:
            self.stop()
            problem = self._unsaved()
            if problem or self._saved_at() in (None, before):
                go_back()
                raise CommandFailed(
                    f"The local AWS did not save its state{problem and f': {problem}'}.",
                    next_step=f"Free some disk if it is full, else read {self.log}; then run `make up` again.",
                )
        return self.start(python)

    def kill(self) -> bool:
        """End it at once, back to the state it saved last; objects stay as they are."""
        return self._end(signal.SIGKILL)

    def erase(self) -> None:
        self.kill()
        shutil.rmtree(self.state, ignore_errors=True)

    def _end(self, by: signal.Signals) -> bool:
        ended = self._process.end(by, seconds=STOP_SECONDS)
        shutil.rmtree(self._temporary, ignore_errors=True)
        return ended

    def _launch(self, python: Path, port: int, tls_port: int | None) -> Process | None:
        """None when the process ended before it answered: the port was taken in between, or it cannot run at all."""
        self._temporary.mkdir(exist_ok=True)
        try:
            process = self._process.start(
                self._command(python, port, tls_port),
                environ=self._environ(port, tls_port),
                cwd=self.folder,
                port=port,
                tls_port=tls_port,
            )
            answered = self._process.answers(health_url(process), START_SECONDS)
        except BaseException:
            self.kill()
            raise
        if not answered:
            self.kill()
        return process if answered else None

    def _command(self, python: Path, port: int, tls_port: int | None) -> list[str]:
        command = [str(python), "-m", "hypercorn", "--workers", "0", "--keep-alive", "75"]
        if self.certificate and tls_port:
            command += ["--certfile", str(self.certificate.certificate), "--keyfile", str(self.certificate.key)]
            command += ["--bind", f"{HOST}:{tls_port}", "--insecure-bind", f"{HOST}:{port}"]
        else:
            command += ["--bind", f"{HOST}:{port}"]
        return [*command, "ministack.app:app"]

    @property
    def _temporary(self) -> Path:
        return self.folder / "tmp"

    def _environ(self, port: int, tls_port: int | None) -> dict[str, str]:
        """Nothing of the user's own environment reaches the handlers, as in Lambda."""
        settings = {
            "PATH": os.environ.get("PATH", os.defpath),
            "HOME": str(self._temporary),
            "TMPDIR": str(self._temporary),
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
            "DOCKER_HOST": f"unix://{self._temporary}/no-docker",
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

    @contextmanager
    def _kept(self) -> Iterator[Callable[[], None]]:
        """Gives what goes back to the state as it is saved now. A part of a new one, as a full disk leaves it, would be
        stacks without their functions, which no deployment would mend."""
        kept = self.folder / "saved"
        shutil.rmtree(kept, ignore_errors=True)
        kept.mkdir()
        for file in self.state.glob("*.json"):
            os.link(file, kept / file.name)  # takes no room, and MiniStack puts new files in the place of old ones

        def go_back() -> None:
            for file in self.state.glob("*.json"):
                file.unlink()
            for file in kept.iterdir():
                file.replace(self.state / file.name)

        try:
            yield go_back
        finally:
            shutil.rmtree(kept, ignore_errors=True)

    def _unsaved(self) -> str:
        """What MiniStack said of a part that it could not write; empty when there is none."""
        said = self.log.read_text(errors="replace") if self.log.exists() else ""
        return next((line.partition(NOT_SAVED)[2] for line in said.splitlines() if NOT_SAVED in line), "")

    def _saved_at(self) -> int | None:
        """When it last wrote what it knows of stacks."""
        try:
            return (self.state / "cloudformation.json").stat().st_mtime_ns
        except FileNotFoundError:
            return None


def health_url(process: Process) -> str:
    return f"http://{HOST}:{process.port}/_ministack/health"


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
