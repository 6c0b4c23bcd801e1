"""N-grams to weights (TF-IDF): a logarithm of how often, times how rare, with rows of length 1."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from onnx import numpy_helper
from scipy.sparse import csr_matrix

from functions.retraining.recipes.graph import Graph
from lastmile.tensors import Array


@dataclass(frozen=True, eq=False)
class Bag:
    """`vocabulary` is sorted; what is not in it counts for nothing."""

    vocabulary: Array
    rarity: Array

    @classmethod
    def of(cls, parts: Sequence[Array], *, fewest: int, most: int) -> Self:
        """From all n-grams of the training rows: those in at least `fewest` rows, and of these the `most` frequent."""
        rows = sum(len(part) for part in parts)
        seen = np.concatenate([_distinct(part)[1] for part in parts])
        vocabulary, frequency = np.unique(seen, return_counts=True)
        kept = frequency >= min(fewest, rows)
        if kept.sum() > most:
            order = np.lexsort((vocabulary, -frequency))[:most]
            kept &= np.isin(np.arange(len(vocabulary)), order)
        rarity = np.log((1 + rows) / (1 + frequency[kept])) + 1
        return cls(vocabulary[kept], rarity.astype(np.float32))

    def matrix(self, ngrams: Array) -> csr_matrix:
        """float32 [rows, vocabulary]."""
        row, ngram, count = _distinct(ngrams)
        place = np.minimum(np.searchsorted(self.vocabulary, ngram), max(len(self.vocabulary) - 1, 0))
        known = self.vocabulary[place] == ngram if len(self.vocabulary) else np.zeros(len(ngram), bool)
        row, place, count = row[known], place[known], count[known]
        weight = self.rarity[place].astype(float) * (1 + np.log(count))
        norm = np.sqrt(np.bincount(row, weight**2, len(ngrams)))
        shape = (len(ngrams), len(self.vocabulary))
        return csr_matrix(((weight / norm[row]).astype(np.float32), (row, place)), shape=shape)

    def add(self, graph: Graph, ngrams: str, first: int, absent: int) -> tuple[str, str]:
        """For every place of an n-gram its row among the weights, `absent` for unknown ones, and what it counts there.

        The rows of this bag begin with `first`. What counts for an n-gram is divided among its places.
        """
        count = len(self.vocabulary)
        keys = numpy_helper.from_array(np.append(self.vocabulary, 0) if not count else self.vocabulary)
        values = numpy_helper.from_array(np.arange(max(count, 1), dtype=np.int64) if count else np.array([0]))
        unknown = numpy_helper.from_array(np.array([count], np.int64))
        place = graph.add(
            "LabelEncoder", ngrams, domain="ai.onnx.ml", keys_tensor=keys, values_tensor=values, default_tensor=unknown
        )
        rarity = graph.add("Gather", graph.constant(np.append(self.rarity, np.float32(0))), place)
        shape = graph.add("Concat", graph.add("Shape", ngrams, start=0, end=1), graph.integers(count + 1), axis=0)
        zeros = graph.add("Expand", graph.constant(0.0, np.float32), shape)
        ones = graph.add("Expand", graph.constant(1.0, np.float32), graph.add("Shape", ngrams))
        counts = graph.add("ScatterElements", zeros, place, ones, axis=1, reduction="add")
        often = graph.add("GatherElements", counts, place, axis=1)
        weight = graph.add("Mul", rarity, graph.add("Add", graph.add("Log", often), graph.constant(1.0, np.float32)))
        squares = graph.add("Div", graph.add("Mul", weight, weight), often)
        norm = graph.add("Sqrt", graph.add("ReduceSum", squares, graph.integers(1), keepdims=1))
        share = graph.add("Mul", graph.add("Max", norm, graph.constant(1e-30, np.float32)), often)
        moved = graph.add("Add", place, graph.constant(first, np.int64))
        is_absent = graph.add("Equal", place, graph.constant(count, np.int64))
        rows = graph.add("Where", is_absent, graph.constant(absent, np.int64), moved)
        return rows, graph.add("Div", weight, share)


def _distinct(ngrams: Array) -> tuple[Array, Array, Array]:
    """Row, n-gram and how often, of all that are there."""
    ordered = np.sort(ngrams, axis=1)
    first = np.ones(ordered.shape, bool)
    first[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    starts = np.flatnonzero(first)
    counts = np.diff(np.append(starts, ordered.size))
    found = ordered.reshape(-1)[starts]
    there = found != 0
    return (starts // ordered.shape[1])[there], found[there], counts[there]
