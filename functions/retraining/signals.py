"""What the judge looks at, taken from the profiles of both sides: errors, slow answers, and other predictions."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Any

import numpy as np

from functions.retraining.judge import Count, Signal
from lastmile.policies import Canary
from lastmile.profile import LATENCY_EDGES_MS, FeatureProfile, Profile
from lastmile.tensors import Array

ERRORS, LATENCY, DISAGREEMENT = 0.5, 0.25, 0.25  # how the evidence needed is shared out
SLOW = (0.9, 0.99)  # quantiles of the champion's latency


def signals(
    champion: Profile, canary: Profile, policy: Canary, *, tolerance: float, latency: "Latency", captured: float = 1.0
) -> list[Signal]:
    """`tolerance` is how far the share of any prediction may move; profiles hold what came since the canary began, and
    the answers to the share `captured` of the requests."""
    errors = Signal(
        "errors",
        Count(champion.errors, champion.requests),
        Count(canary.errors, canary.requests),
        policy.max_error_increase,
        ERRORS,
    )
    slow = latency.signals(champion.latency, canary.latency, policy.max_latency_ratio)
    return [errors, *slow, *_disagreement(champion, canary, tolerance, captured)]


class Latency:
    """Where slow begins. It is settled before what is judged by it: counts until then, `skipped`, do not count."""

    def __init__(self, edges: tuple[int, ...], skipped: tuple[Array, Array]) -> None:
        self._edges = edges
        self._skipped = skipped

    @classmethod
    def settle(
        cls,
        known: dict[str, Any] | None,
        champion: Profile,
        canary: Profile,
        *,
        before: Profile | None,
        least: int,
    ) -> "Latency":
        """As it was settled before; or from the champion's answers before the canary; or from those until now."""
        if known is not None:
            return cls(tuple(known["edges"]), (np.array(known["champion"]), np.array(known["canary"])))
        nothing = np.zeros_like(champion.latency)
        if before is not None and before.latency.sum() >= least:
            return cls(_slow_edges(before.latency), (nothing, nothing))
        if champion.latency.sum() >= least:
            return cls(_slow_edges(champion.latency), (champion.latency, canary.latency))
        return cls((), (nothing, nothing))

    def to_document(self) -> dict[str, Any] | None:
        """None while it is not settled."""
        if not self._edges:
            return None
        skipped = {"champion": self._skipped[0].tolist(), "canary": self._skipped[1].tolist()}
        return {"edges": list(self._edges), **skipped}

    def signals(self, champion: Array, canary: Array, ratio: float) -> Iterator[Signal]:
        mine, its = canary - self._skipped[1], champion - self._skipped[0]
        for edge in self._edges:
            bound = bisect_left(LATENCY_EDGES_MS, LATENCY_EDGES_MS[edge] * ratio)
            yield Signal(
                f"slower than {LATENCY_EDGES_MS[min(bound, len(LATENCY_EDGES_MS) - 1)]:g} ms, "
                f"and the champion than {LATENCY_EDGES_MS[edge]:g} ms",
                Count(int(its[edge + 1 :].sum()), int(its.sum())),
                Count(int(mine[bound + 1 :].sum()), int(mine.sum())),
                0.0,
                LATENCY / len(self._edges),
            )


def _slow_edges(latency: Array) -> tuple[int, ...]:
    reached = np.cumsum(latency) / latency.sum()
    last = len(LATENCY_EDGES_MS) - 1
    return tuple(sorted({min(int(np.searchsorted(reached, share)), last) for share in SLOW}))


def _disagreement(champion: Profile, canary: Profile, tolerance: float, captured: float) -> list[Signal]:
    pairs: list[tuple[str, Count, Count]] = []
    for name in sorted(champion.outputs.keys() & canary.outputs.keys()):
        its, mine = champion.outputs[name], canary.outputs[name]
        if its.layout.kind != mine.layout.kind:
            continue
        pairs += _classes(name, its, mine) if its.layout.kind == "category" else _numbers(name, its, mine)
    weight = DISAGREEMENT / len(pairs) if pairs else 0.0
    its_most, mine_most = (round((side.requests - side.errors) * captured) for side in (champion, canary))
    return [
        Signal(name, _at_most(its_most, its), _at_most(mine_most, mine), tolerance, weight) for name, its, mine in pairs
    ]


def _at_most(requests: int, count: Count) -> Count:
    """What is answered to one request is seldom independent, so all of it weighs as one case. Its share of bad ones
    does for the test what one bad or good case does: the quotient of two likelihoods is convex in it."""
    if count.of <= requests:
        return count
    return Count(round(count.bad * requests / count.of), requests)


def _classes(name: str, champion: FeatureProfile, canary: FeatureProfile) -> Iterator[tuple[str, Count, Count]]:
    """More, and fewer, of each class than the champion answers; of all that are known, or their number would follow
    from what is seen and with it the weights."""
    its, mine = _by_class(champion), _by_class(canary)
    for label in sorted(its.keys() | mine.keys()):
        yield from _both(f"{name} {label}", its.get(label, 0), champion.values, mine.get(label, 0), canary.values)


def _by_class(profile: FeatureProfile) -> dict[str, int]:
    named = zip((*profile.layout.categories, "another", "unseen"), profile.counts.tolist(), strict=True)
    return dict(named)


def _numbers(name: str, champion: FeatureProfile, canary: FeatureProfile) -> Iterator[tuple[str, Count, Count]]:
    """More above, and more below, the champion's quartiles; and more that is no number at all.

    The canary's bins end elsewhere: its count is taken from its next edge on, so that it is never too large.
    """
    broken = f"{name} missing or infinite"
    yield (
        broken,
        Count(champion.missing + champion.infinite, champion.elements),
        Count(canary.missing + canary.infinite, canary.elements),
    )
    edges, others = champion.layout.edges, canary.layout.edges
    for place in sorted({round((len(edges) - 1) * share) for share in (0.25, 0.5, 0.75)}):
        edge = edges[place]
        above = bisect_left(others, edge)
        below = above if above < len(others) and others[above] == edge else above - 1
        its_above = int(champion.counts[place + 1 :].sum())
        yield (
            f"{name} above {edge:g}",
            Count(its_above, champion.values),
            Count(int(canary.counts[above + 1 :].sum()), canary.values),
        )
        yield (
            f"{name} up to {edge:g}",
            Count(champion.values - its_above, champion.values),
            Count(int(canary.counts[: below + 1].sum()), canary.values),
        )


def _both(name: str, its: int, its_all: int, mine: int, mine_all: int) -> Iterator[tuple[str, Count, Count]]:
    yield f"{name} answered", Count(its, its_all), Count(mine, mine_all)
    yield f"{name} not answered", Count(its_all - its, its_all), Count(mine_all - mine, mine_all)
