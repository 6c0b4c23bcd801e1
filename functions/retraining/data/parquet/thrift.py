"""Thrift's compact protocol, in which Parquet writes everything but the values.

https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md
"""

import struct
from typing import Any

DEEPEST = 32
TRUE, FALSE = 1, 2


class Damaged(Exception):
    """These bytes are not what they should be."""


class Reader:
    def __init__(self, data: memoryview, at: int = 0) -> None:
        self.data, self.at = data, at

    def struct(self, depth: int = 0) -> dict[int, Any]:
        """Values by field number."""
        if depth > DEEPEST:
            raise Damaged("it is nested too deeply")
        fields: dict[int, Any] = {}
        number = 0
        while kind := self._byte():
            number = number + (kind >> 4) if kind >> 4 else _unzigzag(self.varint())
            fields[number] = self._value(kind & 0x0F, depth)
        return fields

    def varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift > 63:
                raise Damaged("a number is too long")

    def take(self, size: int) -> memoryview:
        if size < 0 or self.at + size > len(self.data):
            raise Damaged("it ends too early")
        self.at += size
        return self.data[self.at - size : self.at]

    def _byte(self) -> int:
        return self.take(1)[0]

    def _value(self, kind: int, depth: int) -> Any:
        match kind:
            case 1 | 2:  # a field that is true or false has its value in its kind
                return kind == TRUE
            case 3:
                return self._byte()
            case 4 | 5 | 6:
                return _unzigzag(self.varint())
            case 7:
                return struct.unpack("<d", self.take(8))[0]
            case 8:
                return bytes(self.take(self.varint()))
            case 9 | 10:
                return self._list(depth)
            case 12:
                return self.struct(depth + 1)
            case _:
                raise Damaged(f"it holds a value of the unknown kind {kind}")

    def _list(self, depth: int) -> list[Any]:
        if depth > DEEPEST:
            raise Damaged("it is nested too deeply")
        head = self._byte()
        size, kind = head >> 4, head & 0x0F
        if size == 15:
            size = self.varint()
        if size > len(self.data) - self.at:
            raise Damaged("a list is longer than the file")
        if kind in (TRUE, FALSE):
            return [self._byte() == TRUE for _ in range(size)]
        return [self._value(kind, depth + 1) for _ in range(size)]


def _unzigzag(value: int) -> int:
    return (value >> 1) ^ -(value & 1)
