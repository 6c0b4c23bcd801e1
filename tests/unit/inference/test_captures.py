import gzip
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from functions.inference.captures import Captures
from lastmile.capture import Capture, read_line
from lastmile.errors import StoreUnavailable
from lastmile.keeping import Keeper
from lastmile.predictor import Predictor
from lastmile.profiles import ProfileStore
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.inference.doors import fill, open_serving

DAY = 86_400.0


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry(fill(open_serving({})).store)


@pytest.fixture(scope="module")
def lines(registry: Registry) -> list[bytes]:
    found: list[bytes] = []
    predictor = Predictor(registry, threads=1, capture=Capture(found.append))
    served = predictor.resolve("digits")
    for number in range(300):
        predictor.run(served, {"image": np.full((1, 64), number % 16, np.float32)})
    return found


class World:
    def __init__(self, registry: Registry, data: Store) -> None:
        self.registry = registry
        self.data = data
        self.opened: list[Captures] = []

    def open(self, **how: Any) -> Captures:
        self.opened.append(Captures(Keeper(self.registry, self.data), **how))
        return self.opened[-1]

    def break_profiles(self, broken: list[str], works: threading.Event) -> None:
        """Until it works the disk is full whenever a profile is written, after its captures."""
        genuine = type(self.data).put

        def put(store: Store, path: str, data: bytes) -> str:
            if path.startswith("profiles/") and not works.is_set():
                broken.append(path)
                raise StoreUnavailable("the disk is full")
            return genuine(store, path, data)

        self.data.__class__ = type("Full", (type(self.data),), {"put": put})

    def kept(self) -> list[bytes]:
        paths = self.data.list("captures")
        return [line for path in paths for line in gzip.decompress(self.data.get(path).data).splitlines()]

    def counted(self) -> int:
        now = time.time()
        profile = ProfileStore(self.data).read("digits", 1, now - DAY, now + DAY)
        return 0 if profile is None else profile.requests


@pytest.fixture
def world(registry: Registry, tmp_path: Path) -> Iterator[World]:
    made = World(registry, Store.open(tmp_path.as_uri(), environ={}))
    yield made
    for captures in made.opened:
        captures.close()


def wait_for(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def test_lines_are_written_as_the_capture_function_writes_them(world: World, lines: list[bytes]) -> None:
    captures = world.open(flush_seconds=0.05)
    for line in lines[:10]:
        captures(line)
    wait_for(lambda: captures.waiting == 0)
    assert sorted(read_line(line).id for line in world.kept()) == sorted(read_line(line).id for line in lines[:10])
    assert world.counted() == 10
    assert (captures.dropped, captures.refused) == (0, 0)


def test_a_server_that_ends_writes_what_is_left(world: World, lines: list[bytes]) -> None:
    captures = world.open(flush_seconds=3600)

    def add(start: int) -> None:
        for line in lines[start::4]:
            captures(line)

    threads = [threading.Thread(target=add, args=[start]) for start in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert captures.waiting == 300
    captures.close()
    assert (captures.waiting, captures.dropped, len(world.kept()), world.counted()) == (0, 0, 300, 300)


def test_what_there_is_no_room_for_is_counted_and_said(
    world: World, lines: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    captures = world.open(flush_seconds=3600, most_bytes=sum(map(len, lines[:20])))
    for line in lines[:30]:
        captures(line)
    assert captures.dropped == 10
    captures.close()
    assert len(world.kept()) == 20
    assert "10 captures are lost for want of room or time" in capsys.readouterr().err


def test_a_store_that_does_not_answer_holds_nobody_up_and_nothing_is_written_twice(
    world: World, lines: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    works, broken = threading.Event(), list[str]()
    world.break_profiles(broken, works)
    captures = world.open(flush_seconds=0.02, retry_seconds=0.02)
    for number, line in enumerate(lines[:40]):
        captures(line)
        if number % 10 == 0:
            time.sleep(0.02)
    wait_for(lambda: len(broken) > 2)
    assert captures.waiting == 40
    works.set()
    wait_for(lambda: captures.waiting == 0)
    assert "captures wait: the disk is full" in capsys.readouterr().err
    assert len(world.kept()) == len({read_line(line).id for line in world.kept()}) == world.counted() == 40


def test_what_can_never_be_written_is_given_up_at_the_end_and_said(
    world: World, lines: list[bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    world.break_profiles([], threading.Event())
    captures = world.open(flush_seconds=3600)
    captures(lines[0])
    captures.close()
    assert captures.dropped == 1
    assert "1 captures are lost" in capsys.readouterr().err


def test_a_line_that_is_no_capture_of_ours_is_put_aside_and_counted(world: World, lines: list[bytes]) -> None:
    captures = world.open(flush_seconds=3600)
    captures(lines[0])
    captures(lines[1].replace(b'"version":1', b'"version":99'))
    captures.close()
    assert (captures.refused, len(world.kept())) == (1, 1)
    assert len(list(world.data.list("quarantine/captures"))) == 1
