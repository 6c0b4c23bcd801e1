from threading import Barrier, Thread

import pytest

from lastmile.errors import EndpointUnavailable
from lastmile.heavy.breaker import Breaker


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def breaker(clock: Clock) -> Breaker:
    return Breaker(failures=3, rest_seconds=5.0, clock=clock)


def fail(breaker: Breaker, times: int, reason: str = "asleep") -> None:
    for _ in range(times):
        breaker.failed(EndpointUnavailable(reason, "no"))


def is_open(breaker: Breaker) -> bool:
    try:
        breaker.check()
    except EndpointUnavailable:
        return True
    return False


def test_it_opens_after_failures_in_a_row_and_says_what_they_were(breaker: Breaker) -> None:
    fail(breaker, 2)
    breaker.succeeded()
    fail(breaker, 2)
    assert not is_open(breaker)
    fail(breaker, 1)
    with pytest.raises(EndpointUnavailable, match="not asked again yet") as raised:
        breaker.check()
    assert raised.value.reason == "asleep"


def test_after_a_rest_one_call_tries_and_decides(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5.0
    assert not is_open(breaker)
    assert is_open(breaker)  # for all others
    fail(breaker, 1)
    clock.now += 4.9
    assert is_open(breaker)
    clock.now += 0.1
    assert not is_open(breaker)
    breaker.succeeded()
    assert not is_open(breaker)
    assert not is_open(breaker)


def test_a_call_that_never_comes_back_does_not_keep_it_open(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    for _ in range(3):
        clock.now += 5.0
        assert not is_open(breaker)


def test_what_the_model_refuses_says_nothing_of_the_endpoint(breaker: Breaker) -> None:
    fail(breaker, 10, "refused")
    assert not is_open(breaker)


def test_of_many_threads_one_gets_through(breaker: Breaker, clock: Clock) -> None:
    fail(breaker, 3)
    clock.now += 5.0
    through: list[int] = []
    barrier = Barrier(8)

    def try_it(number: int) -> None:
        barrier.wait(60)
        if not is_open(breaker):
            through.append(number)

    threads = [Thread(target=try_it, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(through) == 1
