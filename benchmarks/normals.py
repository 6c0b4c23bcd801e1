"""Profiles of rows that are drawn as standard normals; a category is the interval that one falls into."""

import math
from dataclasses import replace
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from lastmile.profile import FeatureLayout, FeatureProfile, Layout, Profile, quantile_edges
from lastmile.tensors import Array

NORMAL = NormalDist()


class Cell(NamedTuple):
    rows: int
    categories: int
    features: int
    correlation: float

    @property
    def kind(self) -> str:
        return f"{self.categories} categories" if self.categories else "numbers"

    @property
    def told(self) -> str:
        dependent = ", correlated" if self.correlation else ""
        return f"{self.features} feature{'s' if self.features > 1 else ''}{dependent}, {self.kind}, {self.rows:,} rows"


def normals(random: np.random.Generator, rows: int, cell: Cell) -> Array:
    own = random.standard_normal((rows, cell.features))
    if not cell.correlation:
        return own
    return math.sqrt(1 - cell.correlation) * own + math.sqrt(cell.correlation) * random.standard_normal((rows, 1))


def numbers_of(drawn: Array) -> Layout:
    return Layout({f"f{n}": laid_out(column, 0) for n, column in enumerate(drawn.T)})


def counted(layout: Layout, drawn: Array) -> Profile:
    return profile(
        layout, [binned(edges_of(one), column) for one, column in zip(layouts(layout), drawn.T, strict=True)]
    )


def named(drawn: Array) -> dict[str, Array]:
    return {f"f{n}": column for n, column in enumerate(drawn.T)}


def laid_out(column: Array, categories: int) -> FeatureLayout:
    if not categories:
        return FeatureLayout("numeric", "x", edges=quantile_edges(column))
    return FeatureLayout("category", "x", categories=tuple(map(str, range(categories))), closed=True)


def layouts(layout: Layout) -> list[FeatureLayout]:
    return list(layout.features.values())


def edges_of(layout: FeatureLayout) -> Array:
    """Of categories: between intervals that are equally likely."""
    if layout.kind == "numeric":
        return np.array(layout.edges)
    number = len(layout.categories)
    return np.array([NORMAL.inv_cdf(n / number) for n in range(1, number)])


def probabilities(edges: Array, shift: float = 0.0) -> Array:
    return np.diff([0.0, *(NORMAL.cdf(edge - shift) for edge in edges.tolist()), 1.0])


def binned(edges: Array, column: Array) -> Array:
    return np.bincount(np.searchsorted(edges, column), minlength=len(edges) + 1)


def profile(layout: Layout, counts: list[Array]) -> Profile:
    rows = int(counts[0].sum())
    features = {
        name: replace(
            FeatureProfile.empty(one),
            counts=np.concatenate([number, np.zeros(one.bins - len(number), np.int64)]),
            rows=rows,
        )
        for (name, one), number in zip(layout.features.items(), counts, strict=True)
    }
    return replace(Profile.empty(layout), features=features, rows=rows)
