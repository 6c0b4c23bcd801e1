import asyncio
from typing import Any, cast

import pytest

from functions.inference import outbox as module
from functions.inference.outbox import LONGEST_WAIT_SECONDS, Outbox


class Transport:
    """One that takes down what is written, and when it is closed."""

    def __init__(self) -> None:
        self.written: list[bytes] = []
        self.closing = False

    def is_closing(self) -> bool:
        return self.closing

    def write(self, data: bytes) -> None:
        assert not self.closing
        self.written.append(data)


def put(outbox: Outbox, transport: Transport, data: bytes) -> None:
    outbox.put(cast(Any, transport), data, asyncio.get_running_loop())


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """What it shows."""
    clock = [0.0]
    monkeypatch.setattr(module, "perf_counter", lambda: clock[0])
    return clock


def test_answers_of_one_turn_leave_at_its_end_in_order() -> None:
    async def turn() -> None:
        outbox, one, other = Outbox(), Transport(), Transport()
        put(outbox, one, b"1")
        put(outbox, other, b"2")
        put(outbox, one, b"3")
        assert one.written == other.written == []
        await asyncio.sleep(0)
        assert (one.written, other.written) == ([b"1", b"3"], [b"2"])
        put(outbox, one, b"4")
        await asyncio.sleep(0)
        assert one.written == [b"1", b"3", b"4"]

    asyncio.run(turn())


def test_a_long_turn_holds_no_answer_back(clock: list[float]) -> None:
    async def turn() -> None:
        outbox, transport = Outbox(), Transport()
        put(outbox, transport, b"1")
        clock[0] += 2 * LONGEST_WAIT_SECONDS
        put(outbox, transport, b"2")
        assert transport.written == [b"1", b"2"]

    asyncio.run(turn())


def test_who_has_left_gets_nothing() -> None:
    async def turn() -> None:
        outbox, transport = Outbox(), Transport()
        put(outbox, transport, b"1")
        transport.closing = True
        await asyncio.sleep(0)
        assert transport.written == []

    asyncio.run(turn())
