"""Rows that no model may learn from: all are counted, some are kept."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

KEPT = 10_000
KEPT_VALUES = 1_000_000  # or reasons, of all rows that are kept: of wide tables there are fewer
LONGEST_VALUE = 200


@dataclass(frozen=True)
class BadRow:
    """Where it begins in the file, all that is wrong with it, and what stands there (without personal values)."""

    line: int
    reasons: tuple[str, ...]
    row: dict[str, Any]


@dataclass
class Kind:
    """Rows with the same thing wrong in the same column (None: the row as a whole)."""

    column: str | None
    problem: str
    example: str
    first_line: int
    rows: int = 0


@dataclass
class BadRows:
    total: int = 0
    values: int = 0
    kept: list[BadRow] = field(default_factory=list)
    kinds: dict[tuple[str | None, str], Kind] = field(default_factory=dict)

    @property
    def has_room(self) -> bool:
        """Whether the next one is kept."""
        return len(self.kept) < KEPT and self.values < KEPT_VALUES

    def add(self, row: BadRow, kinds: list[tuple[str | None, str]]) -> None:
        """`kinds` are (column, problem) of each of the row's reasons."""
        self.total += 1
        self._keep(row)
        for kind, reason in zip(kinds, row.reasons, strict=True):
            self.kinds.setdefault(kind, Kind(*kind, reason, row.line)).rows += 1

    def merge(self, later: "BadRows") -> None:
        """Add those of a later part of the same file."""
        self.total += later.total
        for row in later.kept:
            self._keep(row)
        for key, kind in later.kinds.items():
            if key in self.kinds:
                self.kinds[key].rows += kind.rows
            else:
                self.kinds[key] = kind

    def _keep(self, row: BadRow) -> None:
        if self.has_room:
            self.kept.append(row)
            self.values += max(len(row.row), len(row.reasons))

    def by_frequency(self) -> list[Kind]:
        return sorted(self.kinds.values(), key=lambda kind: -kind.rows)

    def to_lines(self) -> Iterator[bytes]:
        """JSON lines: one per kept row, and one that says how many were not kept."""
        for row in self.kept:
            yield orjson.dumps({"line": row.line, "reasons": row.reasons, "row": row.row}) + b"\n"
        if self.total > len(self.kept):
            yield orjson.dumps({"left_out": self.total - len(self.kept)}) + b"\n"
