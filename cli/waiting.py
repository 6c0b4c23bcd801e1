"""Waiting that Ctrl-C ends: a store's request hears of it only when it is over, and a large one may take hours."""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread


def interruptible[A](act: Callable[[], A]) -> A:
    """What `act` returns or raises. It runs beside, and ends with the process when the waiting is interrupted."""
    outcome: Future[A] = Future()

    def run() -> None:
        try:
            outcome.set_result(act())
        except BaseException as error:  # noqa: BLE001 - it is raised again where it is waited for
            outcome.set_exception(error)

    Thread(target=run, daemon=True).start()
    return outcome.result()
