"""Baselines of SageMaker Model Monitor, `statistics.json` and perhaps `constraints.json`, as reference profiles.

The schemas: https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-interpreting-statistics.html and
https://docs.aws.amazon.com/sagemaker/latest/dg/model-monitor-byoc-constraints.html. Numbers come from the KLL sketch,
whose items of level n stand for 2ⁿ rows each, or else from its ten buckets; texts from the counted categories.
"""

import math
import sys
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from lastmile.errors import ProfileMismatch
from lastmile.profile import FeatureLayout, FeatureProfile, Layout, Profile, quantile_edges
from lastmile.profile.counts import STEPS
from lastmile.tensors import Array

VERSION = 0.0
MOST = 1 << 53
SPREAD_OVER = 20_000  # values that stand for a sketch where edges are chosen

WRONG = (AttributeError, IndexError, KeyError, OverflowError, TypeError, ValueError)  # what other documents raise

type Document = Mapping[str, Any]


def baseline(statistics: Document, constraints: Document | None = None) -> Profile:
    """The reference that the baseline describes; each feature is a tensor of its own name.

    Raises ProfileMismatch for a document that is none of Model Monitor's, naming the feature.
    """
    if not isinstance(statistics, Mapping) or statistics.get("version") != VERSION:
        said = statistics.get("version") if isinstance(statistics, Mapping) else statistics
        raise ProfileMismatch(f"statistics.json has version {said!r:.40}, version 0 is read")
    try:
        rows = _count(statistics["dataset"]["item_count"])
        described = list(statistics["features"])
    except KeyError as error:
        raise ProfileMismatch(f"statistics.json lacks {error}") from None
    except WRONG as error:
        raise ProfileMismatch(f"statistics.json is written in another way: {error!r}") from None
    try:
        domains = _domains(constraints)
    except WRONG as error:
        raise ProfileMismatch(f"constraints.json is written in another way: {error!r}") from None
    features = {}
    for document in described:
        name = document.get("name") if isinstance(document, dict) else None
        if not isinstance(name, str):
            raise ProfileMismatch("a feature of statistics.json has no name")
        if document.get("inferred_type") == "Unknown":  # a column without any value: nothing is said of it
            continue
        try:
            features[name] = replace(_feature(name, document, domains.get(name, ())), rows=rows)
        except WRONG as error:
            raise ProfileMismatch(f"statistics.json describes '{name}' in another way: {error!r}") from None
    layout = Layout({name: feature.layout for name, feature in features.items()})
    return replace(Profile.empty(layout), features=features, rows=rows)


def _domains(constraints: Document | None) -> dict[str, tuple[str, ...]]:
    """The categories that a feature may have, where the constraints say so."""
    found = {}
    for feature in (constraints or {}).get("features", ()):
        domains = (feature.get("string_constraints") or {}).get("domains")
        if domains:
            found[str(feature.get("name"))] = tuple(map(str, domains))
    return found


def _feature(name: str, document: Document, domain: tuple[str, ...]) -> FeatureProfile:
    if document["inferred_type"] in ("Fractional", "Integral"):
        return _numbers(name, document["numerical_statistics"])
    return _texts(name, document["string_statistics"], domain)


def _numbers(name: str, statistics: Document) -> FeatureProfile:
    present, missing = (_count(statistics["common"][key]) for key in ("num_present", "num_missing"))
    if not present:
        return replace(FeatureProfile.empty(FeatureLayout("numeric", name)), missing=missing)
    values, weights = _sample(statistics["distribution"]["kll"])
    low, high = _finite(statistics["min"]), _finite(statistics["max"])
    values = np.clip(np.concatenate([[low], values, [high]]), low, high)
    weights = np.concatenate([[0.0], weights, [0.0]]) / weights.sum()
    spread = np.maximum(1, np.rint(weights * SPREAD_OVER)).astype(np.int64)
    edges = quantile_edges(np.repeat(values, spread))
    mean, deviation = _finite(statistics["mean"]), _finite(statistics["std_dev"])
    scale = deviation if 0 < deviation <= sys.float_info.max else max(abs(mean), 1.0)
    layout = FeatureLayout("numeric", name, edges=edges, centre=mean, scale=scale)
    shares = np.bincount(np.searchsorted(np.array(edges), values), weights, layout.bins)
    return replace(
        FeatureProfile.empty(layout),
        counts=_whole(shares * present),
        missing=missing,
        squares=round(present * (deviation / scale) ** 2 * STEPS),
        minimum=low,
        maximum=high,
    )


def _sample(kll: Document) -> tuple[Array, Array]:
    """Values and how many rows each stands for."""
    levels = (kll.get("sketch") or {}).get("data") or []
    if any(levels):
        values = np.concatenate([np.asarray(level, np.float64) for level in levels])
        return values, np.concatenate([np.full(len(level), 2.0**height) for height, level in enumerate(levels)])
    buckets = kll["buckets"]
    middles = [bucket["lower_bound"] / 2 + bucket["upper_bound"] / 2 for bucket in buckets]
    return np.array(middles, np.float64), np.array([bucket["count"] for bucket in buckets], np.float64)


def _texts(name: str, statistics: Document, domain: tuple[str, ...]) -> FeatureProfile:
    missing = _count(statistics["common"]["num_missing"])
    buckets = statistics["distribution"]["categorical"]["buckets"]
    counted = {str(bucket["value"]): _count(bucket["count"]) for bucket in buckets if bucket["value"] != ""}
    all_known = len(counted) >= int(statistics.get("distinct_count", len(counted)))
    categories = domain or tuple(sorted(counted))
    layout = FeatureLayout("category", name, categories=categories, closed=bool(domain) or all_known)
    return FeatureProfile.of_texts(layout, counted, missing, rows=0)


def _count(value: Any) -> int:
    """Model Monitor writes whole numbers as floats, too."""
    count = int(value)
    if not 0 <= count < MOST:
        raise ValueError(f"{value!r:.40} is no count")
    return count


def _finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{value!r:.40} is no number")
    return number


def _whole(amounts: Array) -> Array:
    """Whole numbers with the same sum, each less than one away."""
    upper = np.rint(np.cumsum(amounts))
    return np.diff(np.concatenate([[0.0], upper])).astype(np.int64)
