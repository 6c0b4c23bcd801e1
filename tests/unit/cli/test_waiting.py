import os
import signal
from threading import Event, current_thread, main_thread

import pytest

from cli.waiting import interruptible


def test_what_is_waited_for_returns_or_raises() -> None:
    assert interruptible(lambda: 1 + 1) == 2
    with pytest.raises(ZeroDivisionError):
        interruptible(lambda: 1 // 0)


def test_ctrl_c_ends_the_waiting_whatever_the_work_does() -> None:
    begun: list[bool] = []
    let_go = Event()

    def work() -> None:
        begun.append(current_thread() is main_thread())
        os.kill(os.getpid(), signal.SIGINT)
        let_go.wait(60)

    with pytest.raises(KeyboardInterrupt):
        interruptible(work)
    let_go.set()
    assert begun == [False]
