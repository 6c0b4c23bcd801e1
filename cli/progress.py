"""What a long command is doing: one moving line on a terminal, plain lines elsewhere; always on standard error."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from cli.output import console, printable, readable

Tell = Callable[[str], None]

POLL_SECONDS, LONGEST_SECONDS = 0.5, 10.0  # between two looks at what goes on elsewhere


def longer(pause: float) -> float:
    """The pause before the look after the next, where nothing has changed."""
    return min(pause * 1.1, LONGEST_SECONDS)


class Progress:
    def __init__(self) -> None:
        self._console = console(sys.stderr)

    @contextmanager
    def step(self, title: str) -> Iterator[Tell]:
        """The body may tell what it is at; only a terminal shows that, on the step's own line."""
        from rich.text import Text  # what is a string there would be markup

        started = time.monotonic()
        if self._console.is_terminal:
            with self._console.status(Text(printable(title))) as status:
                yield lambda text: status.update(Text(printable(f"{title}: {text}")[: self._console.width - 4]))
        else:
            self.say(f"{title} …")
            yield lambda text: None
        self.say(f"✓ {title} ({time.monotonic() - started:.1f} s)")

    def say(self, text: str) -> None:
        self._console.print(readable(text))


class Silence(Progress):
    """For tests and programs."""

    def say(self, text: str) -> None:
        pass
