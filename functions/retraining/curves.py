"""What is drawn of an evaluation: a few hundred points at most, so that a report can keep them."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functions.retraining.bins import counted
from lastmile.metrics.classes import Classified, confidence
from lastmile.metrics.items import Ranked, recall_at
from lastmile.metrics.ranking import steps
from lastmile.metrics.samples import NoSample, sample
from lastmile.metrics.values import Valued
from lastmile.tensors import Array

POINTS = 120
CLOUD = 400
MATRIX = 20  # classes
CONFUSIONS = 10
BINS = 10


def curves(
    task: str, outputs: Mapping[str, Array], truth: Mapping[str, Array], columns: Sequence[str]
) -> dict[str, Any]:
    """By name, as JSON has it; empty where nothing can be measured."""
    try:
        found = sample(task, outputs, truth, columns)
    except NoSample:
        return {}
    if isinstance(found, Classified):
        return _of_classes(found)
    if isinstance(found, Ranked):
        ks = range(1, found.hits.shape[1] + 1)
        everyone = np.ones((1, len(found.wanted)))
        return {"recall": {"x": list(ks), "y": _clean([float(recall_at(found, k)(everyone)[0]) for k in ks])}}
    return _of_values(found)


def _of_classes(found: Classified) -> dict[str, Any]:
    drawn: dict[str, Any] = {}
    if found.is_binary and found.scores is not None and 0 < (found.truth == 1).sum() < len(found.truth):
        drawn |= _of_ranks(found.scores[:, 1], found.truth == 1)
    if found.probabilities is not None:
        drawn["calibration"] = _calibration(*confidence(found))
    cells, counts = np.unique(found.truth * found.classes + found.predicted, return_counts=True)
    if found.classes <= MATRIX:
        matrix = np.zeros(found.classes**2, int)
        matrix[cells] = counts
        drawn["confusion"] = {"names": list(found.names), "counts": matrix.reshape(found.classes, -1).tolist()}
    else:
        mistakes = Counter(
            {divmod(cell, found.classes): count for cell, count in zip(cells.tolist(), counts.tolist(), strict=True)}
        )
        worst = [(pair, count) for pair, count in mistakes.most_common() if pair[0] != pair[1]][:CONFUSIONS]
        names = found.names
        drawn["confusions"] = [{"true": names[a], "predicted": names[b], "rows": count} for (a, b), count in worst]
    return drawn


def _of_ranks(scores: Array, positive: Array) -> dict[str, Any]:
    hits, misses = (np.r_[0.0, each[0]] for each in steps(scores, positive)(np.ones((1, len(scores)))))
    some = np.unique(np.linspace(0, len(hits) - 1, POINTS).astype(int))
    recall, precision = hits / hits[-1], hits[1:] / (hits[1:] + misses[1:])
    even = np.unique(np.searchsorted(recall[1:], np.linspace(0, 1, POINTS)).clip(max=len(precision) - 1))
    return {
        "roc": {"x": (misses / misses[-1])[some].tolist(), "y": recall[some].tolist()},
        "precision_recall": {"x": recall[1:][even].tolist(), "y": precision[even].tolist()},
    }


def _calibration(said: Array, right: Array) -> dict[str, Any]:
    bins = np.minimum((said * BINS).astype(int), BINS - 1).clip(0)
    counts = np.bincount(bins, minlength=BINS)
    there = counts > 0
    means = (np.bincount(bins, weights, BINS)[there] / counts[there] for weights in (said, right))
    x, y = (mean.tolist() for mean in means)
    return {"x": x, "y": y, "rows": counts[there].tolist()}


def _of_values(found: Valued) -> dict[str, Any]:
    some = np.sort(np.random.default_rng(0).permutation(len(found.truth))[:CLOUD])
    errors = found.predicted - found.truth
    low, high = np.percentile(errors, (1, 99)).tolist()
    drawn: dict[str, Any] = {
        "values": {"x": found.truth[some].tolist(), "y": found.predicted[some].tolist()},
    }
    if low < high:
        drawn["errors"] = {"low": low, "high": high, "counts": list(counted(errors, low, high, 30))}
    if found.quantiles is not None:
        below = (found.truth[:, None] <= found.quantiles).mean(axis=0)
        drawn["levels"] = {"x": list(found.levels), "y": below.tolist()}
    return drawn


def _clean(values: list[float]) -> list[float]:
    return [value if np.isfinite(value) else 0.0 for value in values]
