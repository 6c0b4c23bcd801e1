"""From what stands in a file to arrays: all values of a column at once, one by one only where that fails."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from functions.retraining.data import times
from functions.retraining.data.chunk import Raw
from functions.retraining.data.columns import Column
from lastmile.tensors import Array

MISSING = frozenset(("", "na", "n/a", "#n/a", "nan", "null", "none", "nil", "?", "-"))
TRUTHS = {"true": 1.0, "false": 0.0}
NO_NUMBER = "is no number"
NO_TIME = "is no time (ISO 8601, or seconds since 1970)"
KEPT_ONCE = 1 << 16
THOUSANDS = re.compile(r"\s*[-+]?\d{1,3}(\.\d{3})+(,\d*)?\s*")
EXACT = 2.0**53  # beyond it, floats skip whole numbers
LONGEST = 2.0**64  # beyond it, whole numbers of JSON are read as floats


class Problem(NamedTuple):
    """What is wrong with one value. `kind` is the same for all such values, `text` is about this one."""

    row: int
    kind: str
    text: str


class NoValue(Exception):
    """A value is not what the column wants; the text says what it is not."""


@dataclass
class Converter:
    """The values of one column, chunk after chunk."""

    column: Column
    decimal: str = "."
    _known: dict[str, str] = field(default_factory=dict)
    _plain: bool = False

    def convert(self, raw: Raw, *, plain: bool = False) -> tuple[Array, list[Problem]]:
        """One value per row, with something harmless where there is a problem. For `plain` see Chunk."""
        self._plain = plain or (_are_texts(raw) and "_" not in "".join(raw))
        values, problems = self._kinds[self.column.kind](self, raw)
        return values, problems

    def _number(self, raw: Raw) -> tuple[Array, list[Problem]]:
        values, problems = self._floats(raw)
        return values, [*problems, *self._of_numbers(raw, values, problems)]

    def _integer(self, raw: Raw) -> tuple[Array, list[Problem]]:
        whole = _whole(raw, self._plain)
        values, problems = (whole, []) if whole is not None else self._floats(raw)
        problems += self._of_numbers(raw, values, problems)
        if whole is None:
            with np.errstate(invalid="ignore"):
                fractions = np.flatnonzero(np.isfinite(values) & (values % 1 != 0))
            problems += self._each(raw, fractions, "is no whole number")
        if self.column.categories:
            digits = str if whole is not None else _plain
            problems += self._categories(raw, list(map(digits, values.tolist())), problems)
        if whole is None:
            values = _whole_if_all(values, {problem.row for problem in problems})
        return values, problems

    def _text(self, raw: Raw) -> tuple[Array, list[Problem]]:
        problems: list[Problem] = []
        texts = raw if self._plain or _are_texts(raw) else list(self._texts(raw, problems))
        assert type(texts) is list
        if len(self._known) < KEPT_ONCE:  # one object for all equal texts
            texts = list(map(self._known.setdefault, texts, texts))
        if not self.column.nullable:
            missing = [row for row, text in enumerate(texts) if not text]
            problems += [Problem(row, "is missing", f"{self.column.name} is missing") for row in missing]
        values = np.empty(len(texts), object)
        values[:] = texts
        return values, problems + self._categories(raw, texts, problems)

    def _time(self, raw: Raw) -> tuple[Array, list[Problem]]:
        if not isinstance(raw, list) and raw.dtype.kind == "M":
            values = raw.astype("datetime64[us]").astype(np.int64) / 1e6
            values[np.isnat(raw)] = np.nan
            return self._in_calendar(raw, values)
        numbers = _epochs(raw)
        if numbers is not None:
            present = np.isfinite(numbers)
            numbers[present] = times.from_epoch(numbers[present])
            return self._in_calendar(raw, numbers)
        each = raw if isinstance(raw, list) else raw.tolist()
        try:
            return times.parsed(each), []
        except (ValueError, TypeError, AttributeError):
            values, problems = self._one_by_one(each, times.parse, NO_TIME)
            return values, [*problems, *self._missing(values, problems)]

    def _in_calendar(self, raw: Raw, seconds: Array) -> tuple[Array, list[Problem]]:
        strange = times.beyond(seconds)
        problems = self._each(raw, np.flatnonzero(strange), NO_TIME)
        return np.where(strange, 0.0, seconds), [*problems, *self._missing(seconds)]

    def _floats(self, raw: Raw) -> tuple[Array, list[Problem]]:
        if not isinstance(raw, list) and raw.dtype.kind in "fiub":
            with np.errstate(invalid="ignore"):  # some NaN are signals
                return raw.astype(float, copy=False), []
        each: list[Any] = raw if isinstance(raw, list) else raw.tolist()
        if self.decimal == ",":
            return self._with_commas(each)
        found = _all_floats(each, self._plain)
        return (found, []) if found is not None else self._one_by_one(each, _number, NO_NUMBER)

    def _with_commas(self, raw: list[str]) -> tuple[Array, list[Problem]]:
        try:
            found = _all_floats(list(map(_pointed, raw)), self._plain)
        except NoValue:
            found = None
        return (
            (found, []) if found is not None else self._one_by_one(raw, lambda text: _number(_pointed(text)), NO_NUMBER)
        )

    def _one_by_one(self, raw: list[Any], parse: Callable[[str], float], kind: str) -> tuple[Array, list[Problem]]:
        values = np.full(len(raw), np.nan)
        problems: list[Problem] = []
        for row, value in enumerate(raw):
            if value is None or (type(value) is str and value.strip().lower() in MISSING):
                continue
            try:
                values[row] = parse(value if type(value) is str else _plain(value))
            except (ValueError, OverflowError, NoValue):
                problems.append(self._problem(row, value, kind))
                values[row] = 0.0
        return values, problems

    def _of_numbers(self, raw: Raw, values: Array, problems: list[Problem]) -> list[Problem]:
        """Missing, infinite, too small, too large."""
        column, known = self.column, {problem.row for problem in problems}
        found = [] if values.dtype.kind == "i" else self._missing(values, problems)
        with np.errstate(invalid="ignore"):
            infinite = np.isinf(values)
            found += self._each(raw, np.flatnonzero(infinite), "is infinite")
            if column.minimum is not None:
                rows = np.flatnonzero(~infinite & (values < column.minimum))
                found += self._each(raw, rows, f"is below the minimum {column.minimum:g}")
            if column.maximum is not None:
                rows = np.flatnonzero(~infinite & (values > column.maximum))
                found += self._each(raw, rows, f"is above the maximum {column.maximum:g}")
        return [problem for problem in found if problem.row not in known]

    def _missing(self, values: Array, problems: "list[Problem] | None" = None) -> list[Problem]:
        if self.column.nullable:
            return []
        known = {problem.row for problem in problems or ()}
        rows = np.flatnonzero(np.isnan(values)).tolist()
        return [Problem(row, "is missing", f"{self.column.name} is missing") for row in rows if row not in known]

    def _categories(self, raw: Raw, texts: list[str], problems: list[Problem]) -> list[Problem]:
        allowed = frozenset(self.column.categories)
        if not allowed or set(texts) <= allowed:
            return []
        known = {problem.row for problem in problems}
        strangers = [row for row, text in enumerate(texts) if text and text not in allowed and row not in known]
        return [self._problem(row, raw[row], _none_of(self.column.categories)) for row in strangers]

    def _texts(self, raw: Raw, problems: list[Problem]) -> Iterator[str]:
        for row, value in enumerate(raw if isinstance(raw, list) else raw.tolist()):
            try:
                yield "" if value is None or value != value else value if type(value) is str else _named(value)
            except NoValue:
                problems.append(self._problem(row, value, "is no text"))
                yield ""

    def _each(self, raw: Raw, rows: Array, kind: str) -> list[Problem]:
        return [self._problem(row, raw[row], kind) for row in rows.tolist()]

    def _problem(self, row: int, value: Any, kind: str) -> Problem:
        shown = "a value" if self.column.pii else brief(value)
        return Problem(row, kind, f"{self.column.name}: {shown} {kind}")

    _kinds = {"number": _number, "integer": _integer, "text": _text, "time": _time}  # noqa: RUF012


def brief(value: Any, length: int = 40) -> str:
    text = repr(value.item() if isinstance(value, np.generic) else value)
    return text if len(text) <= length else f"{text[: length - 3]}..."


def _none_of(categories: tuple[str, ...]) -> str:
    some = ", ".join(categories[:5])
    return f"is none of {some}" + (f" and {len(categories) - 5} others" if len(categories) > 5 else "")


def _are_texts(raw: Raw) -> bool:
    return isinstance(raw, list) and set(map(type, raw)) <= {str}


def _all_floats(raw: list[Any], plain: bool) -> Array | None:
    """None unless every value is a number or empty."""
    try:
        if not plain:
            values = np.array(raw, float)  # None becomes NaN
            return values if values.ndim == 1 and not {str, list, dict} & set(map(type, raw)) else None
        try:
            return np.array(list(map(float, raw)))
        except ValueError:
            return np.array([float(text) if text else np.nan for text in raw])
    except (ValueError, TypeError, OverflowError):
        return None


def _epochs(raw: Raw) -> Array | None:
    """Numbers that are times, with NaN where one is missing; None if there is anything else."""
    if isinstance(raw, list):
        return np.array(raw, float) if set(map(type, raw)) <= {int, float, type(None)} else None
    return raw.astype(float) if raw.dtype.kind in "iuf" else None


def _whole(raw: Raw, plain: bool) -> Array | None:
    """Whole numbers, of which floats would lose the last digits of long ones; None if one is anything else."""
    if not isinstance(raw, list):
        return raw.astype(np.int64) if raw.dtype.kind in "ib" else None
    try:
        if plain:
            return np.array(list(map(int, raw)), np.int64)
        return np.array(raw, np.int64) if set(map(type, raw)) <= {int, bool} else None
    except (ValueError, OverflowError):
        return None


def _whole_if_all(values: Array, bad: set[int]) -> Array:
    """int64 if each value is whole, where the bad ones count for nothing."""
    if bad:
        values = values.copy()
        values[list(bad)] = 0
    if np.isfinite(values).all() and (np.abs(values) <= EXACT).all():
        return values.astype(np.int64)
    return values


def _pointed(text: str) -> str:
    """A number with a decimal comma, as it is with a point; points in it may only stand between thousands."""
    if "." in text and THOUSANDS.fullmatch(text) is None:
        raise NoValue
    return text.replace(".", "").replace(",", ".")


def _number(text: str) -> float:
    text = text.strip()
    if "_" in text:
        raise NoValue
    truth = TRUTHS.get(text.lower())
    return float(text) if truth is None else truth


def _named(value: Any) -> str:
    """A number as a text. One with more digits than JSON's readers keep is not told from its neighbours."""
    if isinstance(value, float) and abs(value) >= LONGEST:
        raise NoValue
    return _plain(value)


def _plain(value: Any) -> str:
    """A JSON value as a CSV would have it."""
    if type(value) is bool:
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, (int, float, np.generic)):
        return str(value)
    raise NoValue
