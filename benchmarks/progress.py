"""What the benchmarks are at: one moving line on a terminal, a line per section elsewhere; on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

type Tell = Callable[[str], None]

CLEAR = "\r\x1b[K"


def silence(text: str) -> None:
    pass


def within(tell: Tell, place: str) -> Tell:
    return lambda text: tell(f"{place}, {text}")


@contextmanager
def section(title: str) -> Iterator[Tell]:
    """The body tells what it is at."""
    started = time.monotonic()
    moving = sys.stderr.isatty()

    def tell(text: str) -> None:
        if moving:
            _write(f"{CLEAR}{title}: {text}"[:120])

    if not moving:
        _write(f"{title} …\n")
    yield tell
    _write(f"{CLEAR if moving else ''}{title}: {time.monotonic() - started:.0f} s\n")


def _write(text: str) -> None:
    sys.stderr.write(text)
    sys.stderr.flush()
