import threading
import time
from collections.abc import Callable

import pytest

from functions.inference import lines as module
from functions.inference.lines import Lines


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.005)


def test_lines_of_many_threads_are_written_whole_and_once() -> None:
    written: list[bytes] = []
    lines = Lines(written.append)

    def add(thread: int) -> None:
        for number in range(2000):
            lines(f"{thread} {number}\n".encode())

    threads = [threading.Thread(target=add, args=[thread]) for thread in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines.close()
    found = [tuple(map(int, line.split())) for line in b"".join(written).splitlines()]
    assert len(written) < len(found) == 8000
    for adder in range(4):
        assert [number for owner, number in found if owner == adder] == list(range(2000))


def test_a_line_is_written_soon_without_anything_after_it() -> None:
    written: list[bytes] = []
    lines = Lines(written.append)
    for number in range(3):
        lines(f"{number}\n".encode())
        wait_for(lambda number=number: b"".join(written).endswith(f"{number}\n".encode()))  # type: ignore[misc]
    lines.close()


@pytest.mark.parametrize(("name", "most"), [("MOST_WAITING", 10), ("MOST_BYTES", 21)])
def test_a_reader_that_stops_holds_nobody_up_until_too_much_waits(
    monkeypatch: pytest.MonkeyPatch, name: str, most: int
) -> None:
    monkeypatch.setattr(module, name, most)
    go_on, written = threading.Event(), []

    def write(data: bytes) -> None:
        assert go_on.wait(60)
        written.append(data)

    lines = Lines(write)
    lines(b"0\n")
    wait_for(lambda: not lines._waiting)  # and its writing hangs
    for number in range(1, 11):
        lines(f"{number}\n".encode())
    one_more = threading.Thread(target=lines, args=[b"11\n"])
    one_more.start()
    one_more.join(0.1)
    assert one_more.is_alive()
    go_on.set()
    one_more.join()
    lines.close()
    assert b"".join(written).split() == [str(number).encode() for number in range(12)]


def test_lines_that_nobody_takes_are_counted_on_stderr(capsys: pytest.CaptureFixture[str]) -> None:
    def write(data: bytes) -> None:
        if data:
            raise BrokenPipeError("nobody reads")

    lines = Lines(write)
    lines(b"1\n")
    lines(b"2\n")
    lines.close()
    assert "nobody reads" in capsys.readouterr().err
