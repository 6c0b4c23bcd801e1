"""The metrics, one row each: the first of a task is the one that counts when nobody names another."""

import re
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Literal, NamedTuple

from lastmile.errors import InvalidSpec
from lastmile.metrics import classes, items, ranking, values
from lastmile.metrics.weighing import Weighted

type Part = Literal["labels", "scores", "probabilities", "numbers", "quantiles", "items"]

LABELLED = ("classification", "anomaly")
AT_K = re.compile(r"(recall|ndcg)@([1-9]\d{0,3})")


class Metric(NamedTuple):
    """`part` is what of the answers it reads, `undefined` says why rows may leave it without a value."""

    name: str
    function: Callable[[Any], Weighted]
    tasks: tuple[str, ...]
    better: Literal["higher", "lower"]
    part: Part
    undefined: str = "there are no rows"
    low: float = 0.0
    high: float | None = 1.0


ONE_CLASS = "the rows are all of one class"
NO_POSITIVES = "no row is of the positive class"

METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("accuracy", classes.accuracy, ("classification",), "higher", "labels"),
        Metric("auc", ranking.auc, LABELLED, "higher", "scores", ONE_CLASS),
        Metric("average_precision", ranking.average_precision, LABELLED, "higher", "scores", NO_POSITIVES),
        Metric("f1", classes.f1, LABELLED, "higher", "labels", "no row is, or is said to be, of the positive class"),
        Metric("precision", classes.precision, LABELLED, "higher", "labels", "no row is said to be positive"),
        Metric("recall", classes.recall, LABELLED, "higher", "labels", NO_POSITIVES),
        Metric("macro_f1", classes.macro_f1, ("classification",), "higher", "labels"),
        Metric("macro_precision", classes.macro_precision, ("classification",), "higher", "labels"),
        Metric("macro_recall", classes.macro_recall, ("classification",), "higher", "labels"),
        Metric("log_loss", classes.log_loss, ("classification",), "lower", "probabilities", high=None),
        Metric("brier", classes.brier, ("classification",), "lower", "probabilities"),
        Metric("calibration_error", classes.calibration_error, ("classification",), "lower", "probabilities"),
        Metric("false_positive_rate", classes.false_positive_rate, LABELLED, "lower", "labels", ONE_CLASS),
        Metric("false_negative_rate", classes.false_negative_rate, LABELLED, "lower", "labels", NO_POSITIVES),
        Metric("pinball", values.pinball, ("forecast",), "lower", "quantiles", high=None),
        Metric("coverage", values.coverage, ("forecast",), "higher", "quantiles"),
        Metric("coverage_error", values.coverage_error, ("forecast",), "lower", "quantiles"),
        Metric("mae", values.mae, ("regression", "forecast"), "lower", "numbers", high=None),
        Metric("rmse", values.rmse, ("regression", "forecast"), "lower", "numbers", high=None),
        *(
            Metric(f"{name}@{k}", partial(function, k=k), ("recommendation",), "higher", "items", "no row wanted any")
            for k in (10, 5, 20)
            for name, function in (("recall", items.recall_at), ("ndcg", items.ndcg_at))
        ),
    )
}


def find(name: str) -> Metric:
    """The metric of that name; `recall@k` and `ndcg@k` are there for every k. Raises InvalidSpec."""
    if name in METRICS:
        return METRICS[name]
    if at_k := AT_K.fullmatch(name):
        k = int(at_k[2])
        return METRICS[f"{at_k[1]}@10"]._replace(
            name=name, function=partial({"recall": items.recall_at, "ndcg": items.ndcg_at}[at_k[1]], k=k)
        )
    raise InvalidSpec(f"there is no metric {name!r}; there are {', '.join(METRICS)}")


def of_task(task: str) -> Iterator[Metric]:
    return (metric for metric in METRICS.values() if task in metric.tasks)


def primary(task: str) -> Metric:
    return next(of_task(task))


def gain(metric: Metric, new: float, old: float) -> float:
    """How much better `new` is than `old`, in the metric's better direction."""
    return new - old if metric.better == "higher" else old - new
