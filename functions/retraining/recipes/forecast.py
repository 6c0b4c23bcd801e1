"""The next values of many series, as quantiles: boosted trees over their own past, the calendar and what is known."""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.ensemble import HistGradientBoostingRegressor

from functions.retraining.data.columns import Column, of_spec
from functions.retraining.recipes import boosting, feeding, probing, tensors, trees
from functions.retraining.recipes.contract import Examples
from functions.retraining.recipes.encoding import Encoding, Pairs, pairs
from functions.retraining.recipes.graph import Graph
from functions.retraining.recipes.lags import DAY, HOUR, Lags
from functions.retraining.recipes.options import RecipeOptions
from functions.retraining.recipes.split import default as split
from functions.retraining.recipes.split import training_of
from functions.retraining.recipes.windows import Grid, step_of
from functions.retraining.table import Table
from lastmile.errors import InvalidSpec
from lastmile.spec import ModelSpec
from lastmile.tensors import Array, TensorSpec

__all__ = ["check", "columns", "examples", "fit", "split", "whole"]

whole = True  # inputs come from earlier rows: none may be left out

PROBED = 40  # split points of each feature
OWN = ("history", "time")  # inputs that are no columns of the training file
SEASONS = {DAY: (7,), HOUR: (24, 168)}  # steps, by the time that one takes


class Options(NamedTuple):
    series: str | None
    horizon: int
    seasons: tuple[int, ...]
    derived: Pairs
    seconds: float
    most_trees: int

    @classmethod
    def read(cls, spec: ModelSpec) -> "Options":
        options = RecipeOptions.of(spec)
        named = "series" in training_of(spec).options
        seasons = options.wholes("seasons", [0], low=0, high=10_000)
        found = cls(
            options.text("series") if named else None,
            options.whole("horizon", 1, low=1, high=10_000),
            tuple(season for season in seasons if season),
            pairs(options, spec),
            options.number("seconds", 60.0, low=1.0, high=600.0),
            options.whole("trees", 400, low=1, high=2000),
        )
        options.close("forecast")
        return found


def check(spec: ModelSpec) -> None:
    tensors.check_task(spec, "forecast", "forecast")
    tensors.check_target(spec, "forecast")
    if training_of(spec).time is None:
        raise InvalidSpec("training.time: the recipe 'forecast' needs the column of the time")
    inputs = {tensor.name: tensor for tensor in spec.inputs}
    history, time = inputs.get("history"), inputs.get("time")
    if history is None or history.datatype != "FP32" or len(history.shape) != 2 or history.shape[1] < 1:
        raise InvalidSpec("inputs: 'history' must be there, FP32 of shape [-1, h]")
    if not history.nullable or history.columns:
        raise InvalidSpec("inputs: 'history' must be nullable and have no columns: a series may begin later")
    if time is None or time.datatype not in ("FP64", "INT64") or time.shape != (-1,):
        raise InvalidSpec("inputs: 'time' must be there, FP64 or INT64 of shape [-1], in seconds since 1970")
    tensors.check_columns(_others(spec))
    _levels(spec)
    Options.read(spec)


def columns(spec: ModelSpec) -> tuple[Column, ...]:
    options = Options.read(spec)
    known = [column for column in of_spec(spec) if column.name not in OWN or column.role != "feature"]
    named = {column.name for column in known}
    plan = training_of(spec)
    if plan.time is not None and plan.time not in named:
        known.append(Column(plan.time, "time", "time"))
    if options.series is not None and options.series not in named:
        known.append(Column(options.series, "text", "other"))
    return tuple(known)


def examples(rows: Table, spec: ModelSpec, *, training: Table) -> Examples:
    """What a row's history is comes from the training rows and from the earlier ones of its own."""
    feeds = _feeds(rows, spec, earlier=training)
    return Examples(feeds, {"value": rows[str(training_of(spec).target)]}, feeding.groups(rows, spec))


@dataclass(frozen=True, eq=False)
class Forecast:
    """Each of the `models` gives one quantile, relative to the level of the history."""

    spec: ModelSpec
    encoding: Encoding
    lags: Lags
    models: tuple[Any, ...]
    lowest: float
    background: dict[str, Array]

    @cached_property
    def onnx(self) -> bytes:
        graph = Graph()
        shown, level = self.lags.add(graph, "history", "time")
        if self.encoding.names:
            shown = graph.add("Concat", self.encoding.add(graph), shown, axis=1)
        forest = [(tree, number) for number, parts in enumerate(self._forests) for tree in parts]
        base = [float(np.reshape(model._baseline_prediction, -1)[0]) for model in self.models]
        raw = trees.add(graph, shown, forest, base, codes=self.encoding.codes)
        values = graph.add("Mul", graph.cast(raw, "FP64"), level)
        values = graph.add("Max", values, graph.constant(self.lowest, np.float64))
        count = graph.integers(len(self.models))
        ascending, _ = graph.several("TopK", values, count, count=2, axis=1, largest=0)
        graph.named("quantiles", "Cast", ascending, to=1)
        return graph.model(self.spec.inputs, self.spec.outputs, "forecast")

    def predict(self, feeds: dict[str, Array]) -> dict[str, Array]:
        matrix, level = _matrix(self.encoding, self.lags, feeds)
        raw = np.stack([model.predict(matrix) for model in self.models], axis=1)
        return {"quantiles": np.sort(np.maximum(raw * level, self.lowest), axis=1).astype(np.float32)}

    def probes(self, seed: int) -> dict[str, Array]:
        random = np.random.default_rng(seed)
        forest = [tree for parts in self._forests for tree in parts]
        places = {name: place for place, name in enumerate(self.encoding.names)}
        points: dict[str, list[Any]] = {
            name: trees.near(trees.split_points(forest, places[name]), PROBED, random).tolist()
            for name in self.encoding.numbers
        }
        points.update({name: list(known[:PROBED]) for name, known in self.encoding.categories.items()})
        first = float(self.background["time"].min())
        points["time"] = [first + HOUR * number for number in random.integers(0, 24 * 400, PROBED).tolist()]
        history = next(tensor for tensor in self.spec.inputs if tensor.name == "history")
        others = tuple(tensor for tensor in self.spec.inputs if tensor is not history and tensor.name != "time")
        time = TensorSpec("time", "INT64", (-1,))
        found = probing.changed(self.background, (*others, time), points, seed)
        missing = random.random(found["history"].shape) < random.random((len(found["history"]), 1)) * 1.2
        found["history"] = np.where(missing, np.float32(np.nan), found["history"])
        return found

    @cached_property
    def _forests(self) -> list[list[trees.Tree]]:
        return [[tree for tree, _ in trees.every(trees.boosted(model))] for model in self.models]


def fit(training: Table, spec: ModelSpec) -> Forecast:
    options, plan = Options.read(spec), training_of(spec)
    feeds = _feeds(training, spec, earlier=training)
    target = training[str(plan.target)].astype(float)
    known = ~np.isnan(feeds["history"]).all(axis=1)
    if known.any():
        feeds, target = {name: array[known] for name, array in feeds.items()}, target[known]
    else:
        known[:] = True
    step = step_of(_series(training, options), training[str(plan.time)])
    seasons = options.seasons or next((found for least, found in SEASONS.items() if step >= least), (24,))
    width = feeds["history"].shape[1]
    lags = Lags.of(width=width, horizon=options.horizon, seasons=seasons, step=step, level=float(np.abs(target).mean()))
    encoding = Encoding.of(feeds, _others(spec).inputs, options.derived)
    matrix, level = _matrix(encoding, lags, feeds)
    times = training[str(plan.time)][known]
    rows = boosting.Rows(matrix, target / level[:, 0], level[:, 0], times, None)
    levels = _levels(spec)
    models = []
    for quantile in levels:
        make = partial(
            HistGradientBoostingRegressor,
            loss="quantile",
            quantile=quantile,
            categorical_features=[*encoding.codes] or None,
        )
        chosen = boosting.choose(
            make,
            rows,
            seconds=options.seconds / len(levels),
            seed=plan.seed,
            outputs=1,
            most_trees=options.most_trees,
        )
        models.append(boosting.fit(make, rows, chosen, plan.seed))
    lowest = 0.0 if target.min() >= 0 else -np.inf
    return Forecast(spec, encoding, lags, tuple(models), lowest, probing.background(feeds, plan.seed))


def _matrix(encoding: Encoding, lags: Lags, feeds: dict[str, Array]) -> tuple[Array, Array]:
    shown, level = lags.features(feeds["history"], feeds["time"])
    return (np.concatenate([encoding.matrix(feeds), shown], axis=1) if encoding.names else shown), level


def _feeds(rows: Table, spec: ModelSpec, *, earlier: Table) -> dict[str, Array]:
    """`earlier` rows belong to the series too; a row is never its own history."""
    options, plan = Options.read(spec), training_of(spec)
    series = np.concatenate([_series(earlier, options), _series(rows, options)])
    times = np.concatenate([earlier[str(plan.time)], rows[str(plan.time)]]).astype(float)
    values = np.concatenate([earlier[str(plan.target)], rows[str(plan.target)]]).astype(float)
    inputs = {tensor.name: tensor for tensor in spec.inputs}
    width = inputs["history"].shape[1]
    step = step_of(_series(earlier, options), earlier[str(plan.time)])
    grid = Grid.of(series, times, values, step=step, room=width + options.horizon)
    history = grid.before(options.horizon, width)[earlier.rows :]
    feeds = feeding.feeds(rows, _others(spec).inputs)
    feeds["history"] = feeding.converted(history, "FP32")
    feeds["time"] = feeding.converted(rows[str(plan.time)], inputs["time"].datatype)
    return {name: feeds[name] for name in inputs}


def _series(table: Table, options: Options) -> Array:
    return np.zeros(table.rows) if options.series is None else table[options.series]


def _others(spec: ModelSpec) -> ModelSpec:
    """With only the inputs that are columns of the training file."""
    return replace(spec, inputs=tuple(tensor for tensor in spec.inputs if tensor.name not in OWN))


def _levels(spec: ModelSpec) -> tuple[float, ...]:
    names = spec.outputs[0].columns
    try:
        levels = tuple(map(float, names))
    except ValueError:
        levels = ()
    if not levels or list(levels) != sorted(set(levels)) or not 0 < levels[0] <= levels[-1] < 1:
        raise InvalidSpec("outputs.quantiles.columns: must be ascending levels between 0 and 1, such as 0.1, 0.5, 0.9")
    return levels
