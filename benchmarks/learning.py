"""Real data through the recipes: what each model reaches beside a reference, and how long its training step takes.

Every figure is of the ONNX graph, certified against the trained object, on rows that were not trained on. What is done
to the data before the recipe is in `benchmarks.real_data`, a function for each set.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks import real_data
from benchmarks.machine import versions
from benchmarks.progress import Tell, silence
from benchmarks.real_data import Prepared
from benchmarks.report import number, table
from benchmarks.result import Figure, Ratio, Result, Target
from functions.retraining.certificate import certify
from functions.retraining.recipes import load
from lastmile.metrics import measure
from lastmile.model import OnnxModel

TITLE = "Learning on real data"
LIMIT_SECONDS = 60.0
FOLDS = 5
# Set, metric, reference, whether higher is better, and what the figure is of.
GOALS: dict[str, tuple[Callable[[], list[Prepared]], str, float, bool, str]] = {
    "banking77 accuracy": (real_data.banking77, "accuracy", 0.914, True, "text, official test split"),
    "ai4i2020 AUC": (real_data.ai4i2020, "auc", 0.977, True, "tabular, mean of 5 folds, two products and a difference"),
    "ai4i2020 average precision": (real_data.ai4i2020, "average_precision", 0.83, True, "the same"),
    "bike_sharing MAE": (
        real_data.bike_sharing_without_history,
        "mae",
        41.6,
        False,
        "tabular, last quarter, no history",
    ),
    "bike_sharing MAE, next hour": (real_data.bike_sharing, "mae", 41.6, False, "forecast with two weeks of history"),
    "fraud_handbook AUC": (real_data.fraud_handbook, "auc", 0.872, True, "tabular, the handbook's weeks and customers"),
    "fraud_handbook average precision": (real_data.fraud_handbook, "average_precision", 0.61, True, "the same"),
    "movietweetings recall@10": (real_data.movietweetings, "recall@10", 0.0, True, "recommender, newest fifth"),
}
POPULARITY = 1.5  # times


def run(quick: bool, tell: Tell = silence) -> Result:
    """The short run leaves out the longest ones. Without the data there is nothing to measure."""
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    targets: dict[str, Target] = {}
    done: dict[Any, tuple[dict[str, list[float]], list[float]]] = {}
    for name, (prepare, metric, reference, higher, _) in GOALS.items():
        if not real_data.FOLDER.is_dir() or (quick and name.startswith("bike")):
            continue
        tell(name)
        if prepare not in done:
            done[prepare] = _measured(prepare())
        values, seconds = done[prepare]
        value = float(np.mean(values[metric]))
        if name.startswith("movietweetings"):
            reference = POPULARITY * float(np.mean(values["popularity"]))
        figures[name] = Figure.count(value, metric)
        figures[f"{name}, reference"] = Figure.count(reference, metric)
        ratios[f"{name} / reference"] = Ratio.exact(value / reference, better="higher" if higher else "lower")
        targets[f"{name} / reference"] = Target(at_least=1.0) if higher else Target(at_most=1.0)
        if name.startswith("banking77"):
            figures["banking77 training step"] = Figure.count(max(seconds), "s")
            ratios["banking77 training step / 60 s"] = Ratio.exact(max(seconds) / LIMIT_SECONDS)
            targets["banking77 training step / 60 s"] = Target(at_most=1.0)
    return Result(figures, ratios, targets, versions())


def _measured(parts: list[Prepared]) -> tuple[dict[str, list[float]], list[float]]:
    """The metrics of each part, and the seconds of each fit."""
    values: dict[str, list[float]] = {}
    seconds: list[float] = []
    for spec, training, held_out, references in parts:
        recipe = load(spec)
        started = time.perf_counter()
        fitted = recipe.fit(training, spec)
        seconds.append(time.perf_counter() - started)
        examples = recipe.examples(held_out, spec, training=training)
        certify(fitted, fitted.onnx, examples.feeds, spec)
        model = OnnxModel.open(fitted.onnx, threads=1)
        names = [tensor.name for tensor in model.signature.outputs]
        outputs = dict(zip(names, model.run(None, examples.feeds), strict=True))
        found = measure(spec.task, outputs, examples.truth, columns=spec.outputs[-1].columns)
        for name, measured in found.items():
            values.setdefault(name, []).append(float("nan") if measured.value is None else measured.value)
        for name, value in references(examples).items():
            values.setdefault(name, []).append(value)
    return values, seconds


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    rows = [
        (name, number_of(figures[name]), number_of(figures[f"{name}, reference"]), said)
        for name, (_, _, _, _, said) in GOALS.items()
        if name in figures
    ]
    text = (
        "Each figure is of the certified ONNX graph on rows it was not trained on; the references are those of the "
        "data's own notes (movietweetings: 1.5 times the most popular items that the user has not rated). One core.\n"
    )
    step = figures.get("banking77 training step")
    timed = "" if step is None else f"\nThe training step of banking77 took {number(step['median'])} s.\n"
    return f"{text}\n{table(('', 'ours', 'reference', 'what it is'), rows)}{timed}"


def number_of(figure: dict[str, Any]) -> str:
    return f"{figure['median']:.4g}"
