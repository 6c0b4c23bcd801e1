"""The counts of one feature, which merge to the same in whatever order."""

import math
import sys
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastmile.profile.layout import WORD_BUCKETS, FeatureLayout, checksum, texts, words
from lastmile.tensors import Array

STEPS = 65_536  # a moment counts steps of a 65,536th of the layout's scale
FURTHEST = 1e9  # from the centre, in scales: what is beyond counts as there
CHUNK = 65_536  # rows summed at once without overflow


@dataclass(frozen=True, eq=False)
class FeatureProfile:
    """Counts per bin of what was there; for categories the last two are `other` and unseen.

    `rows` are those seen, whatever was in them; `values` the elements counted in the bins. `missing` and the two
    infinities are elements, too. `total` and `squares` are in steps of the layout's scale from its centre; `minimum`
    and `maximum` are of the finite values, None without any. `words` counts a text's words in buckets.
    """

    layout: FeatureLayout
    counts: Array
    words: Array
    rows: int = 0
    missing: int = 0
    below: int = 0
    above: int = 0
    total: int = 0
    squares: int = 0
    minimum: float | None = None
    maximum: float | None = None

    @classmethod
    def empty(cls, layout: FeatureLayout) -> "FeatureProfile":
        buckets = WORD_BUCKETS if layout.kind == "text" else 0
        return cls(layout, np.zeros(layout.bins, np.int64), np.zeros(buckets, np.int64))

    @classmethod
    def of(cls, layout: FeatureLayout, array: Array) -> "FeatureProfile":
        """Of the tensor in which the feature lies, rows on the first axis."""
        selected = layout.select(array)
        if layout.kind == "numeric":
            return _of_numbers(layout, selected)
        return _of_texts(layout, texts(selected), rows=selected.shape[0])

    @property
    def values(self) -> int:
        return int(self.counts.sum())

    @property
    def infinite(self) -> int:
        return self.below + self.above

    @property
    def elements(self) -> int:
        return self.values + self.missing + self.infinite

    @property
    def unseen(self) -> int:
        return int(self.counts[-1]) if self.layout.kind == "category" else 0

    @property
    def mean(self) -> float | None:
        if self.minimum is None or self.maximum is None:
            return None
        mean = self.layout.centre + self.layout.scale * (self.total / STEPS / self.values)
        return min(max(mean, self.minimum), self.maximum)

    @property
    def deviation(self) -> float | None:
        """The standard deviation of the values."""
        if not self.values or self.layout.kind == "category":
            return None
        variance = self.squares / STEPS / self.values - (self.total / STEPS / self.values) ** 2
        return min(self.layout.scale * math.sqrt(max(0.0, variance)), sys.float_info.max)

    def merge(self, other: "FeatureProfile") -> "FeatureProfile":
        return FeatureProfile(
            self.layout,
            self.counts + other.counts,
            self.words + other.words,
            self.rows + other.rows,
            self.missing + other.missing,
            self.below + other.below,
            self.above + other.above,
            self.total + other.total,
            self.squares + other.squares,
            _extreme(min, self.minimum, other.minimum),
            _extreme(max, self.maximum, other.maximum),
        )

    def to_document(self) -> dict[str, Any]:
        """`total` and `squares` as text: they may be larger than JSON's readers take."""
        return {
            "counts": self.counts.tolist(),
            "words": self.words.tolist(),
            "rows": self.rows,
            "missing": self.missing,
            "below": self.below,
            "above": self.above,
            "total": str(self.total),
            "squares": str(self.squares),
            "minimum": self.minimum,
            "maximum": self.maximum,
        }

    @classmethod
    def from_document(cls, layout: FeatureLayout, document: Mapping[str, Any]) -> "FeatureProfile":
        read = {
            **document,
            "counts": np.array(document["counts"], np.int64),
            "words": np.array(document["words"], np.int64),
            "total": int(document["total"]),
            "squares": int(document["squares"]),
        }
        return cls(layout, **read)


def _of_numbers(layout: FeatureLayout, array: Array) -> FeatureProfile:
    values = array.astype(np.float64).ravel()
    missing = int(np.isnan(values).sum())
    below, above = int((values == -np.inf).sum()), int((values == np.inf).sum())
    finite = values[np.isfinite(values)] if missing or below or above else values
    return FeatureProfile(
        layout,
        np.bincount(np.searchsorted(np.array(layout.edges), finite), minlength=layout.bins),
        np.zeros(0, np.int64),
        array.shape[0],
        missing,
        below,
        above,
        *_moments(layout, finite),
    )


def _moments(layout: FeatureLayout, finite: Array) -> tuple[int, int, float | None, float | None]:
    if not finite.size:
        return 0, 0, None, None
    with np.errstate(over="ignore"):  # what is too far for a float is cut off anyway
        distance = np.clip((finite - layout.centre) / layout.scale, -FURTHEST, FURTHEST)
    return (
        _whole_sum(np.rint(distance * STEPS)),
        _whole_sum(np.rint(distance * distance * STEPS)),
        float(finite.min()),
        float(finite.max()),
    )


def _whole_sum(whole: Array) -> int:
    """The exact sum of floats that are whole numbers."""
    if np.abs(whole).max() < 2.0**31:
        return int(whole.astype(np.int64).sum())
    total = 0
    for start in range(0, len(whole), CHUNK):
        upper, lower = np.divmod(whole[start : start + CHUNK], 2.0**32)
        total += (int(upper.astype(np.int64).sum()) << 32) + int(lower.astype(np.int64).sum())
    return total


def _of_texts(layout: FeatureLayout, found: list[str], *, rows: int) -> FeatureProfile:
    there = [text for text in found if text]
    counts = np.zeros(layout.bins, np.int64)
    buckets = np.zeros(WORD_BUCKETS if layout.kind == "text" else 0, np.int64)
    missing = len(found) - len(there)
    if layout.kind == "category":
        for text, count in Counter(there).items():
            counts[_place(layout, text)] += count
        return FeatureProfile(layout, counts, buckets, rows, missing)
    lengths = np.fromiter(map(len, there), np.float64, len(there))
    counts += np.bincount(np.searchsorted(np.array(layout.edges), lengths), minlength=layout.bins)
    for word, count in Counter(words(there)).items():
        buckets[checksum(word) % WORD_BUCKETS] += count
    return FeatureProfile(layout, counts, buckets, rows, missing, 0, 0, *_moments(layout, lengths))


def _place(layout: FeatureLayout, text: str) -> int:
    place = layout.index.get(text)
    if place is not None:
        return place
    is_unseen = layout.closed and checksum(text) not in layout.remembered
    return layout.bins - 1 if is_unseen else layout.bins - 2


def _extreme(choose: Any, one: float | None, other: float | None) -> float | None:
    known = [value for value in (one, other) if value is not None]
    return float(choose(known)) if known else None
