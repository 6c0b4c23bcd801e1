"""Whether two models agree: the answers of both to the same rows, output by output.

Numbers may differ by a tolerance, and by what float32 cannot tell apart. Labels are equal or not; items may change
places only where their scores are equal within the tolerance.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from lastmile.tensors import Array

RESOLUTION = 1e-6  # of a float32 that has been through a few operations, relative to its size
LONGEST_TEXT = 80

type Answers = Mapping[str, Array]


@dataclass(frozen=True)
class Compared:
    """One output on one set of rows. `worst` is the row with the largest difference, or the first mismatch."""

    rows: str
    output: str
    count: int
    largest_difference: float
    beyond: int
    worst: int | None
    expected: str = ""
    found: str = ""

    def is_within(self, mismatch_share: float) -> bool:
        """No number may be beyond its tolerance; labels and items may differ in that share of the rows."""
        return self.beyond <= (0.0 if is_numeric(self.output) else mismatch_share * self.count)


def compare(rows: str, expected: Answers, found: Answers, tolerance: float) -> list[Compared]:
    """The outputs of `expected`, each against that of `found`; `rows` is what these rows are called."""
    results = []
    for name, wanted in expected.items():
        answer = found[name]
        if wanted.shape != answer.shape:
            shapes = f"shape {list(wanted.shape)}", f"shape {list(answer.shape)}"
            results.append(Compared(rows, name, len(wanted), 0.0, max(len(wanted), 1), None, *shapes))
            continue
        if name == "items":
            excess = _misplaced(expected, found, tolerance)
        elif _are_numbers(name, wanted):
            excess = _excess(wanted, answer, tolerance)
        else:
            excess = np.where(wanted == answer, -1.0, 1.0)
        results.append(_summary(rows, name, wanted, answer, excess.reshape(len(wanted), math.prod(wanted.shape[1:]))))
    return results


def is_numeric(output: str) -> bool:
    return output not in ("label", "items")


def _are_numbers(output: str, values: Array) -> bool:
    return is_numeric(output) and values.dtype.kind != "O"


def brief(values: Any) -> str:
    text = str(values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."


def _excess(wanted: Array, answer: Array, tolerance: float) -> Array:
    """How much further apart than allowed; one NaN alone is endlessly far, two are equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(wanted.astype(float) - answer.astype(float))
        allowed = tolerance + RESOLUTION * np.abs(wanted.astype(float))
        excess = apart - np.where(np.isfinite(allowed), allowed, 0)
    same = (wanted == answer) | (np.isnan(wanted) & np.isnan(answer))
    return np.where(same, -1.0, np.where(np.isnan(excess), np.inf, excess))


def _misplaced(expected: Answers, found: Answers, tolerance: float) -> Array:
    """Positive where an item stands on a place of another score than its own."""
    excess = np.full(expected["items"].shape, -1.0)
    for row, place in zip(*np.nonzero(expected["items"] != found["items"]), strict=True):
        scores = expected["scores"][row]
        its = np.flatnonzero(expected["items"][row] == found["items"][row, place])
        own = scores[its[0]] if len(its) else scores[-1]  # what is not there may be level with the last
        excess[row, place] = abs(own - scores[place]) - 2 * (tolerance + RESOLUTION * abs(scores[place]))
    return excess


def _summary(rows: str, name: str, wanted: Array, answer: Array, excess: Array) -> Compared:
    by_row = excess.max(axis=1, initial=-1.0)
    worst = int(by_row.argmax()) if len(by_row) else None
    largest = 0.0
    if _are_numbers(name, wanted):
        with np.errstate(invalid="ignore"):
            apart = np.abs(wanted.astype(float) - answer.astype(float))
        largest = float(np.nan_to_num(apart, nan=0.0, posinf=0.0).max(initial=0.0))
    beyond = int((by_row > 0).sum())
    if worst is None or not beyond:
        return Compared(rows, name, len(wanted), largest, beyond, None)
    return Compared(rows, name, len(wanted), largest, beyond, worst, brief(wanted[worst]), brief(answer[worst]))
