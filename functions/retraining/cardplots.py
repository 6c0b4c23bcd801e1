"""The plots of a model card, from what an evaluation kept of its curves."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from functions.retraining.evaluation import Evaluation
from functions.retraining.svg import Line, curves, histogram_plot, interval, matrix

DIAGONAL = Line(np.array([0.0, 1.0]), np.array([0.0, 1.0]), kind="faint")


def figures(evaluation: Evaluation) -> list[str]:
    """Those for which there is something to draw."""
    ours, champion = evaluation.curves, evaluation.champion
    theirs = {} if champion is None else champion.curves
    name = "" if champion is None else f"version {champion.version}"
    drawn = []
    if "roc" in ours:
        drawn.append(
            curves(
                "ROC",
                "false positive rate",
                "true positive rate",
                [DIAGONAL, *_pair("roc", ours, theirs, name)],
                unit=True,
            )
        )
        drawn.append(
            curves(
                "Precision and recall", "recall", "precision", _pair("precision_recall", ours, theirs, name), unit=True
            )
        )
    if "calibration" in ours:
        lines = [DIAGONAL, *_pair("calibration", ours, theirs, name)]
        drawn.append(curves("Calibration", "probability said", "share that came true", lines, unit=True))
    if "confusion" in ours:
        drawn.append(matrix("Confusion", ours["confusion"]["names"], np.array(ours["confusion"]["counts"])))
    if "values" in ours:
        drawn.append(_values(ours["values"]))
    if "errors" in ours:
        errors = ours["errors"]
        drawn.append(histogram_plot("Errors (predicted less true)", errors["counts"], errors["low"], errors["high"]))
    if "levels" in ours:
        lines = [DIAGONAL, *_pair("levels", ours, theirs, name)]
        drawn.append(curves("Quantiles", "quantile promised", "share of the truth below", lines, unit=True))
    if "recall" in ours:
        drawn.append(curves("Recall of the first k", "k", "recall", _pair("recall", ours, theirs, name)))
    return drawn


def intervals(evaluation: Evaluation) -> list[str]:
    """One per metric: the held-out interval, over the champion's."""
    drawn = []
    champion = evaluation.champion
    for name, found in evaluation.metrics.items():
        theirs = None if champion is None else champion.metrics.get(name)
        rows = [
            (
                kind,
                each.value,
                each.value if each.low is None else each.low,
                each.value if each.high is None else each.high,
            )
            for kind, each in (("ours", found), ("other", theirs))
            if each is not None and each.value is not None
        ]
        drawn.append("".join(interval(value, low, high, _scale(rows), kind=kind) for kind, value, low, high in rows))
    return drawn


def _scale(rows: Sequence[tuple[str, float, float, float]]) -> tuple[float, float]:
    """From the lowest bound to the highest: what is shown is how far the intervals lie apart."""
    return min((low for _, _, low, _ in rows), default=0.0), max((high for _, _, _, high in rows), default=1.0)


def _pair(key: str, ours: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> list[Line]:
    """The champion's curve below ours."""
    lines = [_line(theirs[key], name, "other")] if key in theirs else []
    return [*lines, _line(ours[key], "new" if lines else "", "ours")]


def _line(points: Mapping[str, Any], label: str, kind: str) -> Line:
    return Line(np.array(points["x"], float), np.array(points["y"], float), label, kind)


def _values(points: Mapping[str, Any]) -> str:
    cloud = _line(points, "", "ours")
    ends = np.array([cloud.x.min(), cloud.x.max()])
    return curves("Predicted and true", "true", "predicted", [Line(ends, ends, kind="faint")], cloud=cloud)
