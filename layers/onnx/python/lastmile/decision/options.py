"""The options of a policy, taken one by one: what is missing, wrong or left over has a sentence with its key."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lastmile.errors import InvalidSpec

LARGEST = 1e15  # of sums and stocks: what is larger is a mistake, and cannot be counted in whole numbers


class Options:
    """`where` is the key under which the options stand in the spec."""

    def __init__(self, document: Mapping[str, Any], where: str = "decision.options") -> None:
        self._left = dict(document)
        self._known: list[str] = []
        self._where = where

    def number(
        self, key: str, otherwise: float | None = None, *, low: float = -math.inf, high: float = math.inf
    ) -> float:
        """A number between `low` and `high`, both allowed; without `otherwise` it must be there."""
        value = self._take(key, otherwise)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise self.wrong(key, f"{value!r:.60} is no number")
        if not low <= value <= high:
            bounds = f"from {low:g} to {high:g}" if high < math.inf else f"of at least {low:g}"
            raise self.wrong(key, f"{value:g} is not a number {bounds}")
        if abs(value) > LARGEST:
            raise self.wrong(key, f"{value:g} is beyond {LARGEST:g}")
        return float(value)

    def share(self, key: str, otherwise: float | None = None) -> float:
        return self.number(key, otherwise, low=0.0, high=1.0)

    def text(self, key: str, otherwise: str | None = None) -> str:
        value = self._take(key, otherwise)
        if not isinstance(value, str) or not value.strip():
            raise self.wrong(key, f"{value!r:.60} is no text")
        return value

    def one_of(self, key: str, choices: Iterable[str], otherwise: str | None = None) -> str:
        value, known = self.text(key, otherwise), list(choices)
        if value not in known:
            raise self.wrong(key, f"{value!r:.60} is none of {', '.join(known)}")
        return value

    def texts(self, key: str, otherwise: Iterable[str] = ()) -> tuple[str, ...]:
        value = self._take(key, list(otherwise))
        if not isinstance(value, (list, tuple)) or not all(isinstance(text, str) and text.strip() for text in value):
            raise self.wrong(key, "must be a list of texts")
        if len(set(value)) != len(value):
            raise self.wrong(key, "says something twice")
        return tuple(value)

    def some_of(self, key: str, choices: Iterable[str], otherwise: Iterable[str] = ()) -> frozenset[str]:
        values, known = self.texts(key, otherwise), list(choices)
        for value in values:
            if value not in known:
                raise self.wrong(key, f"{value!r:.60} is none of {', '.join(known)}")
        return frozenset(values)

    def table(self, key: str) -> dict[str, Any]:
        """A table of the spec, empty where there is none."""
        value = self._take(key, {})
        if not isinstance(value, dict):
            raise self.wrong(key, "must be a table")
        return value

    def inside(self, key: str, name: str, table: Mapping[str, Any]) -> "Options":
        """The options of one entry of a table."""
        if not isinstance(table[name], dict):
            raise self.wrong(f"{key}.{name}", "must be a table")
        return Options(table[name], f"{self._where}.{key}.{name}")

    def wrong(self, key: str, what: str) -> InvalidSpec:
        return InvalidSpec(f"{self._where}.{key}: {what}")

    def close(self, kind: str) -> None:
        """Raise InvalidSpec for keys that nobody took."""
        if self._left:
            from lastmile.declared import nearest  # who serves has no misspelt keys

            key = next(iter(self._left))
            raise self.wrong(key, f"unknown key of '{kind}'{nearest(key, self._known)}")

    def _take(self, key: str, otherwise: Any) -> Any:
        self._known.append(key)
        if key in self._left:
            return self._left.pop(key)
        if otherwise is None:
            raise self.wrong(key, "missing")
        return otherwise
