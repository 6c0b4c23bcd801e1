import threading
from collections.abc import Iterator
from functools import partial

import pytest

from functions.inference.background import SHADOWS_WAITING, Background


@pytest.fixture
def background() -> Iterator[Background]:
    opened = Background()
    yield opened
    opened.close()


def test_tasks_run_elsewhere(background: Background) -> None:
    ran, where = threading.Event(), []

    def task() -> None:
        where.append(threading.current_thread())
        ran.set()

    for spawn in (background.refresh, background.shadow):
        ran.clear()
        spawn(task)
        assert ran.wait(60)
    assert threading.current_thread() not in where


def test_too_many_shadow_runs_are_dropped_and_counted_and_room_comes_back(background: Background) -> None:
    hold, last, ran = threading.Event(), threading.Event(), list[int]()

    def run(number: int) -> None:
        hold.wait(60)
        ran.append(number)
        if number == SHADOWS_WAITING - 1:
            last.set()

    for number in range(SHADOWS_WAITING + 10):
        background.shadow(partial(run, number))
    assert background.dropped == 10
    hold.set()
    assert last.wait(60)
    assert ran == list(range(SHADOWS_WAITING))
    again = threading.Event()
    background.shadow(again.set)
    assert again.wait(60)


def test_refreshes_do_not_wait_for_shadow_runs(background: Background) -> None:
    hold, refreshed = threading.Event(), threading.Event()
    for _ in range(SHADOWS_WAITING):
        background.shadow(partial(_wait, hold))
    background.refresh(refreshed.set)
    assert refreshed.wait(60)
    hold.set()


def test_a_task_that_fails_is_told_of(background: Background, capfd: pytest.CaptureFixture[str]) -> None:
    def fail() -> None:
        raise ZeroDivisionError("in the background")

    background.refresh(fail)
    background.close()
    assert "ZeroDivisionError: in the background" in capfd.readouterr().err


def _wait(event: threading.Event) -> None:
    event.wait(60)
