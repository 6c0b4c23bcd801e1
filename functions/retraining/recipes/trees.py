"""Decision trees as one ONNX node that compares exactly as the trained trees do.

A trained tree compares float64 thresholds with float32 values, so the largest float32 that is not above the threshold
decides the same for every float32. A set of categories becomes a chain of comparisons that share one branch.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from onnx import numpy_helper

from functions.retraining.recipes.graph import Graph
from lastmile.tensors import Array


@dataclass(frozen=True, eq=False)
class Tree:
    """Node 0 is the root; `left` is 0 at a leaf. `categories` are the codes that go left at a categorical node."""

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array
    categories: dict[int, frozenset[int]] = field(default_factory=dict)


class Row(NamedTuple):
    feature: int
    mode: str
    threshold: float
    yes: int
    no: int
    missing_yes: int
    weight: float | None


def float32_below(thresholds: Array) -> Array:
    """The largest float32 that is not above each."""
    with np.errstate(over="ignore"):
        rounded = thresholds.astype(np.float32)
    above = rounded.astype(np.float64) > thresholds
    return np.where(above, np.nextafter(rounded, np.float32(-np.inf)), rounded)


def boosted(model: Any) -> list[list[Tree]]:
    """The trees of a fitted HistGradientBoosting model, a list of one per target for each iteration."""
    return [[_boosted_tree(predictor) for predictor in iteration] for iteration in model._predictors]


def _boosted_tree(predictor: Any) -> Tree:
    nodes = predictor.nodes
    split = nodes["is_leaf"] == 0
    categories = {
        int(index): _codes(predictor.raw_left_cat_bitsets[nodes["bitset_idx"][index]])
        for index in np.flatnonzero(split & (nodes["is_categorical"] != 0))
    }
    return Tree(
        nodes["feature_idx"].astype(np.int64),
        float32_below(nodes["num_threshold"].astype(np.float64)),
        np.where(split, nodes["left"], 0).astype(np.int64),
        np.where(split, nodes["right"], 0).astype(np.int64),
        nodes["missing_go_to_left"].astype(np.int64),
        nodes["value"].astype(np.float64),
        categories,
    )


def _codes(bitset: Array) -> frozenset[int]:
    return frozenset(
        32 * word + bit for word in range(len(bitset)) for bit in range(32) if int(bitset[word]) >> bit & 1
    )


def split_points(trees: Sequence[Tree], feature: int) -> Array:
    """Every finite threshold at which a tree divides this feature's numbers."""
    found = [
        tree.threshold[index]
        for tree in trees
        for index in np.flatnonzero((tree.left != 0) & (tree.feature == feature))
        if int(index) not in tree.categories
    ]
    values = np.unique(np.asarray(found, np.float32))
    return values[np.isfinite(values)]


def add(
    graph: Graph,
    features: str,
    trees: Sequence[tuple[Tree, int]],
    base: Sequence[float],
    *,
    codes: dict[int, int] | None = None,
) -> str:
    """`base` and the leaves that each row ends in, summed for each target as float64: FP32 [-1, targets].

    `codes` is the number of categories of each categorical feature.
    """
    tables = [_rows(tree, codes or {}) for tree, _ in trees]
    rows = [row for table in tables for row in table]
    leaves = [
        (number, index, target, row.weight)
        for number, (table, (_, target)) in enumerate(zip(tables, trees, strict=True))
        for index, row in enumerate(table)
        if row.weight is not None
    ]
    attributes: dict[str, Any] = {
        "nodes_treeids": [number for number, table in enumerate(tables) for _ in table],
        "nodes_nodeids": [index for table in tables for index in range(len(table))],
        "nodes_featureids": [row.feature for row in rows],
        "nodes_modes": [row.mode for row in rows],
        "nodes_truenodeids": [row.yes for row in rows],
        "nodes_falsenodeids": [row.no for row in rows],
        "nodes_missing_value_tracks_true": [row.missing_yes for row in rows],
        "target_treeids": [leaf[0] for leaf in leaves],
        "target_nodeids": [leaf[1] for leaf in leaves],
        "target_ids": [leaf[2] for leaf in leaves],
        "n_targets": len(base),
    }
    numbers = {
        "nodes_values": [row.threshold for row in rows],
        "target_weights": [leaf[3] for leaf in leaves],
        "base_values": list(base),
    }
    tensors = {
        f"{name}_as_tensor": numpy_helper.from_array(np.array(values, np.float64), name)
        for name, values in numbers.items()
    }
    return graph.add(
        "TreeEnsembleRegressor", graph.cast(features, "FP64"), domain="ai.onnx.ml", **attributes, **tensors
    )


def _rows(tree: Tree, codes: dict[int, int]) -> list[Row]:
    """The tree's nodes in order, and behind them those that the chains need."""
    rows: list[Row | None] = [None] * len(tree.feature)
    for index in range(len(tree.feature)):
        feature, yes, no = int(tree.feature[index]), int(tree.left[index]), int(tree.right[index])
        if not yes:
            rows[index] = Row(0, "LEAF", 0.0, 0, 0, 0, float(tree.value[index]))
        elif index in tree.categories:
            _chain(rows, index, tree, codes[feature])
        else:
            missing = int(tree.missing_left[index])
            rows[index] = Row(feature, "BRANCH_LEQ", float(tree.threshold[index]), yes, no, missing, None)
    return [row for row in rows if row is not None]


def _chain(rows: list[Row | None], index: int, tree: Tree, count: int) -> None:
    """One comparison for each category of the smaller side."""
    left = tree.categories[index]
    right = frozenset(range(count)) - left
    is_left = len(left) <= len(right)
    wanted = sorted(left if is_left else right)
    yes, no = int(tree.left[index]), int(tree.right[index])
    if not is_left:
        yes, no = no, yes
    missing_yes = int(bool(tree.missing_left[index]) == is_left)
    feature = int(tree.feature[index])
    if not wanted:  # it divides the missing from all others
        rows[index] = Row(feature, "BRANCH_LEQ", np.inf, no, yes, 1 - missing_yes, None)
        return
    places = [index, *range(len(rows), len(rows) + len(wanted) - 1)]
    rows.extend([None] * (len(places) - 1))
    for place, following, code in zip(places, [*places[1:], no], wanted, strict=True):
        rows[place] = Row(feature, "BRANCH_EQ", float(code), yes, following, missing_yes, None)


def near(points: Array, limit: int, random: np.random.Generator) -> Array:
    """At most `limit` of the points, each with the float32 before and after it."""
    if len(points) > limit:
        points = np.sort(random.choice(points, limit, replace=False))
    lowest, highest = np.float32(-np.inf), np.float32(np.inf)
    return np.concatenate([np.nextafter(points, lowest), points, np.nextafter(points, highest)]).astype(np.float32)


def every(iterations: Sequence[Sequence[Tree]]) -> Iterator[tuple[Tree, int]]:
    for iteration in iterations:
        for target, tree in enumerate(iteration):
            yield tree, target
