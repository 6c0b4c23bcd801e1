"""What one machine cannot hold: gradient-boosted trees by XGBoost on several machines, in training jobs.

A training job writes the rows as numbers, XGBoost's own container learns from them, and what it has learnt becomes a
graph here. Categories are numbers in the order of their names.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from functions.retraining.recipes import feeding, probing, tensors, trees
from functions.retraining.recipes.booster import Booster
from functions.retraining.recipes.calibration import Calibration
from functions.retraining.recipes.contract import Examples, Fitted
from functions.retraining.recipes.encoding import Encoding, Pairs, pairs
from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import training_of
from functions.retraining.table import Table
from lastmile.errors import DataRefused, InvalidArtefact
from lastmile.metrics.samples import texts as class_names
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

PROBED = 40  # split points of each feature
outside = True  # it trains in training jobs only

__all__ = ["check", "examples", "fit", "outside", "split"]


class Options(NamedTuple):
    derived: Pairs
    trees: int
    depth: int
    learning_rate: float
    child_weight: float
    l2: float
    subsample: float

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        found = cls(
            pairs(options, spec),
            options.whole("trees", 200, low=1, high=2000),
            options.whole("depth", 6, low=1, high=12),
            options.number("learning_rate", 0.1, low=0.001, high=1.0),
            options.number("child_weight", 1.0, low=0.0, high=1e6),
            options.number("l2", 1.0, low=0.0, high=1e6),
            options.number("subsample", 1.0, low=0.1, high=1.0),
        )
        options.close("xgboost")
        return found


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "xgboost", "classification", "regression")
    tensors.check_target(spec, "xgboost")
    tensors.check_columns(spec)
    tensors.check_monotonic(spec, Options.read(spec).derived)


def fit(training: Table, spec: ModelSpec) -> Fitted:
    raise DataRefused(
        "the recipe 'xgboost' learns in training jobs, which are not switched on here",
        "Deploy with training jobs (see docs/learning.md), or take the recipe 'tabular' in the spec.",
    )


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    return feeding.examples(rows, spec)


def hyperparameters(spec: ModelSpec, encoding: Encoding) -> dict[str, str]:
    """What AWS's container is told: https://docs.aws.amazon.com/sagemaker/latest/dg/xgboost_hyperparameters.html."""
    options, many = Options.read(spec), len(tensors.classes(spec)) if spec.task == "classification" else 0
    direction = {"increasing": "1", "decreasing": "-1", None: "0"}
    monotonic = {name: direction[feature.monotonic] for name, feature in spec.features.items()}
    constraints = [monotonic.get(name, "0") for name in encoding.names]
    found = {
        "objective": "reg:squarederror" if not many else "binary:logistic" if many == 2 else "multi:softprob",
        "num_round": str(options.trees),
        "max_depth": str(options.depth),
        "eta": f"{options.learning_rate:g}",
        "min_child_weight": f"{options.child_weight:g}",
        "lambda": f"{options.l2:g}",
        "subsample": f"{options.subsample:g}",
        "tree_method": "hist",
        "seed": str(training_of(spec).seed),
    }
    if many > 2:
        found["num_class"] = str(many)
    if set(constraints) != {"0"}:
        found["monotone_constraints"] = f"({','.join(constraints)})"
    return found


def targets(labels: Array, spec: ModelSpec) -> Array:
    """float64: the place of each label among the classes of the spec, or the number itself."""
    if spec.task != "classification":
        return labels.astype(float)
    known = {name: float(number) for number, name in enumerate(tensors.classes(spec))}
    return np.array([known[name] for name in class_names(labels)])


@dataclass(frozen=True, eq=False)
class Boosted:
    """A booster behind the encoding whose columns it has learnt from."""

    spec: ModelSpec
    encoding: Encoding
    booster: Booster
    background: Mapping[str, Array]

    def __post_init__(self) -> None:
        wanted = hyperparameters(self.spec, self.encoding)["objective"]
        if self.booster.objective != wanted or self.booster.features > len(self.encoding.names):
            raise InvalidArtefact(
                f"the trained model is one for {self.booster.objective} with {self.booster.features} columns, and not "
                f"for {wanted} with {len(self.encoding.names)}"
            )

    @cached_property
    def onnx(self) -> bytes:
        graph = Graph()
        raw = trees.add(graph, self.encoding.add(graph), [*self.booster.trees()], self.booster.base)
        if self.spec.task == "classification":
            Calibration().add(graph, raw, len(tensors.classes(self.spec)))
            tensors.add_labels(graph, self.spec)
        else:
            graph.named("value", "Reshape", raw, graph.integers(-1))
        return graph.model(self.spec.inputs, self.spec.outputs, "xgboost")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        raw = self.booster.raw(self.encoding.matrix(feeds))
        if self.spec.task == "regression":
            return {"value": raw[:, 0].astype(np.float32)}
        return tensors.labelled(Calibration().probabilities(raw), self.spec)

    def probes(self, seed: int) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        forest = [tree for tree, _ in self.booster.trees()]
        places = {name: place for place, name in enumerate(self.encoding.names)}
        points: dict[str, list[Any]] = {
            name: trees.near(trees.split_points(forest, places[name]), PROBED, random).tolist()
            for name in self.encoding.numbers
        }
        points.update({name: list(known[:PROBED]) for name, known in self.encoding.categories.items()})
        return probing.changed(self.background, self.spec.inputs, points, seed)
