"""A model that XGBoost has trained, from its own JSON or binary JSON: evaluated directly, and as trees for a graph.

Nothing of it is code: no pickle is read. https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import numpy as np
import orjson

from functions.retraining import ubjson
from functions.retraining.recipes.trees import Tree
from lastmile.errors import InvalidArtefact
from lastmile.tensors import Array

OBJECTIVES = ("binary:logistic", "multi:softprob", "reg:squarederror")
ROWS = 1 << 16  # walked at a time


class Split(NamedTuple):
    """One tree as XGBoost has it: below `threshold`, in float32, goes left."""

    feature: Array
    threshold: Array
    left: Array
    right: Array
    missing_left: Array
    value: Array
    target: int


@dataclass(frozen=True, eq=False)
class Booster:
    """`base` is what is added to the sums of the trees, before any sigmoid or softmax, for each target."""

    objective: str
    base: tuple[float, ...]
    splits: tuple[Split, ...]
    features: int

    @classmethod
    def read(cls, data: bytes) -> Self:
        """Raises InvalidArtefact for what is no such model."""
        if not data.startswith(b"{"):
            raise InvalidArtefact("the trained model is not in XGBoost's JSON or UBJSON format; no other is read")
        try:
            document = orjson.loads(data) if data[1:2] in b'" \n\r\t' else ubjson.read(data)
            return cls._of(document["learner"])
        except (KeyError, IndexError, TypeError, ValueError) as error:
            raise InvalidArtefact(f"the trained model is none of XGBoost's: {error!r}") from error

    @classmethod
    def _of(cls, learner: dict[str, Any]) -> Self:
        objective, booster = learner["objective"]["name"], learner["gradient_booster"]
        if objective not in OBJECTIVES or booster["name"] != "gbtree":
            raise InvalidArtefact(f"the trained model is a {booster['name']} for {objective}, which is not converted")
        told = learner["learner_model_param"]
        targets = max(1, int(told["num_class"]))
        score = np.asarray(orjson.loads(_number(told["base_score"])), float).reshape(-1)
        base = np.log(score / (1 - score)) if objective == "binary:logistic" else score
        model = booster["model"]
        splits = tuple(map(_split, model["trees"], np.asarray(model["tree_info"]).tolist()))
        found, features = np.broadcast_to(base.astype(np.float32), (targets,)), int(told["num_feature"])
        if not all(_is_tree(split, features) for split in splits):
            raise InvalidArtefact("the trained model has a tree whose branches lead nowhere, or back")
        return cls(objective, tuple(found.astype(float).tolist()), splits, features)

    def raw(self, matrix: Array) -> Array:
        """What XGBoost calls the margin, [rows, targets]: walked node by node, with its own comparisons."""
        matrix = matrix.astype(np.float32)
        found = np.tile(np.asarray(self.base, float), (len(matrix), 1))
        for start in range(0, len(matrix), ROWS):
            rows = slice(start, start + ROWS)
            for split in self.splits:
                found[rows, split.target] += split.value[_leaves(split, matrix[rows])]
        return found

    def trees(self) -> Iterator[tuple[Tree, int]]:
        """For a graph, in which "not above" decides: the float32 before each threshold decides the same."""
        for split in self.splits:
            inner = split.left > 0
            before = np.nextafter(split.threshold.astype(np.float32), np.float32(-np.inf))
            tree = Tree(
                split.feature,
                np.where(inner, before, np.float32(0)),
                np.where(inner, split.left, 0),
                np.where(inner, split.right, 0),
                split.missing_left,
                split.value,
            )
            yield tree, split.target


def _split(tree: dict[str, Any], target: int) -> Split:
    left, conditions = np.asarray(tree["left_children"], np.int64), np.asarray(tree["split_conditions"], np.float32)
    if np.any(np.asarray(tree["split_type"]) != 0):
        raise InvalidArtefact("the trained model divides categories, which is not converted")
    leaf = left < 0
    return Split(
        np.where(leaf, 0, np.asarray(tree["split_indices"], np.int64)),
        conditions,
        left,
        np.asarray(tree["right_children"], np.int64),
        np.asarray(tree["default_left"], np.int64),
        np.where(leaf, conditions, 0).astype(float),
        target,
    )


def _is_tree(split: Split, features: int) -> bool:
    """Nobody comes by a node twice: each but the first has one before it, at most."""
    inner = split.left >= 0
    after = np.concatenate([split.left[inner], split.right[inner]])
    return (
        len(np.unique(after)) == len(after)
        and bool(((after > 0) & (after < len(split.left))).all())
        and bool((split.feature < features).all())
    )


def _leaves(split: Split, matrix: Array) -> Array:
    """The leaf that each row ends in."""
    places = np.zeros(len(matrix), np.int64)
    rows = np.arange(len(matrix)) if split.left[0] > 0 else np.arange(0)
    while len(rows):
        at = places[rows]
        values = matrix[rows, split.feature[at]]
        missing = np.isnan(values)
        left = np.where(missing, split.missing_left[at] != 0, values < split.threshold[at])
        places[rows] = np.where(left, split.left[at], split.right[at])
        rows = rows[split.left[places[rows]] > 0]
    return places


def _number(score: Any) -> str:
    """XGBoost writes 5E-1, since 3.1 as a list of them."""
    return str(score)
