"""How right the answers of one version were: figures of all its labelled rows, of groups of them and of days."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict
from functools import cached_property
from typing import Any

import numpy as np

from lastmile.feedback import Feedback, day
from lastmile.labelled import Labelled
from lastmile.metrics import Prepared, bootstrapped, of_task, prepare
from lastmile.metrics.classes import Classified, confidence
from lastmile.metrics.samples import NoSample, sample, texts
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

SHADOW = "shadow"
BINS = 10
MOST_VALUES = 20  # of a feature whose groups are told apart
MOST_DAYS = 92
MOST_STRANGE = 50  # labels that no answer names; more of them are told apart no longer
STRANGE = "(others)"
CELLS = 1_000_000  # rows x resamples: bounds the time that intervals take
MOST_RESAMPLES = 500
NEEDED = {
    "classification": ("label",),
    "anomaly": ("score",),
    "regression": ("value",),
    "recommendation": ("items",),
    "forecast": ("quantiles",),
}
NAMED = {"classification": "probabilities", "forecast": "quantiles"}  # outputs whose columns are classes, or levels

type Document = dict[str, Any]


class Table:
    """The labelled rows of one version, as columns."""

    def __init__(self, spec: ModelSpec, rows: Sequence[Labelled]) -> None:
        self._spec = spec
        self._rows = rows
        self._outputs = dict(_stacked([row.outputs for row in rows]))
        self._truth = _truth(spec.task, [row.feedback for row in rows])
        if spec.task == "classification":
            self._truth["label"] = self._known_apart(self._truth["label"])
        self._columns = self._names()

    def version_document(self) -> Document:
        roles = Counter(row.role for row in self._rows)
        return {
            "version": self._rows[0].version,
            "rows": len(self._rows),
            "roles": dict(sorted(roles.items())),
            "shadow": set(roles) == {SHADOW},
            "metrics": self._figures(range(len(self._rows))),
            "calibration": self._calibration(),
            "confusion": self._confusion(),
        }

    def segments(self) -> Iterator[Document]:
        for feature in _told_apart(self._spec):
            values = [_value(self._spec, feature, row) for row in self._rows]
            if len({value for value in values if value is not None}) <= MOST_VALUES:
                for value, chosen in _together(values).items():
                    named = {"feature": feature, "value": value}
                    yield named | self._group(chosen) | {"days": list(self._days_of(chosen))}

    def days(self) -> Iterator[Document]:
        for name, chosen in _together(self._days).items():
            yield {"day": name} | self._group(chosen)

    @cached_property
    def _days(self) -> list[str | None]:
        """Of each row, the day of its prediction; None before the newest ones."""
        days = [day(row.feedback.predicted_at).isoformat() for row in self._rows]
        newest = set(sorted(set(days))[-MOST_DAYS:])
        return [of if of in newest else None for of in days]

    def _group(self, chosen: Sequence[int]) -> Document:
        return {"version": self._rows[0].version, "rows": len(chosen), "metrics": self._figures(chosen)}

    def _days_of(self, chosen: Sequence[int]) -> Iterator[Document]:
        """A group over time: values alone, for there may be very many."""
        for name, places in _together([self._days[place] for place in chosen]).items():
            prepared = self._prepared([chosen[place] for place in places])
            found = {} if isinstance(prepared, str) else prepared.measured()
            names = [metric.name for metric in of_task(self._spec.task)]
            metrics = {metric: found[metric].value if metric in found else None for metric in names}
            yield {"day": name, "rows": len(places), "metrics": metrics}

    def _figures(self, positions: Sequence[int]) -> dict[str, Document]:
        prepared = self._prepared(positions)
        if isinstance(prepared, str):
            empty = {"value": None, "low": None, "high": None, "reason": prepared}
            return {metric.name: dict(empty) for metric in of_task(self._spec.task)}
        resamples = max(50, min(MOST_RESAMPLES, CELLS // max(1, len(positions))))
        return {name: asdict(found) for name, found in bootstrapped(prepared, resamples=resamples).items()}

    def _prepared(self, positions: Sequence[int]) -> Prepared | str:
        """Ready to be measured, or why not."""
        missing = self._missing()
        if missing:
            return missing
        index = np.asarray(positions)
        outputs = {name: array[index] for name, array in self._outputs.items()}
        truth = {name: array[index] for name, array in self._truth.items()}
        return prepare(self._spec.task, outputs, truth, columns=self._columns)

    def _missing(self) -> str | None:
        for name in NEEDED[self._spec.task]:
            if name not in self._outputs and not (name == "label" and "probabilities" in self._outputs):
                return f"the captures hold no output '{name}'"
        return None

    def _names(self) -> tuple[str, ...]:
        """Of the classes, or levels: as the spec says, else as many as there are, else all that occur."""
        output = NAMED.get(self._spec.task)
        declared = next((tensor.columns for tensor in self._spec.outputs if tensor.name == output), ())
        if declared or output is None:
            return declared
        if output in self._outputs and self._outputs[output].ndim == 2:
            return tuple(map(str, range(self._outputs[output].shape[1])))
        if self._spec.task != "classification" or "label" not in self._outputs:
            return ()
        seen = {*texts(self._truth["label"]), *texts(self._outputs["label"])}
        return tuple(sorted(seen, key=lambda name: (len(name), name)))

    def _known_apart(self, labels: Array) -> Array:
        """Each label makes a class, with a column for every row: of those that are none of the model's, some."""
        named = {name for tensor in self._spec.outputs if tensor.name == "probabilities" for name in tensor.columns}
        if "label" in self._outputs:
            named |= {*texts(self._outputs["label"])}
        elif "probabilities" in self._outputs and not named:
            named = {*map(str, range(self._outputs["probabilities"].shape[-1]))}
        given = texts(labels)
        strange = sorted({*given} - named)
        if len(strange) <= MOST_STRANGE:
            return labels
        beyond = set(strange[MOST_STRANGE:])
        return np.array([STRANGE if name in beyond else name for name in given], object)

    def _classified(self) -> Classified | None:
        if self._missing() or self._spec.task != "classification":
            return None
        try:
            found = sample(self._spec.task, self._outputs, self._truth, self._columns)
        except NoSample:
            return None
        return found if isinstance(found, Classified) else None

    def _calibration(self) -> list[Document]:
        """Reliability: in bins of what was said, how often it came true."""
        found = self._classified()
        if found is None or found.probabilities is None:
            return []
        said, right = confidence(found)
        bins = (said * BINS).clip(0, BINS - 1).astype(int)
        return [
            {
                "from": number / BINS,
                "to": (number + 1) / BINS,
                "rows": int((bins == number).sum()),
                "said": round(float(said[bins == number].mean()), 6),
                "right": round(float(right[bins == number].mean()), 6),
            }
            for number in range(BINS)
            if (bins == number).any()
        ]

    def _confusion(self) -> Document | None:
        """How often each class was taken for each; null with too many classes to show."""
        found = self._classified()
        if found is None or found.classes > MOST_VALUES:
            return None
        truth, predicted = (texts(array) for array in (self._truth["label"], self._labels()))
        names = sorted({*truth, *predicted}, key=lambda name: (len(name), name))
        counts = Counter(zip(truth, predicted, strict=True))
        return {"classes": names, "counts": [[counts[one, other] for other in names] for one in names]}

    def _labels(self) -> Array:
        if "label" in self._outputs:
            return self._outputs["label"]
        return np.array(self._columns)[self._outputs["probabilities"].argmax(axis=1)]


def _together(values: Sequence[str | None]) -> dict[str, list[int]]:
    """The places of each value, in the order of the values."""
    places: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        if value is not None:
            places.setdefault(value, []).append(place)
    return dict(sorted(places.items()))


def _truth(task: str, feedback: Iterable[Feedback]) -> dict[str, Array]:
    labels = [one.label for one in feedback]
    match task:
        case "recommendation":
            wanted = np.empty(len(labels), object)
            for index, label in enumerate(labels):
                wanted[index] = label if isinstance(label, list) else [str(label)]
            return {"items": wanted}
        case "classification" | "anomaly":
            right = np.empty(len(labels), object)
            right[:] = [str(label) if isinstance(label, list) else label for label in labels]
            return {"label": right}
        case _:
            return {"value": np.array([_number(label) for label in labels], float)}


def _number(label: object) -> float:
    return float(label) if isinstance(label, (int, float)) else np.nan


def _stacked(rows: Sequence[Mapping[str, Array]]) -> Iterator[tuple[str, Array]]:
    """Tensors that every row has, all in one shape."""
    for name in rows[0] if rows else ():
        arrays = [np.asarray(row[name]) for row in rows if name in row]
        if len(arrays) == len(rows) and len({array.shape for array in arrays}) == 1:
            yield name, np.stack(arrays)


def _told_apart(spec: ModelSpec) -> list[str]:
    """Features whose groups get figures of their own: the sensitive ones, and those with few known categories."""
    return [
        name
        for name, feature in spec.features.items()
        if feature.sensitive or 0 < len(feature.categories) <= MOST_VALUES
    ]


def _value(spec: ModelSpec, feature: str, row: Labelled) -> str | None:
    """The row's value of a feature, as text; None when it was not kept. What is no input came with the label."""
    if feature not in spec.feature_names:
        return row.feedback.groups.get(feature)
    for tensor in spec.inputs:
        array = row.inputs.get(tensor.name)
        if array is None:
            continue
        flat = np.asarray(array).reshape(-1)
        if feature in tensor.columns and len(flat) == len(tensor.columns):
            (text,) = texts(flat[[tensor.columns.index(feature)]])
            return text
        if feature == tensor.name and len(flat) == 1:
            return texts(flat)[0]
    return None
