"""Two readers: people get tables, programs get one JSON document on standard output.

Colours appear only on a terminal, and not where NO_COLOR is set. Much of what is printed others have written, so
nothing in it is markup or a terminal's order. rich is imported when something is printed, because it takes longer than
all else that a command imports.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

PIPED_WIDTH = 10_000  # a pipe has no width: nothing is folded or cut there
GAP = 2  # between columns
NARROWEST = 12  # of a column of words
# Controls, what turns the direction of writing, and halves of characters: what a terminal would obey or choke on.
ORDERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
AGES = ((60, 1, "s"), (3600, 60, "min"), (86_400, 3600, "h"), (float("inf"), 86_400, "d"))


def console(file: TextIO | None = None) -> "Console":
    from rich.console import Console

    made = Console(file=file, soft_wrap=True, highlight=False, markup=False, emoji=False)
    if not made.is_terminal:
        made.width = PIPED_WIDTH
    return made


def print_json(document: Any) -> None:
    sys.stdout.write(json.dumps(document, indent=2, default=str) + "\n")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]], *, title: str | None = None) -> None:
    """Numbers are aligned to the right, None is a dash, and only words are folded where the terminal is narrow."""
    from rich.table import Table

    cells = [list(row) for row in rows]
    heading = None if title is None else readable(title)
    table = Table(box=None, pad_edge=False, padding=(0, GAP, 0, 0), header_style="bold", title=heading)
    table.title_justify = "left"
    needed = 0
    for index, name in enumerate(columns):
        column = [row[index] for row in cells if row[index] is not None]
        numeric = bool(column) and all(map(is_number, column))
        unbroken = numeric or any(isinstance(cell, Moment) for cell in column)
        widest = max(len(shown(words)) for words in (name, *column))
        table.add_column(printable(name), justify="right" if numeric else "left", overflow="fold", no_wrap=unbroken)
        needed += GAP + (widest if unbroken else min(widest, NARROWEST))
    for row in cells:
        table.add_row(*map(shown, row))
    out = console()
    out.width = max(out.width, needed)  # longer lines, but nothing cut off
    with out.capture() as printed:
        out.print(table, soft_wrap=False)
    sys.stdout.writelines(f"{line.rstrip()}\n" for line in printed.get().splitlines())


def print_fields(fields: Iterable[tuple[str, object]]) -> None:
    """Name and value, one line each, values aligned."""
    rows = [(printable(name), value) for name, value in fields]
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        console().print(f"{name:<{width}}  {shown(value)}")


def note(message: str) -> None:
    """For people only, on standard error, so that standard output stays the answer alone."""
    console(sys.stderr).print(readable(message))


def print_text(text: str) -> None:
    sys.stdout.write(f"{readable(text)}\n")


def printable(text: str) -> str:
    """On one line, and with nothing in it that a terminal would obey."""
    return ORDERS.sub(lambda found: " " if found[0].isspace() else _escaped(found[0]), text)


def readable(text: str) -> str:
    """The same of several lines, which may be indented by tabs."""
    return "\n".join("\t".join(map(printable, one.split("\t"))) for one in text.split("\n"))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def is_number(cell: object) -> bool:
    return isinstance(cell, (int, float, Figure)) and not isinstance(cell, bool)


def shown(cell: object) -> str:
    return "-" if cell is None else printable(str(cell))


class Figure(str):
    """A number with its unit; aligned like a number."""

    __slots__ = ()


class Moment(str):
    """A time; never folded."""

    __slots__ = ()


def size(count: int) -> Figure:
    """Bytes in decimal units, as object stores and Lambda count them."""
    value, unit = float(count), "B"
    for larger in ("kB", "MB", "GB"):
        if value < 999.5:
            break
        value, unit = value / 1000, larger
    return Figure(f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}")


def percent(share: float) -> Figure:
    return Figure(f"{share * 100:.4g} %")


def age(at: str, now: datetime | None = None) -> str:
    """How long ago an RFC 3339 time was, in its largest unit."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - datetime.fromisoformat(at)).total_seconds())
    if seconds < 1:
        return "just now"
    count, unit = next((seconds // per, unit) for below, per, unit in AGES if seconds < below)
    return f"{count:.0f} {unit} ago"


def when(at: str, now: datetime | None = None) -> Moment:
    """The time in UTC, and how long ago that was."""
    absolute = datetime.fromisoformat(at).astimezone(UTC)
    return Moment(f"{absolute:%Y-%m-%d %H:%M:%S} ({age(at, now)})")
