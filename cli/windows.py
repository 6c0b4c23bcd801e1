"""What is kept of a file while it is read: its counts, those of windows of consecutive rows, and some of its rows."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from cli.columns import Table, as_numbers, as_texts, counted_texts
from lastmile.drift.joint import MOST_ROWS
from lastmile.profile import FeatureLayout, FeatureProfile, Layout, Profile
from lastmile.tensors import Array

if TYPE_CHECKING:
    from arro3.core import RecordBatch

MOST_WINDOWS = 64


class Windows:
    """Profiles of windows of so many rows. Of very many every other one is let go, again and again: memory is bounded.

    `whole` counts all rows, those of windows that were let go and of the last, shorter one too.
    """

    def __init__(self, layout: Layout, rows: int | None) -> None:
        self._length = rows
        self._open = self._empty = Profile.empty(layout)
        self._passed = 0
        self._stride = 1
        self._kept: dict[int, Profile] = {}
        self._whole = self._empty

    def add(self, batch: "RecordBatch", *, first: int, is_head: bool) -> None:
        """`first` is the number of its first row; `is_head` says whether it chose the categories."""
        for start, part in self._parts(batch):
            self._open = counted(self._open, part, first=first + start, is_head=is_head)
            if self._open.rows == self._length:
                self._close()

    @property
    def whole(self) -> Profile:
        return self._whole.merge(self._open)

    @property
    def kept(self) -> dict[int, Profile]:
        """By the number of the window, from 0."""
        return self._kept

    def _parts(self, batch: "RecordBatch") -> "Iterator[tuple[int, RecordBatch]]":
        start = 0
        while start < batch.num_rows:
            left = batch.num_rows - start
            length = left if self._length is None else min(left, self._length - self._open.rows)
            yield start, batch.slice(start, length)
            start += length

    def _close(self) -> None:
        self._whole = self._whole.merge(self._open)
        if self._passed % self._stride == 0:
            self._kept[self._passed] = self._open
        self._passed += 1
        self._open = self._empty
        if len(self._kept) > MOST_WINDOWS:
            self._stride *= 2
            self._kept = {number: one for number, one in self._kept.items() if number % self._stride == 0}


class Sample:
    """Rows spread over the whole file, by the names of features, with their numbers."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stride = 1
        self._parts: list[tuple[Array, dict[str, Array]]] = []

    def add(self, batch: "RecordBatch", *, first: int) -> None:
        columns = {name: values(one, batch.column(name)) for name, one in self._layout.features.items()}
        self._parts.append(self._thinned(np.arange(first, first + batch.num_rows), columns))
        while sum(len(numbers) for numbers, _ in self._parts) > MOST_ROWS:
            self._stride *= 2
            self._parts = [self._thinned(*part) for part in self._parts]

    def rows(self, since: int = 0, until: int | None = None) -> dict[str, Array]:
        """Those with numbers from `since` to before `until`."""
        numbers = np.concatenate([numbers for numbers, _ in self._parts]) if self._parts else np.zeros(0, int)
        chosen = (numbers >= since) & (numbers < (len(numbers) * self._stride if until is None else until))
        return {
            name: np.concatenate([columns[name] for _, columns in self._parts])[chosen]
            for name in (self._layout.features if self._parts else ())
        }

    def _thinned(self, numbers: Array, columns: Mapping[str, Array]) -> tuple[Array, dict[str, Array]]:
        chosen = numbers % self._stride == 0
        return numbers[chosen], {name: column[chosen] for name, column in columns.items()}


def read(
    table: Table, layout: Layout, *, skip: int = 0, window: int | None = None, sampled: bool = False
) -> tuple[Windows, Sample]:
    """The whole file, once. Its first `skip` rows chose the categories."""
    windows, sample = Windows(layout, window), Sample(layout)
    rows = 0
    for batch in table.batches():
        windows.add(batch, first=rows, is_head=rows < skip)
        if sampled:
            sample.add(batch, first=rows)
        rows += batch.num_rows
    return windows, sample


def counted(profile: Profile, batch: "RecordBatch", *, first: int, is_head: bool) -> Profile:
    features = {
        name: counts.merge(_counted(counts.layout, batch.column(name), first=first, is_head=is_head))
        for name, counts in profile.features.items()
    }
    return replace(profile, features=features, rows=profile.rows + batch.num_rows)


def _counted(layout: FeatureLayout, column: Any, *, first: int, is_head: bool) -> FeatureProfile:
    """Of the head every other row chose the categories of alternate features: those are not counted."""
    if layout.kind == "numeric":
        return FeatureProfile.of(layout, as_numbers(column))
    if layout.alternate and is_head:
        return FeatureProfile.of(layout, as_texts(column)[(first + 1) % 2 :: 2])
    found, missing = counted_texts(column)
    return FeatureProfile.of_texts(layout, found, missing, rows=len(column))


def values(layout: FeatureLayout, column: Any) -> Array:
    """As `joint` takes them: a text that is missing is empty."""
    if layout.kind == "numeric":
        return as_numbers(column)
    return np.array([text or "" for text in as_texts(column)], object)
