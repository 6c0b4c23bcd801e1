"""Features that give the label away: one of them alone is always right about it."""

from collections.abc import Iterator, Sequence

import numpy as np

from functions.retraining.data.columns import Column
from functions.retraining.data.factorising import factorised
from functions.retraining.data.findings import Finding
from functions.retraining.table import Table
from lastmile.metrics import prepare
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

FEWEST_ROWS = 50
FEWEST_OF_A_CLASS = 5
REPEATED = 5  # rows per value, on average, before a value can be said to mean a class
SAMPLE = 20_000  # what these rows refute need not be looked for in all
ALMOST = 0.999
LINEAR = 1 - 1e-9
ADVICE = "It will not be known when a prediction is wanted, or it is the label under another name: take it out."


def leaks(table: Table, columns: Sequence[Column], spec: ModelSpec) -> Iterator[Finding]:
    """Refused is what is perfect on enough rows; almost perfect is a warning."""
    target = next((column for column in columns if column.role == "target"), None)
    features = [column for column in columns if column.role == "feature"]
    if target is None or table.rows < FEWEST_ROWS:
        return
    sample = table.take(np.random.default_rng(0).permutation(table.rows)[:SAMPLE])
    if spec.task not in ("classification", "anomaly"):
        for column in features:
            yield from _of_numbers(table[column.name], column, table[target.name].astype(float), target)
        return
    some, few = factorised(sample[target.name])
    classes, count = factorised(table[target.name])
    if count < 2 or few != count or np.sort(np.bincount(classes))[-2] < FEWEST_OF_A_CLASS:
        return
    for column in features:
        if _how(sample[column.name], some) is not None and (how := _how(table[column.name], classes)) is not None:
            yield Finding("refused", f"{column.name} gives {target.name} away: {how}", ADVICE, column.name)
        elif count == 2 and _area(sample[column.name], some) > ALMOST:
            sentence = f"{column.name} alone tells {target.name} almost without an error (AUC above {ALMOST})"
            yield Finding("warning", sentence, ADVICE, column.name)


def _how(values: Array, classes: Array) -> str | None:
    """The rule by which the values alone tell the class of every row."""
    missing = values == "" if values.dtype.kind == "O" else np.isnan(values.astype(float))
    if _is_mapped(missing.astype(int), classes):
        return "it is missing for some of the classes and there for the others"
    codes, distinct = factorised(values)
    if distinct > 1 and distinct * REPEATED <= len(codes) and _is_mapped(codes, classes):
        return f"each of its {distinct} values always goes with the same one"
    if values.dtype.kind != "O" and _is_ordered(values[~missing].astype(float), classes[~missing]):
        return "a threshold on it separates the classes without an error"
    return None


def _is_mapped(codes: Array, classes: Array) -> bool:
    """Whether each code has one class only, and each class its codes."""
    pairs = np.unique(codes * (int(classes.max()) + 1) + classes)
    return len(pairs) == len(np.unique(codes)) >= len(np.unique(classes)) > 1


def _is_ordered(values: Array, classes: Array) -> bool:
    """Whether the classes lie one after the other and do not overlap."""
    found = np.unique(classes)
    if len(values) < FEWEST_ROWS or len(found) < 2:
        return False
    lows = np.array([values[classes == number].min() for number in found])
    highs = np.array([values[classes == number].max() for number in found])
    order = np.argsort(lows)
    return bool((highs[order][:-1] < lows[order][1:]).all())


def _area(values: Array, classes: Array) -> float:
    """The AUC of a numeric column, whichever way it is turned."""
    if values.dtype.kind == "O":
        return 0.0
    present = np.isfinite(values.astype(float))
    score = values[present].astype(float)
    truth = {"label": classes[present]}
    outputs = {"probabilities": np.stack([-score, score], axis=1)}
    area = prepare("classification", outputs, truth, columns=("0", "1"), names=["auc"]).measured()["auc"].value
    return 0.0 if area is None else max(area, 1 - area)


def _of_numbers(values: Array, column: Column, wanted: Array, target: Column) -> Iterator[Finding]:
    if values.dtype.kind == "O":
        return
    numbers = values.astype(float)
    present = np.isfinite(numbers) & np.isfinite(wanted)
    if present.sum() < FEWEST_ROWS or np.ptp(numbers[present]) == 0 or np.ptp(wanted[present]) == 0:
        return
    if abs(np.corrcoef(numbers[present], wanted[present])[0, 1]) > LINEAR:
        sentence = f"{column.name} gives {target.name} away: one is a multiple of the other, plus a constant"
        yield Finding("refused", sentence, ADVICE, column.name)
