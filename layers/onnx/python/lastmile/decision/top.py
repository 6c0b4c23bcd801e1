"""The best products that may be shown: enough of a score, not excluded by the spec or by the request."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Self

from lastmile.decision.options import Options
from lastmile.decision.policy import (
    Arrays,
    Context,
    Decide,
    Decided,
    answered,
    as_answered,
    context_number,
    entries,
    output_of,
)
from lastmile.errors import InvalidInput
from lastmile.tensors import Signature

DECISIONS = ("recommend", "nothing")


@dataclass(frozen=True, slots=True)
class Top:
    """A request may ask for fewer than `limit` items, and exclude more: what is sold out, say."""

    context: ClassVar[tuple[str, ...]] = ("limit", "exclude")

    limit: int
    minimum_score: float
    exclude: frozenset[str]
    reviewed: frozenset[str]

    @classmethod
    def read(cls, options: Options, signature: Signature) -> Self:
        items = output_of(signature, "items", "top", text=True)
        scores = output_of(signature, "scores", "top")
        longest = items.shape[-1]
        limit = options.number("limit", 10, low=1)
        if limit != int(limit) or 0 < longest < limit:
            raise options.wrong("limit", f"{limit:g} is not a whole number up to the {longest} items of an answer")
        return cls(
            limit=int(limit),
            minimum_score=as_answered(options.number("minimum_score", 0.0), scores),
            exclude=frozenset(options.texts("exclude")),
            reviewed=options.some_of("review", DECISIONS),
        )

    def prepare(self, feeds: Arrays, context: Context) -> Decide:
        rows = len(next(iter(feeds.values())))
        wanted = [self._wanted(entry, row) for row, entry in enumerate(entries(context, rows))]

        def decide(outputs: Arrays) -> list[Decided]:
            ranked = zip(outputs["items"].tolist(), answered(outputs, "scores").tolist(), wanted, strict=True)
            return [self.decided(items, scores, limit, exclude) for items, scores, (limit, exclude) in ranked]

        return decide

    def decided(self, items: list[str], scores: list[float], limit: int, exclude: frozenset[str]) -> Decided:
        """`items` from the best on; an empty text is no item."""
        ranked = [(item, score) for item, score in zip(items, scores, strict=True) if item]
        allowed = [(item, score) for item, score in ranked if item not in exclude]
        good = [(item, score) for item, score in allowed if score >= self.minimum_score]
        chosen = good[:limit]
        reasons = [f"{len(chosen)} of the {len(ranked)} best items, at most {limit} were wanted{_named(chosen)}."]
        if len(allowed) < len(ranked):
            reasons.append(f"{_items(len(ranked) - len(allowed))} excluded.")
        if len(good) < len(allowed):
            reasons.append(f"{_items(len(allowed) - len(good))} below the score {self.minimum_score:g}.")
        decision = "recommend" if chosen else "nothing"
        details = {"items": [{"item": item, "score": round(score, 6)} for item, score in chosen]}
        return Decided(decision, tuple(reasons), details, decision in self.reviewed)

    def _wanted(self, entry: Mapping[str, Any], row: int) -> tuple[int, frozenset[str]]:
        limit = context_number(entry, row, "limit", self.limit, low=1, high=self.limit)
        if limit != int(limit):
            raise InvalidInput(f"context[{row}]: 'limit' is {limit:g}, a whole number is wanted")
        exclude = entry.get("exclude", [])
        if not isinstance(exclude, list) or not all(isinstance(item, str) for item in exclude):
            raise InvalidInput(f"context[{row}]: 'exclude' must be a list of texts")
        return int(limit), self.exclude.union(exclude)


def _named(chosen: list[tuple[str, float]]) -> str:
    return f": {', '.join(item for item, _ in chosen)}" if chosen else ""


def _items(count: int) -> str:
    return "1 item is" if count == 1 else f"{count} items are"
