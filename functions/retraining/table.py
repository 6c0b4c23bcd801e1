"""Rows of training data in columns, and their compact bytes: what one step of a run leaves for the next."""

import struct
import zlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import orjson

from lastmile.errors import InvalidInput
from lastmile.tensors import Array

MAGIC = b"LMTABLE1"
LEVEL = 1  # columns are narrowed first, so that more effort gains little
FEW = 1 << 16  # so many different texts are kept once each, with 16 bits per row


@dataclass(frozen=True, eq=False)
class Table:
    """Columns of equal length by name, in order.

    Numbers are float64 with NaN where one is missing, or int64 where all are whole; times are float64 seconds since
    1970; texts are object arrays of `str`, "" where one is missing.
    """

    columns: dict[str, Array]

    def __post_init__(self) -> None:
        lengths = {name: len(column) for name, column in self.columns.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"columns differ in length: {lengths}")

    @property
    def rows(self) -> int:
        return len(next(iter(self.columns.values()), ()))

    def __getitem__(self, name: str) -> Array:
        return self.columns[name]

    def take(self, indices: Any) -> "Table":
        """The rows at these positions, or those of a mask, in this order."""
        return Table({name: column[indices] for name, column in self.columns.items()})

    def to_bytes(self) -> bytes:
        """Deterministic: equal tables have equal bytes."""
        packed = [(name, *_packed(column)) for name, column in self.columns.items()]
        heads = [{"name": name, "form": form, "bytes": len(data)} for name, form, data in packed]
        header = orjson.dumps({"rows": self.rows, "columns": heads})
        return b"".join((MAGIC, struct.pack("<Q", len(header)), header, *(data for _, _, data in packed)))

    @classmethod
    def from_bytes(cls, data: bytes) -> "Table":
        """Raises InvalidInput unless `data` is what `to_bytes` gave."""
        try:
            return cls(_unpacked(memoryview(data)))
        except (ValueError, KeyError, IndexError, TypeError, struct.error, zlib.error) as error:
            raise InvalidInput(f"these bytes are no table: {error}") from error


def _packed(column: Array) -> tuple[str, bytes]:
    """Its form, and its compressed bytes in that form."""
    if column.dtype.kind == "O":
        return _packed_texts(column.tolist())
    for narrow in ("<i1", "<i2", "<i4") if column.dtype.kind == "i" else ("<f4",):
        if _fits(column, narrow):
            return narrow, zlib.compress(column.astype(narrow).tobytes(), LEVEL)
    wide = "<i8" if column.dtype.kind == "i" else "<f8"
    return wide, zlib.compress(column.astype(wide).tobytes(), LEVEL)


def _fits(column: Array, narrow: str) -> bool:
    """Whether every value, and every zero's sign, survives."""
    with np.errstate(over="ignore", invalid="ignore"):
        return np.array_equal(column.astype(narrow).astype(column.dtype), column, equal_nan=column.dtype.kind == "f")


def _packed_texts(texts: list[str]) -> tuple[str, bytes]:
    known = dict.fromkeys(texts)
    if len(known) > FEW:
        return "texts", zlib.compress(_joined(texts), LEVEL)
    codes = {text: code for code, text in enumerate(known)}
    form = "<u1" if len(known) <= 1 << 8 else "<u2"
    rows = np.fromiter(map(codes.__getitem__, texts), form, len(texts))
    return f"codes {form}", zlib.compress(_joined(known) + rows.tobytes(), LEVEL)


def _joined(texts: Iterable[str]) -> bytes:
    """Their number, the length of each, and all of them one after the other."""
    raw = [text.encode("utf-8", "surrogatepass") for text in texts]
    return struct.pack("<Q", len(raw)) + np.array([len(one) for one in raw], "<u4").tobytes() + b"".join(raw)


def _unpacked(data: memoryview) -> dict[str, Array]:
    if data[: len(MAGIC)] != MAGIC:
        raise ValueError("they begin with something else")
    (length,) = struct.unpack_from("<Q", data, len(MAGIC))
    at = len(MAGIC) + 8 + length
    header = orjson.loads(data[at - length : at])
    columns: dict[str, Array] = {}
    for head in header["columns"]:
        raw = zlib.decompress(data[at : at + head["bytes"]])
        at += head["bytes"]
        columns[head["name"]] = _column(head["form"], raw, header["rows"])
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes are left over or missing")
    return columns


def _column(form: str, raw: bytes, rows: int) -> Array:
    if form.startswith("<"):
        values = np.frombuffer(raw, form, rows)
        return values.astype(np.int64 if values.dtype.kind == "i" else np.float64)
    texts, end = _split(raw)
    column = np.empty(rows, object)
    if form == "texts":
        column[:] = texts
        return column
    known = np.empty(len(texts), object)
    known[:] = texts
    column[:] = known[np.frombuffer(raw, form.removeprefix("codes "), rows, end)]
    return column


def _split(raw: bytes) -> tuple[list[str], int]:
    """The texts that `_joined` joined, and where they end."""
    (count,) = struct.unpack_from("<Q", raw)
    lengths = np.frombuffer(raw, "<u4", count, 8)
    ends = np.cumsum(lengths, dtype=np.int64) + 8 + 4 * count
    starts = ends - lengths
    cut: Callable[[int, int], str] = lambda start, end: raw[start:end].decode("utf-8", "surrogatepass")  # noqa: E731
    return list(map(cut, starts.tolist(), ends.tolist())), int(ends[-1]) if count else 8
