"""What a forecast sees of a series and of the calendar: the same in numpy and in the graph.

Values count relative to the mean size of those in the history (their level), so that what is learnt from one series
holds for another, and a level is never negative, which would turn quantiles round. A history without any value has the
level of the training rows.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from functions.retraining.recipes.graph import Graph
from lastmile.tensors import Array

HOUR, DAY = 3_600.0, 86_400.0
YEAR = 365.2425  # days
LATEST, SEASONS = 3, 4  # values, and values of the same place in the season


@dataclass(frozen=True)
class Lags:
    """`places` are columns of the history, `spans` the numbers of latest values to average."""

    places: tuple[int, ...]
    spans: tuple[int, ...]
    hourly: bool
    level: float  # where the history says nothing

    @classmethod
    def of(cls, *, width: int, horizon: int, seasons: tuple[int, ...], step: float, level: float) -> Self:
        back = {horizon + number for number in range(LATEST)}
        for season in seasons:
            first = -(-horizon // season)
            back |= {season * number for number in range(first, first + SEASONS)}
        places = sorted({width - 1 - (lag - horizon) for lag in back if lag - horizon < width})
        spans = sorted({min(span, width) for span in (*seasons, width)})
        return cls(tuple(places), tuple(spans), step < DAY, max(level, 1e-6))

    def features(self, history: Array, time: Array) -> tuple[Array, Array]:
        """float32 [rows, columns], and the level of each row as float64 [rows, 1]."""
        known = history.astype(float)
        level = _mean(np.abs(known))
        level = np.where(np.isnan(level) | (level < 1e-6), self.level, level)
        means = [_mean(known[:, -span:]) / level for span in self.spans]
        shown = [known[:, list(self.places)] / level, *means, level]
        return np.concatenate([*shown, *self._calendar(time.astype(float)[:, None])], axis=1).astype(np.float32), level

    def add(self, graph: Graph, history: str, time: str) -> tuple[str, str]:
        known = graph.cast(history, "FP64")
        level = self._add_level(graph, known)
        columns = [graph.add("Div", graph.add("Gather", known, graph.integers(*self.places), axis=1), level)]
        width = -max(self.spans)
        for span in self.spans:
            latest = graph.slice(known, -span, 1 << 30, 1) if -span != width else known
            columns.append(graph.add("Div", _add_mean(graph, latest), level))
        columns += [level, *self._add_calendar(graph, graph.cast(time, "FP64"))]
        return graph.cast(graph.add("Concat", *columns, axis=1), "FP32"), level

    def _calendar(self, time: Array) -> list[Array]:
        day = np.floor(time / DAY)
        weekday = (day + 3) - np.floor((day + 3) / 7) * 7  # Monday is 0: 1970 began with a Thursday
        year = day / YEAR - np.floor(day / YEAR)
        hour = np.floor((time - day * DAY) / HOUR)
        return [weekday, year, hour] if self.hourly else [weekday, year]

    def _add_calendar(self, graph: Graph, time: str) -> list[str]:
        def number(value: float) -> str:
            return graph.constant(value, np.float64)

        column = graph.add("Reshape", time, graph.integers(-1, 1))
        day = graph.add("Floor", graph.add("Div", column, number(DAY)))
        shifted = graph.add("Add", day, number(3))
        weeks = graph.add("Floor", graph.add("Div", shifted, number(7)))
        weekday = graph.add("Sub", shifted, graph.add("Mul", weeks, number(7)))
        years = graph.add("Div", day, number(YEAR))
        found = [weekday, graph.add("Sub", years, graph.add("Floor", years))]
        if self.hourly:
            seconds = graph.add("Sub", column, graph.add("Mul", day, number(DAY)))
            found.append(graph.add("Floor", graph.add("Div", seconds, number(HOUR))))
        return found

    def _add_level(self, graph: Graph, known: str) -> str:
        level = _add_mean(graph, graph.add("Abs", known))
        tiny = graph.add("Less", level, graph.constant(1e-6, np.float64))
        unknown = graph.add("Or", graph.add("IsNaN", level), tiny)
        return graph.add("Where", unknown, graph.constant(self.level, np.float64), level)


def _mean(values: Array) -> Array:
    """Of what is known in each row, [rows, 1]; NaN where nothing is."""
    known = ~np.isnan(values)
    with np.errstate(invalid="ignore"):
        return np.asarray(np.where(known, values, 0).sum(axis=1, keepdims=True) / known.sum(axis=1, keepdims=True))


def _add_mean(graph: Graph, values: str) -> str:
    unknown, zero = graph.add("IsNaN", values), graph.constant(0.0, np.float64)
    sums = graph.add("ReduceSum", graph.add("Where", unknown, zero, values), graph.integers(1), keepdims=1)
    count = graph.add("ReduceSum", graph.cast(graph.add("Not", unknown), "FP64"), graph.integers(1), keepdims=1)
    return graph.add("Div", sums, count)
