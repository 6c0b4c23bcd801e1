"""Gradient boosting that chooses its own size: settings and number of trees by rows that were held aside.

Time is bounded by counting: a budget in seconds becomes a number of trees by the speed measured on one slow core, so
that the same rows always give the same trees.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from threadpoolctl import threadpool_limits

from functions.retraining.recipes.split import drawn, folds, newest
from lastmile.errors import DataRefused
from lastmile.tensors import Array

CELLS_PER_SECOND = 40e6  # rows x columns that one tree goes through
SECONDS_PER_TREE = 1e-3
PATIENCE = 25  # trees without a better score
USUAL_TREES = 200
FOLDS = 5
ASIDE = 0.2
FEWEST_PER_FOLD = 40

SETTINGS: tuple[dict[str, Any], ...] = (
    {"learning_rate": 0.05, "max_leaf_nodes": 15, "min_samples_leaf": 10, "l2_regularization": 1.0},
    {"learning_rate": 0.05, "max_leaf_nodes": 8, "min_samples_leaf": 20, "l2_regularization": 5.0},
    {"learning_rate": 0.1, "max_leaf_nodes": 31, "min_samples_leaf": 20, "l2_regularization": 0.0},
)

type Make = Callable[..., Any]  # an unfitted model with these settings


class Rows(NamedTuple):
    """`order` is a time of each row, or None; `labels` are to be spread evenly: classes, or, of numbers of which zeros
    alone cannot be scored, whether they are above it."""

    matrix: Array
    target: Array
    weights: Array | None
    order: Array | None
    labels: Array | None

    def take(self, mask: Array) -> "Rows":
        weights, order, labels = (None if part is None else part[mask] for part in self[2:])
        return Rows(self.matrix[mask], self.target[mask], weights, order, labels)


@dataclass(frozen=True, eq=False)
class Chosen:
    """`raw` are the sums of the trees for the rows `aside`, made by models that had not seen them."""

    settings: dict[str, Any]
    trees: int
    raw: Array
    aside: Array


def fit(make: Make, rows: Rows, chosen: Chosen, seed: int) -> Any:
    model = make(**chosen.settings, max_iter=chosen.trees, early_stopping=False, random_state=seed)
    with threadpool_limits(1):  # the order of sums must not depend on the machine
        return model.fit(_learnable(rows.matrix), rows.target, sample_weight=rows.weights)


def choose(
    make: Make,
    rows: Rows,
    *,
    seconds: float,
    seed: int,
    outputs: int,
    most_trees: int,
) -> Chosen:
    """The settings and the number of trees with the best score on rows held aside."""
    per_tree = outputs * (rows.matrix.size / CELLS_PER_SECOND + SECONDS_PER_TREE)
    affordable = seconds / per_tree
    masks = _masks(rows, seed, many=affordable >= USUAL_TREES * (FOLDS * len(SETTINGS) + 1))
    settings = SETTINGS if affordable >= USUAL_TREES * (len(masks) * len(SETTINGS) + 1) else SETTINGS[:1]
    trees = int(min(most_trees, max(affordable / (len(masks) * len(settings) + 1), 10)))
    tried = [_tried(make, rows, masks, setting, trees, seed) for setting in settings]
    best = max(range(len(tried)), key=lambda number: tried[number][1])
    models, _, count = tried[best]
    raw = np.concatenate([_raw(model, rows.matrix[mask], count) for model, mask in zip(models, masks, strict=True)])
    aside = np.concatenate([np.flatnonzero(mask) for mask in masks])
    return Chosen(settings[best], count, raw, aside)


def _masks(rows: Rows, seed: int, *, many: bool) -> list[Array]:
    """Which rows are held aside, in turns."""
    if rows.order is not None:
        mask = newest(rows.order, ASIDE)
        if not mask.all() and _can_score(rows, mask) and _are_told_apart(rows, rows.take(~mask)):
            return [mask]
    count, kept = len(rows.target), ~_alone(rows)
    if many and count >= FOLDS * FEWEST_PER_FOLD:
        numbers = folds(count, FOLDS, seed, rows.labels)
        masks = [(numbers == number) & kept for number in range(FOLDS)]
    else:
        masks = [drawn(count, ASIDE, seed, rows.labels) & kept]
    if not (usable := [mask for mask in masks if _can_score(rows, mask)]):
        raise DataRefused(f"of {count} training rows none can be held aside", "Upload more rows, of every class.")
    return usable


def _can_score(rows: Rows, mask: Array) -> bool:
    is_counted = rows.labels is not None and rows.target.dtype.kind == "f"
    return bool(rows.target[mask].any() if is_counted else mask.any())


def _are_told_apart(rows: Rows, seen: Rows) -> bool:
    """Whether every class is among the rows that are seen, or more than one number."""
    if rows.labels is None or seen.labels is None:
        return bool((seen.target != seen.target[0]).any())
    return len(np.unique(seen.labels)) == len(np.unique(rows.labels))


def _alone(rows: Rows) -> Array:
    """The rows that are the only one of their class: what is not learnt cannot be scored."""
    if rows.labels is None:
        return np.zeros(len(rows.target), bool)
    return np.asarray(np.bincount(rows.labels)[rows.labels] == 1)


def _learnable(matrix: Array) -> Array:
    """With zeros in columns that nothing stands in, which scikit-learn cannot divide; no tree looks at a constant."""
    empty = np.isnan(matrix).all(axis=0)
    return np.where(empty, np.float32(0), matrix) if empty.any() else matrix


def _tried(
    make: Make, rows: Rows, masks: list[Array], settings: dict[str, Any], trees: int, seed: int
) -> tuple[list[Any], float, int]:
    """A model for each mask, their best mean score, and the number of trees that had it."""
    models = []
    with threadpool_limits(1):
        for mask in masks:
            model = make(**settings, max_iter=trees, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed)
            seen, aside = rows.take(~mask), rows.take(mask)
            validation = {"X_val": aside.matrix, "y_val": aside.target, "sample_weight_val": aside.weights}
            models.append(model.fit(_learnable(seen.matrix), seen.target, sample_weight=seen.weights, **validation))
    shortest = min(len(model.validation_score_) for model in models)
    scores = np.mean([model.validation_score_[:shortest] for model in models], axis=0)
    best = int(scores[1:].argmax()) + 1  # the first score is that of no tree
    return models, float(scores[best]), best


def _raw(model: Any, matrix: Array, trees: int) -> Array:
    """The sum of the first trees: [rows, outputs]."""
    staged: Iterator[Array] = model._staged_raw_predict(matrix)
    found = next(islice(staged, trees - 1, None))
    return np.asarray(found, float).reshape(len(matrix), -1)
