"""Series on a regular grid of time, and what each row could know of its own."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from functions.retraining.data.factorising import factorised
from lastmile.tensors import Array

UNEVEN = 0.12  # of a step: months are 28 to 31 days long
NOISE = 0.0025  # of a step: a day on which clocks are set, among others


@dataclass(frozen=True, eq=False)
class Grid:
    """All series behind each other, of which only those places are kept that have a value: most of a grid is empty
    where rows are few and far between. Each series begins with room for a window."""

    known: Array  # places, ascending
    values: Array  # there
    places: Array  # of every row

    @classmethod
    def of(cls, series: Array, times: Array, values: Array, *, step: float, room: int) -> Self:
        number, _ = factorised(series)
        moments = np.round((times - times.min(initial=np.inf)) / step).astype(np.int64)
        places = number * (int(moments.max(initial=0)) + 1 + room) + room + moments
        order = np.argsort(places, kind="stable")
        last = np.diff(places[order], append=-1) != 0  # of several rows in one place the last one counts
        kept = order[last]
        return cls(places[kept], values[kept], places)

    def before(self, horizon: int, width: int) -> Array:
        """The `width` values that end `horizon` steps before each row, oldest first: [rows, width]."""
        found = np.empty((len(self.places), width))
        for column in range(width):  # one by one: together their places would take twice as much memory as they do
            wanted = self.places + (column + 1 - width - horizon)
            nearest = np.searchsorted(self.known, wanted)  # inside, since a row itself lies behind what it wants
            found[:, column] = np.where(self.known[nearest] == wanted, self.values[nearest], np.nan)
        return found


def step_of(series: Array, times: Array) -> float:
    """The usual time between two rows of a series, in seconds: the median, unless gaps like it have another mean, as
    those of months have."""
    number, _ = factorised(series)
    order = np.lexsort((times, number))
    gaps = np.diff(times[order])
    gaps = gaps[(number[order][1:] == number[order][:-1]) & (gaps > 0)]
    usual = float(np.median(gaps)) if len(gaps) else 1.0
    mean = float(gaps[np.abs(gaps - usual) <= UNEVEN * usual].mean()) if len(gaps) else usual
    return mean if abs(mean - usual) > NOISE * usual else usual
