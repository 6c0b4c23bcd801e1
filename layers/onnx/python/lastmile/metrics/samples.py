"""What a model answered beside what was right, as the metrics want it."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastmile.metrics.classes import Classified
from lastmile.metrics.items import Ranked
from lastmile.metrics.values import Valued
from lastmile.tensors import Array

ANSWERS = {"label", "probabilities", "score", "value", "items", "quantiles"}
TRUTH = {"classification": "label", "anomaly": "label", "recommendation": "items"}

type Sample = Classified | Valued | Ranked


class NoSample(Exception):
    """Why nothing can be measured."""


def sample(task: str, outputs: Mapping[str, Array], truth: Mapping[str, Array], columns: Sequence[str]) -> Sample:
    """`columns` are the class names of `probabilities`, or the levels of `quantiles`; raises NoSample."""
    right = truth.get(TRUTH.get(task, "value"))
    if right is None:
        raise NoSample("there are no labels")
    if not len(right):
        raise NoSample("there are no rows")
    for name in ANSWERS.intersection(outputs):
        if outputs[name].shape[:1] != (len(right),):
            raise NoSample(f"the model gives '{name}' of shape {list(outputs[name].shape)} for {len(right)} rows")
    match task:
        case "classification":
            return _classified(outputs, np.asarray(right), columns)
        case "anomaly":
            return _anomalous(outputs, np.asarray(right))
        case "recommendation":
            return Ranked.of(_table(outputs["items"], "items"), list(right))
        case "forecast":
            return _forecast(_table(outputs["quantiles"], "quantiles"), _numbers(right, "labels"), columns)
        case _:
            return Valued(_numbers(right, "labels"), _column(outputs["value"], "answers"))


def texts(labels: Array) -> list[str]:
    """Labels of any kind by the names that `columns` give them: 1 and 1.0 are "1"."""
    values = np.asarray(labels).reshape(-1).tolist()
    return [str(int(value)) if _is_whole(value) else str(value) for value in values]


def _is_whole(value: Any) -> bool:
    return isinstance(value, (bool, int)) or (isinstance(value, float) and value.is_integer())


def _classified(outputs: Mapping[str, Array], right: Array, columns: Sequence[str]) -> Classified:
    probabilities = outputs.get("probabilities")
    truth, known = texts(right), list(columns)
    if probabilities is not None and (probabilities.ndim != 2 or 0 < len(known) < probabilities.shape[1]):
        probabilities = None  # nobody knows of which class each of them is
    if "label" in outputs:
        predicted = texts(outputs["label"])
        if len(predicted) != len(truth):
            raise NoSample(f"the model gives {len(predicted) // len(truth)} labels for each row, one is wanted")
    elif probabilities is not None and known:
        predicted = [known[number] for number in probabilities.argmax(axis=1).tolist()]
    else:
        raise NoSample("the model answers with neither labels nor probabilities of named classes")
    known += sorted({*truth, *predicted} - set(known), key=lambda name: (len(name), name))
    number = {name: index for index, name in enumerate(known)}
    if probabilities is not None and probabilities.shape[1] > len(known):
        probabilities = None
    if probabilities is not None:
        others = ((0, 0), (0, len(known) - probabilities.shape[1]))  # of which the model has never heard
        probabilities = np.pad(_numbers(probabilities, "probabilities", flat=False), others)
    return Classified(
        np.array([number[name] for name in truth]),
        np.array([number[name] for name in predicted]),
        tuple(known),
        scores=probabilities,
        probabilities=probabilities,
    )


def _anomalous(outputs: Mapping[str, Array], right: Array) -> Classified:
    truth = np.array([name == "1" for name in texts(right)], int)
    score = _column(outputs["score"], "scores")
    predicted = _column(outputs["label"], "labels").astype(int) if "label" in outputs else (score > 0).astype(int)
    return Classified(truth, predicted, ("0", "1"), scores=np.stack([-score, score], axis=1))


def _forecast(quantiles: Array, right: Array, columns: Sequence[str]) -> Valued:
    try:
        levels = tuple(map(float, columns))
    except ValueError:
        raise NoSample(f"the model's quantiles are named {', '.join(columns[:5])}: numbers are wanted") from None
    found = _numbers(quantiles, "quantiles", flat=False)
    if not levels or len(levels) != found.shape[1]:
        raise NoSample(f"the model gives {found.shape[1]} quantiles and names {len(levels)}")
    middle = int(np.argmin(np.abs(np.array(levels) - 0.5)))
    return Valued(right, found[:, middle], levels, found)


def _table(values: Array, what: str) -> Array:
    """Rows of any number of values."""
    if values.ndim != 2:
        raise NoSample(f"the model gives {what} in {values.ndim} axes, the rows and one more are wanted")
    return values


def _column(values: Array, what: str) -> Array:
    """One number for each row."""
    numbers = _numbers(values, what)
    if len(numbers) != len(values):
        raise NoSample(f"the model gives {len(numbers) // len(values)} {what} for each row, one is wanted")
    return numbers


def _numbers(values: Any, what: str, *, flat: bool = True) -> Array:
    try:
        numbers = np.asarray(values, float)
    except ValueError:
        raise NoSample(f"the {what} are no numbers") from None
    bad = int((~np.isfinite(numbers.reshape(len(numbers), -1))).any(axis=1).sum())
    if bad:
        raise NoSample(f"{bad} of {len(numbers)} {what} are no finite numbers")
    return numbers.reshape(-1) if flat else numbers
