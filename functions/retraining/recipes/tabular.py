"""Numbers and categories to a class or a number: gradient-boosted trees with calibrated probabilities."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from functions.retraining.recipes import boosting, feeding, probing, tensors, trees
from functions.retraining.recipes.calibration import Calibration
from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.encoding import Encoding, Pairs, pairs
from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import training_of
from functions.retraining.table import Table
from lastmile.errors import DataRefused
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

LOSSES = ("squared_error", "absolute_error", "poisson", "gamma")
LOGARITHMIC = ("poisson", "gamma")  # their trees add up to the logarithm
PROBED = 40  # split points of each feature

__all__ = ["check", "examples", "fit", "split"]


class Options(NamedTuple):
    derived: Pairs
    balanced: bool
    calibrated: bool
    loss: str
    seconds: float
    most_trees: int

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        derived, classifying = pairs(options, spec), spec.task == "classification"
        found = cls(
            derived,
            classifying and options.flag("balanced", False),
            classifying and options.flag("calibrated", True),
            "log_loss" if classifying else options.one_of("loss", LOSSES, LOSSES[0]),
            options.number("seconds", 60.0, low=1.0, high=600.0),
            options.whole("trees", 500, low=1, high=2000),
        )
        options.close("tabular")
        return found


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "tabular", "classification", "regression")
    tensors.check_target(spec, "tabular")
    tensors.check_columns(spec)
    tensors.check_monotonic(spec, Options.read(spec).derived)


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    return feeding.examples(rows, spec)


@dataclass(frozen=True, eq=False)
class Tabular:
    spec: ModelSpec
    encoding: Encoding
    model: Any
    calibration: Calibration
    background: dict[str, Array]

    @cached_property
    def onnx(self) -> bytes:
        graph = Graph()
        forest = [*trees.every(self._iterations)]
        base = np.asarray(self.model._baseline_prediction, float).reshape(-1)
        logarithmic = self.model.loss in LOGARITHMIC
        shown = self.encoding.add(graph)
        raw = trees.add(graph, shown, forest, (base * (not logarithmic)).tolist(), codes=self.encoding.codes)
        if self.spec.task == "classification":
            self.calibration.add(graph, raw, len(tensors.classes(self.spec)))
            tensors.add_labels(graph, self.spec)
        else:
            value = _exponential(graph, raw, base) if logarithmic else raw
            graph.named("value", "Reshape", value, graph.integers(-1))
        return graph.model(self.spec.inputs, self.spec.outputs, "tabular")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        matrix = self.encoding.matrix(feeds)
        if self.spec.task == "regression":
            return {"value": self.model.predict(matrix).astype(np.float32)}
        raw = self.model.decision_function(matrix).reshape(len(matrix), -1)
        return tensors.labelled(self.calibration.probabilities(raw), self.spec)

    def probes(self, seed: int) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        forest = [tree for tree, _ in trees.every(self._iterations)]
        places = {name: place for place, name in enumerate(self.encoding.names)}
        points: dict[str, list[Any]] = {
            name: trees.near(trees.split_points(forest, places[name]), PROBED, random).tolist()
            for name in self.encoding.numbers
        }
        points.update({name: list(known[:PROBED]) for name, known in self.encoding.categories.items()})
        return probing.changed(self.background, self.spec.inputs, points, seed)

    @cached_property
    def _iterations(self) -> list[list[trees.Tree]]:
        return trees.boosted(self.model)


def _exponential(graph: Graph, raw: str, base: Array) -> str:
    """In float64 and with the base there: float32 has no digits left for what the trees add to a large logarithm."""
    logarithm = graph.add("Add", graph.cast(raw, "FP64"), graph.constant(base))
    return graph.cast(graph.add("Exp", logarithm), "FP32")


def fit(training: Table, spec: ModelSpec) -> Tabular:
    options, plan = Options.read(spec), training_of(spec)
    feeds = feeding.feeds(training, spec.inputs)
    encoding = Encoding.of(feeds, spec.inputs, options.derived)
    classifying = spec.task == "classification"
    target = training[str(plan.target)]
    target = tensors.class_numbers(target, spec) if classifying else target.astype(float)
    _check_loss(options.loss, target, str(plan.target))
    rows = boosting.Rows(
        encoding.matrix(feeds),
        target,
        _balancing(target) if options.balanced else None,
        None if plan.time is None else training[plan.time],
        _kinds(target, options.loss),
    )
    make = _maker(spec, encoding, options)
    outputs = len(tensors.classes(spec)) if classifying and len(tensors.classes(spec)) > 2 else 1
    chosen = boosting.choose(
        make, rows, seconds=options.seconds, seed=plan.seed, outputs=outputs, most_trees=options.most_trees
    )
    calibration = Calibration()
    if options.calibrated:
        shares = np.bincount(target) / len(target) if options.balanced else None
        calibration = Calibration.of(chosen.raw, target[chosen.aside], shares)
    model = boosting.fit(make, rows, chosen, plan.seed)
    return Tabular(spec, encoding, model, calibration, probing.background(feeds, plan.seed))


def _kinds(target: Array, loss: str) -> Array | None:
    """What every part of the rows is to have its share of; the loss 'poisson' learns nothing of zeros alone."""
    if loss == "log_loss":
        return target
    return (target > 0).astype(np.int64) if loss == "poisson" else None


def _check_loss(loss: str, target: Array, name: str) -> None:
    if (loss == "gamma" and target.min() <= 0) or (loss == "poisson" and (target.min() < 0 or target.max() == 0)):
        wanted = "above 0" if loss == "gamma" else "0 or above, and not always 0"
        raise DataRefused(
            f"the loss '{loss}' wants every {name} {wanted}; they go from {target.min():g} to {target.max():g}",
            "Take another loss in training.options, or take these rows out.",
        )


def _maker(spec: ModelSpec, encoding: Encoding, options: Options) -> Callable[..., Any]:
    direction = {"increasing": 1, "decreasing": -1, None: 0}
    monotonic = {name: direction[feature.monotonic] for name, feature in spec.features.items()}
    constraints = [monotonic.get(name, 0) for name in encoding.names]
    shared = {
        "categorical_features": [*encoding.codes] or None,
        "monotonic_cst": constraints if any(constraints) else None,  # zeros alone are refused for three classes
    }
    if spec.task == "classification":
        return partial(HistGradientBoostingClassifier, **shared)
    return partial(HistGradientBoostingRegressor, loss=options.loss, **shared)


def _balancing(labels: Array) -> Array:
    """Weights with which every class counts the same."""
    counts = np.bincount(labels)
    return np.asarray(len(labels) / (len(counts) * counts[labels]))
