"""Metrics of ranked items against the set of those that were wanted; rows that wanted none do not count."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from lastmile.metrics.weighing import Weighted, divided
from lastmile.tensors import Array


@dataclass(frozen=True, eq=False)
class Ranked:
    """`hits[row, place]` says whether the item there was wanted and is not on an earlier place; `wanted` how many."""

    hits: Array
    wanted: Array

    @classmethod
    def of(cls, items: Array, wanted: Sequence[Collection[str]]) -> "Ranked":
        hits = np.zeros(items.shape, bool)
        for row, (ranked, left) in enumerate(zip(items.tolist(), map(set, wanted), strict=True)):
            for place, item in enumerate(ranked):
                if item in left:
                    hits[row, place] = True
                    left.remove(item)
        return cls(hits, np.array([len(set(each)) for each in wanted], float))


def recall_at(sample: Ranked, k: int) -> Weighted:
    """The share of the wanted items that are among the first k, averaged over the rows."""
    found = sample.hits[:, :k].sum(axis=1)
    return _mean_of_wanting(sample, np.divide(found, sample.wanted, out=np.zeros(len(found)), where=sample.wanted > 0))


def ndcg_at(sample: Ranked, k: int) -> Weighted:
    """Each hit counts 1 / log2(place + 1), relative to the best possible order of the wanted items."""
    discounts = 1 / np.log2(np.arange(2, k + 2))
    best = np.r_[0.0, discounts.cumsum()][np.minimum(sample.wanted, k).astype(int)]
    found = sample.hits[:, :k] @ discounts[: sample.hits.shape[1]]
    return _mean_of_wanting(sample, np.divide(found, best, out=np.zeros(len(found)), where=best > 0))


def _mean_of_wanting(sample: Ranked, values: Array) -> Weighted:
    counts = (sample.wanted > 0).astype(float)
    return lambda weights: divided(weights @ (values * counts), weights @ counts)
