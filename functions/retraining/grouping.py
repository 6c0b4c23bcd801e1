"""The groups of a sensitive column, each measured by itself."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from lastmile.metrics import Measured, Prepared, bootstrapped, primary
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

FEWEST_ROWS = 30  # of a group: what is measured on fewer says little
MOST_GROUPS = 12
FEW_VALUES = 10
RESAMPLES = 200
MISSING, OTHERS = "missing", "others"
ALSO = ("auc", "false_positive_rate", "false_negative_rate")


@dataclass(frozen=True)
class Group:
    """`metrics` is empty where the rows are too few."""

    name: str
    rows: int
    metrics: dict[str, Measured] = field(default_factory=dict)

    @property
    def is_too_small(self) -> bool:
        return self.rows < FEWEST_ROWS

    def value(self, metric: str) -> float | None:
        return self.metrics[metric].value if metric in self.metrics else None

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Group":
        metrics = {name: Measured(**fields) for name, fields in document["metrics"].items()}
        return cls(document["name"], document["rows"], metrics)


def grouped(values: Array, prepared: Prepared, spec: ModelSpec) -> tuple[Group, ...]:
    """Measured by the task's first metric, those of the spec's gates on groups, and the error rates."""
    asked = [
        primary(spec.task).name,
        *(gate.metric for gate in spec.gates if gate.group_gap_at_most is not None),
        *ALSO,
    ]
    names = [name for name in dict.fromkeys(asked) if name in prepared.metrics]
    some = Prepared(
        prepared.rows,
        {name: prepared.metrics[name] for name in names},
        {name: prepared.weighted[name] for name in names if name in prepared.weighted},
        prepared.reasons,
    )
    return tuple(_measured(name, mask, some) for name, mask in masks(values))


def _measured(name: str, mask: Array, prepared: Prepared) -> Group:
    rows = int(mask.sum())
    if rows < FEWEST_ROWS:
        return Group(name, rows)
    return Group(name, rows, bootstrapped(prepared, mask=mask, resamples=RESAMPLES))


def masks(values: Array) -> Iterator[tuple[str, Array]]:
    """The rows of each group: a value, or a quarter of the rows where there are many different numbers."""
    numbers = _numbers(values)
    if numbers is not None and len(np.unique(numbers[np.isfinite(numbers)])) > FEW_VALUES:
        yield from _quarters(numbers)
        return
    texts = np.array([MISSING if text in ("", "nan") else text for text in map(_text, values.tolist())], object)
    found, counts = np.unique(texts, return_counts=True)
    shown = found[np.argsort(-counts, kind="stable")][:MOST_GROUPS].tolist()
    for name in sorted(shown):
        yield name, texts == name
    if len(found) > len(shown):
        yield OTHERS, ~np.isin(texts, shown)


def _quarters(numbers: Array) -> Iterator[tuple[str, Array]]:
    present = np.isfinite(numbers)
    edges = np.unique(np.percentile(numbers[present], (0, 25, 50, 75, 100)))
    if len(edges) == 2:  # half of the rows or more have the lowest number or the highest: they are one group
        frequent = np.median(numbers[present])
        edges = np.insert(edges, 1, min(edges[1], numbers[present & (numbers > frequent)].min(initial=np.inf)))
    places = np.searchsorted(edges[1:-1], numbers, side="right")
    for place, (low, high) in enumerate(pairwise(edges)):
        yield f"{low:g} to {high:g}", present & (places == place)
    if not present.all():
        yield MISSING, ~present


def _numbers(values: Array) -> Array | None:
    """Numbers, also those that stand there as texts."""
    try:
        return np.array([float(value) if value != "" else np.nan for value in values.tolist()])
    except ValueError:
        return None


def _text(value: Any) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
