"""Where bins end. Bin i holds what is above edge i - 1 and at most edge i; there is one bin more than edges."""

import numpy as np

from lastmile.tensors import Array

BINS = 20
MOST_SORTED = 131_072  # values that say where the edges are; more are taken at even distances

# Ten bins a decade: a bin's upper edge is at most 26 % above what lies in it.
LATENCY_EDGES_MS: tuple[float, ...] = tuple(round(10 ** (step / 10), 4) for step in range(-10, 51))

_DECADES = np.concatenate([step * 10.0 ** np.arange(-6, 13) for step in (1, 2, 5)])
UNIVERSAL_EDGES: tuple[float, ...] = tuple(sorted({*(-_DECADES).tolist(), 0.0, *_DECADES.tolist()}))
LENGTH_EDGES: tuple[float, ...] = tuple(float(round(2 ** (step / 2))) for step in range(2, 29))


def quantile_edges(values: Array, bins: int = BINS) -> tuple[float, ...]:
    """Edges between which finite `values` lie about evenly, and an edge on either side of them all.

    A value that many rows share gets a bin of its own, and so does each where there are at most `bins` different
    ones: a constant is told apart from what is below and above it.
    """
    if not values.size:
        return UNIVERSAL_EDGES
    ends = np.array([values.min(), values.max()], np.float64)
    values = values[:: 1 + (values.size - 1) // MOST_SORTED]
    distinct, counts = np.unique(values.astype(np.float64, copy=False), return_counts=True)
    if len(distinct) <= bins:
        inner = distinct[:-1] / 2 + distinct[1:] / 2
    else:
        reached = np.cumsum(counts) / values.size
        cuts = distinct[np.searchsorted(reached, np.arange(1, bins) / bins)]
        shared = distinct[counts * bins >= values.size]
        inner = np.concatenate([cuts, shared, _just_below(shared)])
    edges = np.unique(np.concatenate([_just_below(ends[:1]), inner, ends[1:]]))
    return tuple(edges[np.isfinite(edges)].tolist())


def _just_below(values: Array) -> Array:
    with np.errstate(over="ignore"):  # nothing finite is below the lowest number
        return np.nextafter(values, -np.inf)
