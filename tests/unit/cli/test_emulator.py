"""The process itself, without anything deployed into it."""

import io
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.emulator import REGION, ROOT_KEY, Emulator, alone
from cli.environment import local_aws_python
from cli.errors import CommandFailed
from cli.local_process import HOST, Process
from cli.target import CHECKOUT, Access, Credentials


@pytest.fixture(scope="session")
def python() -> Path:
    return local_aws_python(CHECKOUT)


@pytest.fixture
def emulator(tmp_path: Path) -> Iterator[Emulator]:
    emulator = Emulator(tmp_path / "aws", guest=True)
    emulator.folder.mkdir()
    yield emulator
    emulator.kill()


def answers(process: Process) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, process.port)) == 0


def wait_for_end(process: Process) -> None:
    while answers(process):
        time.sleep(0.02)


def formation(process: Process) -> Any:
    access = Access(region=REGION, credentials=Credentials(ROOT_KEY, ROOT_KEY), endpoint_url=process.url)
    return access.client("cloudformation")


def create_stack(process: Process) -> None:
    template = '{"Resources": {"Topic": {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "topic"}}}}'
    formation(process).create_stack(StackName="kept", TemplateBody=template)
    formation(process).get_waiter("stack_create_complete").wait(StackName="kept", WaiterConfig={"Delay": 1})


def stacks(process: Process) -> list[str]:
    return [stack["StackName"] for stack in formation(process).describe_stacks()["Stacks"]]


def test_it_is_started_once(emulator: Emulator, python: Path) -> None:
    assert emulator.running() is None
    process = emulator.start(python)
    assert emulator.running() == process
    assert emulator.start(python) == process


def test_another_object_finds_it_by_its_folder(emulator: Emulator, python: Path) -> None:
    process = emulator.start(python)
    assert Emulator(emulator.folder).running() == process


def test_stopping_leaves_no_process_no_port_and_no_temporary_file(emulator: Emulator, python: Path) -> None:
    process = emulator.start(python)
    assert emulator.stop()
    assert emulator.running() is None
    assert not answers(process)
    with pytest.raises(ProcessLookupError):
        os.killpg(process.pid, 0)
    assert not (emulator.folder / "tmp").exists()
    assert not emulator.stop()


def test_it_comes_back_on_the_same_port_with_its_state(emulator: Emulator, python: Path) -> None:
    first = emulator.start(python)
    create_stack(first)
    emulator.stop()
    second = emulator.start(python)
    assert (second.port, stacks(second)) == (first.port, ["kept"])


def test_it_takes_another_port_when_its_own_is_lost(emulator: Emulator, python: Path) -> None:
    port = emulator.start(python).port
    emulator.stop()
    with socket.create_server((HOST, port)):
        assert emulator.start(python).port != port


def test_what_is_saved_survives_a_kill(emulator: Emulator, python: Path) -> None:
    create_stack(emulator.start(python))
    saved = emulator.save(python)
    os.kill(saved.pid, signal.SIGKILL)
    wait_for_end(saved)
    assert emulator.running() is None
    assert stacks(emulator.start(python)) == ["kept"]


def test_what_was_never_saved_is_forgotten_whole(emulator: Emulator, python: Path) -> None:
    """Objects alone would be buckets that no stack knows of."""
    process = emulator.start(python)
    create_stack(process)
    (emulator.state / "s3/000000000000/orphan").mkdir(parents=True)
    emulator.kill()
    again = emulator.start(python)
    assert stacks(again) == []
    assert not (emulator.state / "s3").exists()


def test_a_save_that_was_not_written_is_an_error(
    emulator: Emulator, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    emulator.start(python)
    monkeypatch.setattr(Emulator, "stop", Emulator.kill)
    with pytest.raises(CommandFailed, match="did not save its state"):
        emulator.save(python)


@pytest.mark.parametrize("saved", [{}, {"cloudformation.json": "before", "lambda.json": "before"}], ids=["none", "one"])
def test_a_save_that_is_not_whole_goes_back_to_the_one_before(
    emulator: Emulator, monkeypatch: pytest.MonkeyPatch, saved: dict[str, str]
) -> None:
    """Stacks alone would be there without their functions, and no deployment would find anything to do."""
    emulator.state.mkdir()
    for name, text in saved.items():
        (emulator.state / name).write_text(text)

    def stop(self: Emulator) -> bool:
        (self.state / "new").write_text("after")
        (self.state / "new").replace(self.state / "cloudformation.json")
        self.log.write_text(
            "ERROR Persistence: failed to save lambda: [Errno 28] No space left on device\nINFO stopped\n"
        )
        return True

    monkeypatch.setattr(Emulator, "stop", stop)
    with pytest.raises(CommandFailed, match=r"state: lambda: \[Errno 28\] No space left on device\."):
        emulator.save(Path("python"))
    assert {file.name: file.read_text() for file in emulator.state.iterdir()} == saved


def test_one_that_hangs_is_replaced(emulator: Emulator, python: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.emulator.ANSWER_SECONDS", 0.3)
    monkeypatch.setattr("cli.local_process.HEALTH_SECONDS", 0.2)
    process = emulator.start(python)
    os.kill(process.pid, signal.SIGSTOP)
    replacement = emulator.start(python)
    assert replacement.pid != process.pid
    assert answers(replacement)


def test_erasing_forgets_the_state(emulator: Emulator, python: Path) -> None:
    create_stack(emulator.start(python))
    emulator.save(python)
    emulator.erase()
    assert not emulator.state.exists()
    assert stacks(emulator.start(python)) == []


def test_one_that_cannot_start_says_its_last_words(emulator: Emulator, tmp_path: Path) -> None:
    broken = tmp_path / "python"
    broken.write_text("#!/bin/sh\necho 'No module named hypercorn' >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(CommandFailed, match="did not start: No module named hypercorn"):
        emulator.start(broken)
    assert emulator.running() is None


def test_a_guest_ends_with_its_host(emulator: Emulator, python: Path) -> None:
    """The host is killed and can clean up nothing."""
    script = f"""
import os
from pathlib import Path
from cli.emulator import Emulator
Emulator(Path({str(emulator.folder)!r}), guest=True).start(Path({str(python)!r}))
os.kill(os.getpid(), 9)
"""
    subprocess.run([sys.executable, "-c", script], check=False)
    deadline = time.monotonic() + 60
    while emulator.running() is not None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert emulator.running() is None


def test_the_users_own_environment_stays_outside(
    emulator: Emulator, python: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("SECRET_OF_MINE", "42")
    process = emulator.start(python)
    environ = Path(f"/proc/{process.pid}/environ").read_bytes().split(b"\0")
    names = {entry.partition(b"=")[0].decode() for entry in environ}
    assert {"AWS_PROFILE", "SECRET_OF_MINE"}.isdisjoint(names)
    assert b"HOME=" + str(emulator.folder / "tmp").encode() in environ


def test_records_that_cannot_be_read_are_no_process(emulator: Emulator) -> None:
    for text in ("", "{", "[]", '{"pid": 1}'):
        (emulator.folder / "emulator.json").write_text(text)
        assert emulator.running() is None
        assert not emulator.stop()


HOLDER = """
import sys
from pathlib import Path
from cli.emulator import alone
with alone(Path(sys.argv[1]), waiting=""):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_who_waits_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "lock")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdin is not None
        assert holder.stdout is not None
        holder.stdout.readline()
        let_go = holder.stdin.close

        class Heard(io.StringIO):
            """The other one lets go when it is said that somebody waits."""

            def flush(self) -> None:
                let_go()

        monkeypatch.setattr(sys, "stderr", heard := Heard())
        with alone(tmp_path / "lock", waiting="Another one is at work."):
            assert heard.getvalue() == "Another one is at work.\n"
