"""Ctrl-C at a bad moment: a process that was started but not noted yet would outlive everybody who could end it."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTS = {signal.SIGINT, signal.SIGTERM}


@contextmanager
def held() -> Iterator[None]:
    """Interruptions of the body arrive right after it."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, INTERRUPTS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def accept() -> None:
    """For a child process, which inherits what its parent holds back."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, INTERRUPTS)


def end_on_termination() -> None:
    """SIGTERM cleans up as Ctrl-C does."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
