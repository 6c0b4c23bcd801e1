"""Two profiles of one feature as bars to be drawn over each other."""

from typing import Any, NamedTuple

import numpy as np

from lastmile.profile import FeatureProfile
from lastmile.tensors import Array

MOST_BARS = 24
MOST_CATEGORIES = 12
SMALLEST_NORMAL = float(np.finfo(np.float64).tiny)


class Bars(NamedTuple):
    """Shares of the rows' elements, each side adding up to 1 unless it is empty."""

    labels: list[str]
    reference: list[float]
    current: list[float]


def bars(reference: FeatureProfile, current: FeatureProfile) -> Bars:
    """What is missing or infinite has a bar of its own where it occurs."""
    if reference.layout.kind == "category":
        labels, before, now = _categories(reference, current)
    else:
        labels, before, now = _intervals(reference, current)
    for name in ("missing", "infinite"):
        ours, theirs = getattr(reference, name), getattr(current, name)
        if ours or theirs:
            labels.append(name)
            before, now = np.append(before, ours), np.append(now, theirs)
    return Bars(labels, _shares(before), _shares(now))


def missing_share(profile: FeatureProfile) -> float | None:
    return profile.missing / profile.elements if profile.elements else None


def unseen_share(profile: FeatureProfile) -> float | None:
    """Of the values, those of categories that the reference has never had; None where there are none to be had."""
    if profile.layout.kind != "category" or not profile.values:
        return None
    return profile.unseen / profile.values


def _categories(reference: FeatureProfile, current: FeatureProfile) -> tuple[list[str], Array, Array]:
    names = [*reference.layout.categories, "other", "unseen"]
    weight = _parts(reference.counts) + _parts(current.counts)
    order = sorted(range(len(names)), key=lambda place: -weight[place])
    shown = sorted(place for place in order[:MOST_CATEGORIES] if weight[place])
    rest = [place for place in range(len(names)) if place not in shown and weight[place]]
    labels = [names[place] for place in shown] + ([f"{len(rest)} more"] if rest else [])

    def picked(counts: Array) -> Array:
        return np.append(counts[shown], counts[rest].sum()) if rest else counts[shown]

    return labels, picked(reference.counts), picked(current.counts)


def _intervals(reference: FeatureProfile, current: FeatureProfile) -> tuple[list[str], Array, Array]:
    edges = reference.layout.edges
    labels = [_bounded(edges, place) for place in range(len(edges) + 1)]
    used = np.flatnonzero(reference.counts + current.counts)
    if not len(used):
        return [], np.zeros(0), np.zeros(0)
    first, last = int(used[0]), int(used[-1]) + 1
    step = -(-(last - first) // MOST_BARS)
    starts = range(first, last, step)
    merged = [labels[start] if step == 1 else _bounded(edges, start, min(start + step, last)) for start in starts]

    def summed(counts: Array) -> Array:
        return np.array([counts[start : start + step].sum() for start in starts])

    return merged, summed(reference.counts), summed(current.counts)


def _bounded(edges: tuple[float, ...], start: int, end: int | None = None) -> str:
    """`0.5 to 1` for the bins from `start` to before `end`, or the value that has a bin to itself."""
    end = start + 1 if end is None else end
    low = None if start == 0 else edges[start - 1]
    high = None if end > len(edges) else edges[end - 1]
    if low is None:
        return f"≤ {_edge(high)}" if high is not None else "all"
    if high is None:
        return f"> {_edge(low)}"
    return _edge(high) if _edge(low) == _edge(high) else f"{_edge(low)} to {_edge(high)}"


def _edge(value: float) -> str:
    """The edge below a value with its own bin is the nearest number to it, and of 0 that is no number for people."""
    return "0" if abs(value) < SMALLEST_NORMAL else f"{value:.4g}"


def _parts(counts: Array) -> Any:
    return counts / max(1, counts.sum())


def _shares(counts: Array) -> list[float]:
    return [round(float(share), 6) for share in _parts(counts)]
