"""Numbers and categories to a strangeness, without labels: an isolation forest (Liu, Ting and Zhou 2008).

A row is the stranger, the fewer random divisions set it apart. A missing number counts as the median; a category
counts as the share of training rows that have it, so that what is rare or new is strange.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import IsolationForest
from threadpoolctl import threadpool_limits

from functions.retraining.recipes import feeding, probing, tensors, trees
from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.encoding import Encoding, Pairs, pairs
from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import training_of
from functions.retraining.table import Table
from lastmile.errors import DataRefused, InvalidSpec
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

__all__ = ["check", "examples", "fit", "split"]

PROBED = 40  # split points of each feature


class Options(NamedTuple):
    derived: Pairs
    contamination: float
    trees: int
    rows: int

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        found = cls(
            pairs(options, spec),
            options.number("contamination", 0.01, low=1e-6, high=0.5),
            options.whole("trees", 200, low=10, high=2000),
            options.whole("rows_per_tree", 512, low=8, high=65_536),
        )
        options.close("anomaly")
        return found


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "anomaly", "anomaly")
    tensors.check_columns(spec)
    if training_of(spec).target in spec.feature_names:
        raise InvalidSpec(f"training.target: {training_of(spec).target!r} is one of the inputs")
    Options.read(spec)


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    return feeding.examples(rows, spec)


@dataclass(frozen=True, eq=False)
class Anomaly:
    """`usual` stands for what is missing; `shares` has those of each category by its code, and last of any other."""

    spec: ModelSpec
    encoding: Encoding
    usual: Array
    shares: tuple[Array, ...]
    model: Any
    threshold: np.float32
    background: dict[str, Array]

    @cached_property
    def onnx(self) -> bytes:
        graph, forest = Graph(), self._forest
        paths = trees.add(graph, self._add_matrix(graph), [(tree, 0) for tree in forest], [0.0])
        relative = graph.add("Mul", graph.cast(paths, "FP64"), graph.constant(-1 / self._normal, np.float64))
        strange = graph.add("Pow", graph.constant(2.0, np.float64), relative)
        flat = graph.add("Reshape", strange, graph.integers(-1))
        graph.named("score", "Cast", flat, to=1)
        is_strange = graph.add("Greater", "score", graph.constant(self.threshold))
        graph.named("label", "Cast", is_strange, to=7)
        return graph.model(self.spec.inputs, self.spec.outputs, "anomaly")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        score = (-self.model.score_samples(self._matrix(feeds))).astype(np.float32)
        return {"score": score, "label": (score > self.threshold).astype(np.int64)}

    def probes(self, seed: int) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        places = {name: place for place, name in enumerate(self.encoding.names)}
        points: dict[str, list[Any]] = {
            name: trees.near(trees.split_points(self._forest, places[name]), PROBED, random).tolist()
            for name in self.encoding.numbers
        }
        points.update({name: list(known[:PROBED]) for name, known in self.encoding.categories.items()})
        return probing.changed(self.background, self.spec.inputs, points, seed)

    @cached_property
    def _forest(self) -> list[trees.Tree]:
        found = zip(self.model.estimators_, self.model.estimators_features_, strict=True)
        return [_isolation_tree(estimator.tree_, columns) for estimator, columns in found]

    @property
    def _normal(self) -> float:
        """The mean path length over all trees at which a row is neither strange nor usual."""
        return len(self.model.estimators_) * float(_usual_path(np.array([self.model.max_samples_]))[0])

    def _matrix(self, feeds: Mapping[str, Array]) -> Array:
        return _filled(self.encoding.matrix(feeds), self.usual, self.shares)

    def _add_matrix(self, graph: Graph) -> str:
        raw, parts = self.encoding.add(graph), []
        for place, shares in enumerate(self.shares):
            code = graph.slice(raw, place, place + 1, 1)
            known = graph.add("Where", graph.add("IsNaN", code), graph.constant(len(shares) - 1, np.float32), code)
            parts.append(graph.add("Gather", graph.constant(shares), graph.cast(known, "INT64")))
        numbers = graph.slice(raw, len(self.shares), 1 << 30, 1)
        usual = graph.constant(self.usual[None])
        if len(self.usual):
            parts.append(graph.add("Where", graph.add("IsNaN", numbers), usual, numbers))
        return graph.add("Concat", *parts, axis=1)


def fit(training: Table, spec: ModelSpec) -> Anomaly:
    options, plan = Options.read(spec), training_of(spec)
    if training.rows < 2:
        raise DataRefused("one training row sets nothing apart", "Upload more rows, or hold fewer of them out.")
    feeds = feeding.feeds(training, spec.inputs)
    encoding = Encoding.of(feeds, spec.inputs, options.derived)
    raw = encoding.matrix(feeds)
    shares = tuple(_shares(raw[:, place], count) for place, count in encoding.codes.items())
    usual = _medians(raw[:, len(shares) :])
    matrix = _filled(raw, usual, shares)
    rows = min(options.rows, training.rows)
    model = IsolationForest(n_estimators=options.trees, max_samples=rows, random_state=plan.seed)
    with threadpool_limits(1):
        model.fit(matrix)
        scores = (-model.score_samples(matrix)).astype(np.float32)
    threshold = np.quantile(scores, 1 - options.contamination, method="lower")
    return Anomaly(spec, encoding, usual, shares, model, threshold, probing.background(feeds, plan.seed))


def _isolation_tree(tree: Any, columns: Array) -> trees.Tree:
    """Its leaves hold the length of the path: the depth, and what a tree of the rows left there would add."""
    split = tree.children_left >= 0
    depth = np.zeros(tree.node_count)
    for node in np.flatnonzero(split):  # a parent comes before its children
        depth[[tree.children_left[node], tree.children_right[node]]] = depth[node] + 1
    return trees.Tree(
        columns[np.where(split, tree.feature, 0)],
        trees.float32_below(tree.threshold),
        np.where(split, tree.children_left, 0),
        np.where(split, tree.children_right, 0),
        np.zeros(tree.node_count, np.int64),
        depth + _usual_path(tree.n_node_samples),
    )


def _usual_path(rows: Array) -> Array:
    """Mean length of an unsuccessful search in a binary tree of so many rows."""
    many = np.maximum(rows, 3).astype(float)
    return np.where(
        rows <= 1, 0.0, np.where(rows == 2, 1.0, 2 * (np.log(many - 1) + np.euler_gamma) - 2 * (many - 1) / many)
    )


def _shares(codes: Array, count: int) -> Array:
    found = Counter(codes[~np.isnan(codes)].astype(int).tolist())
    return np.array([*(found[code] / len(codes) for code in range(count)), 0.0], np.float32)


def _medians(numbers: Array) -> Array:
    some = np.where(np.isnan(numbers).all(axis=0), 0, numbers)
    return np.asarray(np.nanmedian(some, axis=0), np.float32) if numbers.shape[1] else np.zeros(0, np.float32)


def _filled(raw: Array, usual: Array, shares: tuple[Array, ...]) -> Array:
    matrix = raw.copy()
    for place, share in enumerate(shares):
        codes = np.where(np.isnan(raw[:, place]), len(share) - 1, raw[:, place])
        matrix[:, place] = share[codes.astype(np.int64)]
    numbers = matrix[:, len(shares) :]
    matrix[:, len(shares) :] = np.where(np.isnan(numbers), usual, numbers)
    return matrix
