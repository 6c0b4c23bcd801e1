"""Some rows of a file as they stand there, column by column, before anybody has looked at the values."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from lastmile.tensors import Array

# Texts of a CSV, values of JSON, or an array of Parquet (floats with NaN, whole numbers, texts with None, times).
type Raw = list[Any] | Array


class Torn(NamedTuple):
    """A row that could not even be split into columns."""

    line: int
    reason: str


@dataclass(frozen=True, eq=False)
class Chunk:
    """`lines[i]` is where row i begins in the file; a wanted column that the file has is in `columns`.

    `plain` promises that all values are texts without an underscore, which Python would take for a part of a number.
    """

    lines: Sequence[int]
    columns: dict[str, Raw]
    torn: tuple[Torn, ...] = ()
    plain: bool = False


@dataclass(frozen=True)
class Opened:
    """A file whose header has been read. `form` is for people; `decimal` is what numbers in texts are written with."""

    form: str
    names: tuple[str, ...]
    chunks: Callable[[Sequence[str]], Iterator[Chunk]]
    decimal: str = "."
