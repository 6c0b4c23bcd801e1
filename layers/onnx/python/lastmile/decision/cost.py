"""Choose among actions by what each costs and how much of the risk it leaves: inspect now, schedule, or fine.

An action costs its own `cost`, and on average p * risk * event_cost of what it does not prevent. Those are straight
lines in p; the action of least cost leaves the less risk the higher p is.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Self

from lastmile.decision.options import Options
from lastmile.decision.policy import (
    Arrays,
    Context,
    Decide,
    Decided,
    context_number,
    entries,
    output_of,
    percent,
    probabilities_of,
)
from lastmile.tensors import Signature


class Action(NamedTuple):
    """`risk` is the share of the event's probability that is left when this is done."""

    name: str
    cost: float
    risk: float


@dataclass(frozen=True, slots=True)
class Cost:
    """`actions` from the most to the least risk; from `switches[i]`, a risk in money, action i + 1 is cheaper.

    A request may say what the event would cost for each row: one machine is not another.
    """

    context: ClassVar[tuple[str, ...]] = ("event_cost",)

    column: int
    actions: tuple[Action, ...]
    switches: tuple[float, ...]
    event: str
    event_cost: float
    currency: str
    reviewed: frozenset[str]

    @classmethod
    def read(cls, options: Options, signature: Signature) -> Self:
        classes = output_of(signature, "probabilities", "cost", columns=True).columns
        positive = options.one_of("positive", classes, classes[-1])
        actions = _actions(options)
        return cls(
            column=classes.index(positive),
            actions=actions,
            switches=_switches(options, actions),
            event=options.text("event", f"class {positive}"),
            event_cost=options.number("event_cost", low=0.0),
            currency=options.text("currency", "EUR"),
            reviewed=options.some_of("review", [action.name for action in actions]),
        )

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        rows = len(next(iter(feeds.values())))
        event_costs = [
            context_number(entry, row, "event_cost", self.event_cost, low=0.0)
            for row, entry in enumerate(entries(context, rows))
        ]

        def decide(outputs: Arrays) -> list[Decided]:
            probabilities = probabilities_of(outputs)[:, self.column].tolist()
            return [self.decided(p, cost) for p, cost in zip(probabilities, event_costs, strict=True)]

        return decide

    def decided(self, probability: float, event_cost: float) -> Decided:
        risk = probability * event_cost
        chosen = self.actions[bisect_right(self.switches, risk)]
        costs = {action.name: action.cost + action.risk * risk for action in self.actions}
        stated = ", ".join(f"{name} {cost:.2f}" for name, cost in costs.items())
        reasons = (
            f"The probability of {self.event} is {percent(probability)}, and it would cost "
            f"{event_cost:.2f} {self.currency}.",
            f"Expected cost in {self.currency}: {stated}.",
            f"'{chosen.name}' costs least; it leaves {percent(chosen.risk)} of the risk.",
        )
        details = {
            "probability": round(probability, 6),
            "event_cost": round(event_cost, 2),
            "expected_costs": {name: round(cost, 2) for name, cost in costs.items()},
        }
        return Decided(chosen.name, reasons, details, chosen.name in self.reviewed)


def _actions(options: Options) -> tuple[Action, ...]:
    table = options.table("actions")
    if len(table) < 2:
        raise options.wrong("actions", "at least two actions are needed")
    actions = []
    for name in table:
        entry = options.inside("actions", name, table)
        actions.append(Action(name, entry.number("cost", low=0.0), entry.share("risk")))
        entry.close("actions")
    return tuple(sorted(actions, key=lambda action: (-action.risk, action.cost)))


def _switches(options: Options, actions: Sequence[Action]) -> tuple[float, ...]:
    """Where the cheapest action changes as the risk grows; InvalidSpec for an action that is never the cheapest."""
    switches: list[float] = []
    for index in range(1, len(actions)):
        before, after = actions[index - 1], actions[index]
        left = before.risk - after.risk
        at = (after.cost - before.cost) / left if left > 0 else -1.0
        if at <= 0:
            raise options.wrong(
                f"actions.{before.name}", f"never costs less than '{after.name}', which leaves no more risk"
            )
        if switches and at <= switches[-1]:
            raise options.wrong(f"actions.{before.name}", "is never the cheapest, however large the risk")
        switches.append(at)
    return tuple(switches)
