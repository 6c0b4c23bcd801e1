"""Ctrl-C at a bad moment: a process that was started but not noted yet would outlive everybody who could end it."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager

INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def held() -> Iterator[None]:
    """Interruptions of the body arrive right after it.

    By handlers, as a mask holds back one thread alone and the kernel picks any. Elsewhere than in the main thread,
    where none may be set, the body runs as it is.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    arrived: list[int] = []
    before = {number: signal.signal(number, lambda got, _: arrived.append(got)) for number in INTERRUPTS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if arrived:
            os.kill(os.getpid(), arrived[0])


def accept() -> None:
    """For a child process: a handler of Python's is not inherited, but a signal that is ignored would be."""
    for number in INTERRUPTS:
        signal.signal(number, signal.SIG_DFL)


def end_on_termination() -> None:
    """SIGTERM, and a terminal that is closed, clean up as Ctrl-C does; `nohup` is let have its way."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.default_int_handler)
