"""Reads Universal Binary JSON, in which XGBoost keeps its models: https://ubjson.org/."""

import struct
from typing import Any

import numpy as np

from lastmile.errors import InvalidInput

NUMBERS = {"i": ">i1", "U": ">u1", "I": ">i2", "l": ">i4", "L": ">i8", "d": ">f4", "D": ">f8"}
CONSTANTS = {"Z": None, "T": True, "F": False}
DEEPEST = 64


def read(data: bytes) -> Any:
    """Objects, lists and numbers; a list of numbers of one type is an array. Raises InvalidInput."""
    reader = _Reader(data)
    try:
        value = reader.value(reader.marker(), DEEPEST)
    except (IndexError, KeyError, ValueError, struct.error) as error:
        raise InvalidInput(f"these bytes are no UBJSON: {error or 'they end too early'}") from error
    if reader.at != len(data):
        raise InvalidInput(f"these bytes are no UBJSON: {len(data) - reader.at} are left over")
    return value


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0

    def marker(self) -> str:
        """The next byte that says what follows."""
        while (found := chr(self.data[self.at])) == "N":
            self.at += 1
        self.at += 1
        return found

    def value(self, marker: str, depth: int) -> Any:
        if not depth:
            raise ValueError(f"more than {DEEPEST} levels")
        match marker:
            case "{":
                return self._object(depth - 1)
            case "[":
                return self._list(depth - 1)
            case "S" | "H":
                return self._bytes(self._length()).decode()
            case "C":
                return self._bytes(1).decode()
        if marker in CONSTANTS:
            return CONSTANTS[marker]
        return self._numbers(marker, 1)[0].item()

    def _object(self, depth: int) -> dict[str, Any]:
        kind, count = self._sized()
        found: dict[str, Any] = {}
        while count is None or len(found) < count:
            if count is None and self._ends("}"):
                break
            key = self._bytes(self._length()).decode()
            found[key] = self.value(kind or self.marker(), depth)
        return found

    def _list(self, depth: int) -> Any:
        kind, count = self._sized()
        if kind in NUMBERS and count is not None:
            return self._numbers(kind, count)
        found: list[Any] = []
        while count is None or len(found) < count:
            if count is None and self._ends("]"):
                break
            found.append(self.value(kind or self.marker(), depth))
        return found

    def _sized(self) -> tuple[str | None, int | None]:
        """The type and the number of what a container holds, where it says them."""
        kind = None
        if self._ends("$"):
            kind = self.marker()
        return (kind, self._length()) if self._ends("#") else (kind, None)

    def _ends(self, marker: str) -> bool:
        found = chr(self.data[self.at]) == marker
        self.at += found
        return found

    def _length(self) -> int:
        length = int(self._numbers(self.marker(), 1)[0])
        if length < 0 or length > len(self.data):
            raise ValueError(f"a length of {length}")
        return length

    def _numbers(self, kind: str, count: int) -> Any:
        dtype = np.dtype(NUMBERS[kind])
        return np.frombuffer(self._bytes(count * dtype.itemsize), dtype).astype(dtype.newbyteorder("="))

    def _bytes(self, count: int) -> bytes:
        if self.at + count > len(self.data):
            raise IndexError
        self.at += count
        return self.data[self.at - count : self.at]
