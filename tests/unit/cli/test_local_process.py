"""A small program in the place of a server."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cli.errors import CommandFailed
from cli.local_process import HOST, LocalProcess, Process, exists, free_port

SLEEPER = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(15, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
PARENT = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {SLEEPER!r}])
print(child.pid, flush=True)
child.wait()
"""


@pytest.fixture
def local(tmp_path: Path) -> Iterator[LocalProcess]:
    local = LocalProcess(tmp_path / "aws", "sleeper", guest=True)
    local.folder.mkdir()
    yield local
    local.end(signal.SIGKILL, seconds=5)


def begin(local: LocalProcess, program: str) -> Process:
    return local.start([sys.executable, "-c", program], environ={}, cwd=local.folder, port=free_port())


def said(local: LocalProcess) -> str:
    while not (words := local.log.read_text()).endswith("\n"):
        time.sleep(0.01)
    return words.strip()


def test_another_object_finds_it_and_afterwards_its_port(local: LocalProcess) -> None:
    assert local.running() is None
    process = begin(local, SLEEPER)
    other = LocalProcess(local.folder, "sleeper")
    assert other.running() == process
    assert LocalProcess(local.folder, "another").running() is None
    assert other.end(signal.SIGTERM, seconds=5)
    assert local.running() is None
    assert local.recorded() == replace(process, pid=0)


def test_one_that_has_ended_is_not_ended_again(local: LocalProcess) -> None:
    begin(local, SLEEPER)
    assert local.end(signal.SIGTERM, seconds=5)
    assert not local.end(signal.SIGTERM, seconds=5)


def test_a_port_that_is_only_noted_is_no_process(local: LocalProcess) -> None:
    local.note(Process(0, 1234))
    assert local.running() is None
    assert not local.end(signal.SIGKILL, seconds=1), "0 would be every process of our own group"


def test_what_it_has_started_ends_with_it(local: LocalProcess) -> None:
    begin(local, PARENT)
    child = int(said(local))
    assert local.end(signal.SIGTERM, seconds=5)
    deadline = time.monotonic() + 60
    while exists(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not exists(child)


def test_what_does_not_hear_is_ended_by_force(local: LocalProcess) -> None:
    process = begin(local, STUBBORN)
    assert said(local) == "deaf"
    assert local.end(signal.SIGTERM, seconds=0.2)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_one_that_cannot_be_noted_is_ended(local: LocalProcess) -> None:
    """Nobody could end it later, and nothing could take its place."""
    record = local.folder / "sleeper.json"
    record.mkdir()
    with pytest.raises(IsADirectoryError):
        begin(local, SLEEPER)
    assert not local.is_alive()
    record.rmdir()


def test_one_that_nobody_has_noted_is_told_of_instead_of_waited_for(
    local: LocalProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cli.local_process.LOOK_SECONDS", 0)
    process = begin(local, SLEEPER)
    (local.folder / "sleeper.json").unlink()
    with pytest.raises(CommandFailed, match="still runs here") as failure:
        begin(local, SLEEPER)
    assert str(local.folder / "sleeper.alive") in str(failure.value.next_step)
    local.note(process)


def test_what_it_keeps_is_its_owners_alone(local: LocalProcess) -> None:
    begin(local, "open('secret', 'w').close(); print('kept')")
    assert said(local) == "kept"
    for file in (local.folder / "secret", local.log):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_number_that_is_somebody_elses_here_is_left_alone(local: LocalProcess) -> None:
    """A folder that a container shares: what was started there has another number here, or none."""
    process = begin(local, SLEEPER)
    with subprocess.Popen(["sleep", "60"], start_new_session=True) as innocent:
        local.note(replace(process, pid=innocent.pid))
        with pytest.raises(CommandFailed, match="started in a container"):
            local.end(signal.SIGTERM, seconds=5)
        assert innocent.poll() is None
        innocent.kill()
    local.note(process)


def test_its_last_words_are_kept(local: LocalProcess) -> None:
    assert local.last_words == "it said nothing"
    process = begin(local, "raise SystemExit('no such module')")
    assert not local.answers(process.url, seconds=60)
    assert local.last_words == "no such module"


def test_a_free_port_is_the_wanted_one_if_it_can_be() -> None:
    wanted = free_port()
    assert free_port(wanted) == wanted
    with socket.create_server((HOST, wanted)):
        assert free_port(wanted) != wanted


def test_a_secure_address_is_the_one_with_tls() -> None:
    process = Process(pid=1, port=80)
    assert process.url == "http://127.0.0.1:80"
    assert replace(process, tls_port=443).url == "https://127.0.0.1:443"
