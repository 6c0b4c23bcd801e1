"""Allow, review or block: what each would cost on average, at this probability and this amount.

With probability p that the case is bad, amount a, L = loss_rate * a + loss_fee and B = block_rate * a + block_cost:
allowing costs p L, reviewing costs review_cost + p (1 - review_finds) L, and blocking costs (1 - p) B. Each is a
straight line in p, and they cross in that order, so a higher probability never gives a more lenient decision.
"""

import math
from dataclasses import dataclass
from typing import ClassVar, Self

from lastmile.decision.options import Options
from lastmile.decision.policy import (
    Arrays,
    Context,
    Decide,
    Decided,
    Feature,
    amounts,
    as_answered,
    feature_of,
    output_of,
    percent,
    probabilities_of,
)
from lastmile.tensors import Signature

DECISIONS = ("allow", "review", "block")


@dataclass(frozen=True, slots=True)
class Threshold:
    """`review_from` and `block_from` are probabilities from which the decision is at least that, whatever it costs."""

    context: ClassVar[tuple[str, ...]] = ()

    column: int  # of the bad class
    amount: Feature
    event: str
    currency: str
    loss_rate: float
    loss_fee: float
    review_cost: float
    review_finds: float
    block_rate: float
    block_cost: float
    review_from: float
    block_from: float
    reviewed: frozenset[str]

    @classmethod
    def read(cls, options: Options, signature: Signature) -> Self:
        output = output_of(signature, "probabilities", "threshold", columns=True)
        classes = output.columns
        positive = options.one_of("positive", classes, classes[-1])
        return cls(
            column=classes.index(positive),
            amount=feature_of(signature, options.text("amount"), "amount"),
            event=options.text("event", f"class {positive}"),
            currency=options.text("currency", "EUR"),
            loss_rate=options.number("loss_rate", 1.0, low=0.0),
            loss_fee=options.number("loss_fee", 0.0, low=0.0),
            review_cost=options.number("review_cost", low=0.0),
            review_finds=options.share("review_finds", 1.0),
            block_rate=options.number("block_rate", 0.0, low=0.0),
            block_cost=options.number("block_cost", low=0.0),
            review_from=as_answered(options.share("review_from", 1.0), output),
            block_from=as_answered(options.share("block_from", 1.0), output),
            reviewed=options.some_of("review", DECISIONS, ("review",)),
        )

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        at_stake = amounts(self.amount, feeds)

        def decide(outputs: Arrays) -> list[Decided]:
            probabilities = probabilities_of(outputs)[:, self.column].tolist()
            return [self.decided(p, amount) for p, amount in zip(probabilities, at_stake, strict=True)]

        return decide

    def bounds(self, amount: float) -> tuple[float, float]:
        """The probabilities from which costs alone say review, and block; where review never pays both are one."""
        loss, harm = self._loss(amount), self._harm(amount)
        review = _ratio(self.review_cost, self.review_finds * loss)
        block_after_review = _ratio(harm - self.review_cost, (1 - self.review_finds) * loss + harm)
        if review < block_after_review:
            return review, block_after_review
        return (_ratio(harm, loss + harm),) * 2

    def costs(self, probability: float, amount: float) -> dict[str, float]:
        """What each decision would cost on average."""
        loss = probability * self._loss(amount)
        return {
            "allow": loss,
            "review": self.review_cost + (1 - self.review_finds) * loss,
            "block": (1 - probability) * self._harm(amount),
        }

    def decided(self, probability: float, amount: float) -> Decided:
        review, block = self.bounds(amount)
        block_at = min(block, self.block_from)
        review_at = min(review, self.review_from, block_at)
        # Against bounds, and not by comparing costs: rounding could otherwise turn two neighbours around.
        decision = DECISIONS[(probability >= review_at) + (probability >= block_at)]
        by_cost = DECISIONS[(probability >= review) + (probability >= block)]
        costs = self.costs(probability, amount)
        stated = ", ".join(f"{name} {costs[name]:.2f}" for name in DECISIONS)
        reasons = [
            f"The probability of {self.event} is {percent(probability)} with {amount:.2f} {self.currency} at stake.",
            f"Expected cost in {self.currency}: {stated}.",
        ]
        if decision != by_cost:
            limit, key = (self.block_from, "block") if decision == "block" else (self.review_from, "review")
            reasons.append(f"From {percent(limit)} the policy says at least {key}, although {by_cost} costs less.")
        else:
            reasons.append(f"At this amount review begins at {percent(review_at)} and block at {percent(block_at)}.")
        details = {
            "probability": round(probability, 6),
            "amount": round(amount, 2),
            "expected_costs": {name: round(cost, 2) for name, cost in costs.items()},
            "review_from": round(review_at, 6),
            "block_from": round(block_at, 6),
        }
        return Decided(decision, tuple(reasons), details, decision in self.reviewed)

    def _loss(self, amount: float) -> float:
        return self.loss_rate * amount + self.loss_fee

    def _harm(self, amount: float) -> float:
        return self.block_rate * amount + self.block_cost


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else math.inf
