"""Where one way of serving becomes cheaper than another, said only where it is true.

Costs grow by steps, with each machine that is added: who has become the cheaper one may be the dearer one again a
little later. So every claim is about a range of rates on which it was shown, cell by cell.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cli.cost_curves import RATES, Costs

CLOSE = 1.0005  # a cell whose ends are nearer to each other is not split; what it has not shown by then is not claimed
WORTH = 1.25  # a range is told of if its end is at least so many times its start

type Range = tuple[float, float]


@dataclass(frozen=True, slots=True)
class Crossover:
    """From this rate on, or between these two, `cheaper` costs less than `dearer`; `monthly` is what, at the first."""

    rps: float
    until: float | None  # None is as far as anything was compared
    dearer: str
    cheaper: str
    monthly: float
    cheapest: bool  # of all, and not of these two alone


def crossovers(costs: Costs, rates: Sequence[float] = RATES) -> list[Crossover]:
    """Where each family is the cheapest of all, and where it is cheaper than the one that is so at the lowest rate.

    What begins at the lowest rate is no crossover.
    """
    lowest = costs(rates[0])
    first = min(lowest, key=lambda family: lowest[family])
    found: list[Crossover] = []
    for family in lowest:
        rivals = [name for name in lowest if name != family]
        best = list(_told(costs, rates, family, rivals)) if rivals else []
        found += [_crossover(costs, one, family, rivals, rates, cheapest=True) for one in best]
        for one in _told(costs, rates, family, [first]) if family != first else ():
            if not any(low <= one[0] and one[1] <= high for low, high in best):
                found.append(_crossover(costs, one, family, [first], rates, cheapest=False))
    return sorted(found, key=lambda one: one.rps)


def _crossover(
    costs: Costs, shown: Range, family: str, rivals: list[str], rates: Sequence[float], *, cheapest: bool
) -> Crossover:
    low, high = shown
    at = costs(low)
    dearer = min(rivals, key=lambda name: at[name])
    return Crossover(low, None if high == rates[-1] else high, dearer, family, at[family], cheapest)


def _told(costs: Costs, rates: Sequence[float], family: str, rivals: list[str]) -> Iterator[Range]:
    """The ranges that are wide enough, in three figures that lie within them."""
    for low, high in where_cheaper(costs, rates, family, rivals):
        if low > rates[0] and high / low >= WORTH:
            yield three_figures(low, math.ceil), high if high == rates[-1] else three_figures(high, math.floor)


def where_cheaper(costs: Costs, rates: Sequence[float], family: str, rivals: list[str]) -> list[Range]:
    """The ranges on which the family costs less than each of the rivals."""
    found: list[Range] = []
    for low, high in _cells(costs, rates, family, rivals):
        start = found.pop()[0] if found and found[-1][1] == low else low
        found.append((start, high))
    return found


def _cells(costs: Costs, rates: Sequence[float], family: str, rivals: list[str]) -> Iterator[Range]:
    """As costs grow with the rate, who costs less at a cell's end than its rivals at its start does so all over it."""
    ahead = list(pairwise(rates))[::-1]
    while ahead:
        low, high = ahead.pop()
        ends = costs(low), costs(high)
        own, other = [end[family] for end in ends], [min(end[name] for name in rivals) for end in ends]
        if max(own) < min(other):
            yield low, high
        elif min(own) < max(other) and high / low > CLOSE and not all(map(_same, own, other)):
            middle = math.sqrt(low * high)
            ahead += (middle, high), (low, middle)


def _same(one: float, other: float) -> bool:
    """Too near to each other for a cell of any size to tell them apart."""
    return math.isclose(one, other, rel_tol=CLOSE - 1)


def three_figures(rate: float, rounded: Callable[[float], int]) -> float:
    unit = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return float(f"{rounded(rate / unit) * unit:.3g}")
