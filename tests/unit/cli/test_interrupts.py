import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cli import interrupts


def test_an_interruption_waits_for_the_end_of_the_body() -> None:
    done = []
    with pytest.raises(KeyboardInterrupt), interrupts.held():
        os.kill(os.getpid(), signal.SIGINT)
        done.append("to the end")
    assert done == ["to the end"]


def test_afterwards_interruptions_arrive_at_once() -> None:
    with interrupts.held():
        pass
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), signal.SIGINT)


def test_a_child_started_meanwhile_can_be_interrupted() -> None:
    command = [sys.executable, "-c", "import sys; print(flush=True); sys.stdin.read()"]
    with interrupts.held():
        child = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, preexec_fn=interrupts.accept)
    with child:
        assert child.stdout is not None
        child.stdout.readline()
        child.terminate()
    assert child.returncode == -signal.SIGTERM


@pytest.fixture
def handlers() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in interrupts.INTERRUPTS}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers")
@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGHUP], ids=["kill", "a closed terminal"])
def test_termination_cleans_up_as_an_interruption_does(by: signal.Signals) -> None:
    interrupts.end_on_termination()
    with pytest.raises(KeyboardInterrupt):
        os.kill(os.getpid(), by)


@pytest.mark.usefixtures("handlers")
def test_what_was_started_with_nohup_survives_its_terminal() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts.end_on_termination()
    os.kill(os.getpid(), signal.SIGHUP)
