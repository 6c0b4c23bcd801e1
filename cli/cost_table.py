"""Reading a table of prices that somebody has written: what is missing, misspelt or impossible is named."""

from collections.abc import Sequence
from datetime import date
from typing import Any

DEAREST = 1e9  # dollars: no price is above it
MOST = 1024  # vCPUs, or gigabytes, that anybody offers


class Section:
    """A part of the file. Each key is taken out of it once; what is left at its end is one that nothing would read.

    Raises ValueError, which says where.
    """

    def __init__(self, name: str, found: object) -> None:
        self.name = name
        if not isinstance(found, dict):
            raise _wrong(name, found, "a section")
        self._left = dict(found)

    def end(self) -> None:
        if self._left:
            raise ValueError(f"{self.name} says '{next(iter(self._left))}', which nothing reads")

    def section(self, key: str) -> "Section":
        return Section(key, self._take(key))

    def sections(self, key: str) -> list["Section"]:
        """Each is called by the name that it says, or by its number."""
        rows = self._take(key)
        if not isinstance(rows, list):
            raise _wrong(key, rows, f"a list, each part of which begins with [[{key}]]")
        found = [Section(f"{key} {number}", row) for number, row in enumerate(rows, 1)]
        for one in found:
            one.name = str(one._left.get("name", one.name))
        return found

    def price(self, key: str, *, free: bool = False) -> float:
        value = self._take(key)
        if _number(value) and (0 < value < DEAREST or (free and value == 0)):
            return float(value)
        raise _wrong(f"{key} of {self.name}", value, "0 or a price above it" if free else "a price above 0")

    def prices(self, key: str, names: Sequence[str]) -> dict[str, float]:
        part = Section(f"{key} of {self.name}", self._take(key))
        found = {name: part.price(name) for name in names}
        part.end()
        return found

    def whole(self, key: str, *, least: int = 1, most: int = MOST) -> int:
        value = self._take(key)
        if isinstance(value, int) and _number(value) and least <= value <= most:
            return value
        raise _wrong(f"{key} of {self.name}", value, f"a whole number from {least} to {most}")

    def text(self, key: str, known: Sequence[str] = ()) -> str:
        value = self._take(key)
        if isinstance(value, str) and (value in known if known else value.strip()):
            return value
        raise _wrong(f"{key} of {self.name}", value, f"one of {', '.join(known)}" if known else "a text")

    def day(self, key: str) -> date:
        value = self._take(key)
        if type(value) is date:  # a moment would be one too
            return value
        raise _wrong(f"{key} of {self.name}", value, "a day, without quotes, as 2026-11-21")

    def flag(self, key: str) -> bool:
        """False where it is not said."""
        value = self._left.pop(key, False)
        if isinstance(value, bool):
            return value
        raise _wrong(f"{key} of {self.name}", value, "true or false")

    def _take(self, key: str) -> Any:
        if key not in self._left:
            raise ValueError(f"{self.name} does not say '{key}'")
        return self._left.pop(key)


def _wrong(what: str, value: object, wanted: str) -> ValueError:
    return ValueError(f"{what} is {value!r}, not {wanted}")


def _number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
