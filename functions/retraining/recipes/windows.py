"""Series on a regular grid of time, and what each row could know of its own."""

from dataclasses import dataclass
from typing import Self

import numpy as np

from lastmile.tensors import Array


@dataclass(frozen=True, eq=False)
class Grid:
    """The values of all series behind each other, NaN where there is none; each begins with room for a window."""

    values: Array
    places: Array  # of every row

    @classmethod
    def of(cls, series: Array, times: Array, values: Array, *, step: float, room: int) -> Self:
        _, number = np.unique(series, return_inverse=True)
        moments = np.round((times - times.min(initial=np.inf)) / step).astype(np.int64)
        count, length = int(number.max(initial=-1)) + 1, int(moments.max(initial=0)) + 1 + room
        grid = np.full(count * length, np.nan)
        places = number * length + room + moments
        grid[places] = values
        return cls(grid, places)

    def before(self, horizon: int, width: int) -> Array:
        """The `width` values that end `horizon` steps before each row, oldest first: [rows, width]."""
        return np.asarray(self.values[self.places[:, None] + np.arange(1 - width, 1) - horizon])


def step_of(series: Array, times: Array) -> float:
    """The usual time between two rows of a series, in seconds."""
    order = np.lexsort((times, series))
    gaps = np.diff(times[order])
    gaps = gaps[(series[order][1:] == series[order][:-1]) & (gaps > 0)]
    return float(np.median(gaps)) if len(gaps) else 1.0
