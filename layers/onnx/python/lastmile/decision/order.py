"""How much to order: up to the stock that covers demand with the wanted service level until the next delivery.

The forecast gives quantiles of one period's demand. Over n periods, with m the median and q the quantile at the service
level, demand stays below n m + sqrt(n + n (n - 1) c) (q - m), where c is the correlation of one period's error with
another's: exact for one period, and for normal errors otherwise (the base-stock rule of inventory theory).
"""

import math
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Self

from lastmile.decision.options import LARGEST, Options
from lastmile.decision.policy import (
    Arrays,
    Context,
    Decide,
    Decided,
    answered,
    context_number,
    output_of,
    percent,
)
from lastmile.errors import InvalidInput, ModelFailed
from lastmile.tensors import Signature

DECISIONS = ("order", "enough")
LONGEST = 3650.0  # periods


class Asked(NamedTuple):
    """What the request says of an item; times in periods."""

    stock: float
    on_order: float
    lead_time: float
    service_level: float


@dataclass(frozen=True, slots=True)
class Order:
    """Orders are placed every `review_period` periods and arrive `lead_time` periods later, in packs of `pack_size`."""

    context: ClassVar[tuple[str, ...]] = ("stock", "on_order", "lead_time", "service_level")

    levels: tuple[float, ...]  # of the quantiles, ascending
    service_level: float
    lead_time: float
    review_period: float
    pack_size: int
    correlation: float
    period: str
    reviewed: frozenset[str]

    @classmethod
    def read(cls, options: Options, signature: Signature) -> Self:
        levels = _levels(options, output_of(signature, "quantiles", "order", columns=True).columns)
        pack_size = options.number("pack_size", 1, low=1, high=LARGEST)
        if pack_size != int(pack_size):
            raise options.wrong("pack_size", f"{pack_size:g} is not a whole number")
        return cls(
            levels=levels,
            service_level=options.number("service_level", low=levels[0], high=levels[-1]),
            lead_time=options.number("lead_time", 0.0, low=0.0, high=LONGEST),
            review_period=options.number("review_period", 1.0, low=0.0, high=LONGEST),
            pack_size=int(pack_size),
            correlation=options.share("correlation", 0.0),
            period=options.text("period", "period"),
            reviewed=options.some_of("review", DECISIONS),
        )

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        if not context:
            raise InvalidInput("context is missing: the decision needs each row's 'stock'")
        asked = [self._asked(entry, row) for row, entry in enumerate(context)]

        def decide(outputs: Arrays) -> list[Decided]:
            quantiles = answered(outputs, "quantiles").tolist()
            return [self.decided(row, one) for row, one in zip(quantiles, asked, strict=True)]

        return decide

    def decided(self, quantiles: Sequence[float], asked: Asked) -> Decided:
        """`quantiles` of one period's demand, at `levels`; where two cross, the higher counts."""
        median = self.quantile(quantiles, 0.5)
        at_level = self.quantile(quantiles, asked.service_level)
        periods = asked.lead_time + self.review_period
        spread = math.sqrt(periods + max(periods * (periods - 1), 0.0) * self.correlation)
        up_to = max(periods * median + spread * (at_level - median), 0.0)
        if up_to > LARGEST:
            raise ModelFailed(
                f"the model's quantiles make {up_to:g} for {periods:g} periods, so nothing can be decided"
            )
        position = asked.stock + asked.on_order
        packs = max(math.ceil((up_to - position) / self.pack_size - 1e-9), 0)
        quantity = packs * self.pack_size
        decision = "order" if quantity else "enough"
        over = f"{periods:g} {self.period}{'' if periods == 1 else 's'}"
        reasons = (
            f"Demand over {over} is {periods * median:.1f} in the median, and stays below {up_to:.1f} "
            f"with {percent(asked.service_level)}.",
            f"{asked.stock:g} in stock and {asked.on_order:g} on order make {position:g}"
            + (f", so {quantity} are ordered." if quantity else ", which is enough."),
        )
        details = {
            "quantity": quantity,
            "order_up_to": round(up_to, 2),
            "expected_demand": round(periods * median, 2),
            "periods": periods,
            "service_level": asked.service_level,
        }
        return Decided(decision, reasons, details, decision in self.reviewed)

    def quantile(self, quantiles: Sequence[float], level: float) -> float:
        """Between two known quantiles on the straight line; demand is never negative."""
        at = min(max(bisect_left(self.levels, level), 1), len(self.levels) - 1)
        low, high = max(*quantiles[:at], 0.0), max(*quantiles[: at + 1], 0.0)
        share = (level - self.levels[at - 1]) / (self.levels[at] - self.levels[at - 1])
        return low + share * (high - low)

    def _asked(self, entry: Mapping[str, Any], row: int) -> Asked:
        low, high = self.levels[0], self.levels[-1]
        return Asked(
            stock=context_number(entry, row, "stock", None),
            on_order=context_number(entry, row, "on_order", 0.0, low=0.0),
            lead_time=context_number(entry, row, "lead_time", self.lead_time, low=0.0, high=LONGEST),
            service_level=context_number(entry, row, "service_level", self.service_level, low=low, high=high),
        )


def _levels(options: Options, columns: Sequence[str]) -> tuple[float, ...]:
    try:
        levels = tuple(map(float, columns))
    except ValueError:
        levels = ()
    if len(levels) < 2 or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= 0.5 <= levels[-1] < 1:
        raise options.wrong(
            "service_level", f"the columns of 'quantiles' are {', '.join(columns)}; levels around 0.5 are needed"
        )
    return levels
