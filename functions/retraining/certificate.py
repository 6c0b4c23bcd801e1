"""Holds the converted graph against the trained object: on held-out rows, and on rows made to find faults.

Numbers may differ by the spec's tolerance, and by what float32 cannot tell apart. Labels may differ in the spec's share
of the rows; items only where their scores are equal within the tolerance.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from functions.retraining.recipes.contract import Fitted
from lastmile.errors import LastmileError
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

RESOLUTION = 1e-6  # of a float32 that has been through a few operations, relative to its size
BATCH = 4096
LONGEST_TEXT = 80


@dataclass(frozen=True)
class Compared:
    """One output on one set of rows. `worst` is the row with the largest difference, or the first mismatch."""

    rows: str
    output: str
    count: int
    largest_difference: float
    beyond: int
    worst: int | None
    expected: str = ""
    found: str = ""


@dataclass(frozen=True)
class CertificateReport:
    rows: int
    probes: int
    tolerance: float
    max_mismatch_share: float
    compared: tuple[Compared, ...]

    def to_document(self) -> dict[str, Any]:
        return asdict(self)


class CertificateRefused(LastmileError):
    """The graph does not answer as the trained object does; `report` has every comparison."""

    def __init__(self, sentence: str, report: CertificateReport) -> None:
        super().__init__(sentence)
        self.report = report


def certify(fitted: Fitted, onnx: bytes, feeds: dict[str, Array], spec: ModelSpec) -> CertificateReport:
    """`feeds` are the held-out rows; the probing ones are those of the training's seed. Raises CertificateRefused."""
    model = OnnxModel.open(onnx, threads=1)
    probes = fitted.probes(0 if spec.training is None else spec.training.seed)
    compared = [
        found
        for rows, asked in (("held-out", feeds), ("probe", probes))
        for found in _compared(rows, fitted.predict(asked), _answers(model, asked), spec)
    ]
    bounds = spec.certificate
    report = CertificateReport(_rows(feeds), _rows(probes), bounds.tolerance, bounds.max_mismatch_share, (*compared,))
    for found in compared:
        allowed = 0.0 if _is_numeric(found.output) else bounds.max_mismatch_share * found.count
        if found.beyond > allowed:
            raise CertificateRefused(_sentence(found, feeds if found.rows == "held-out" else probes), report)
    return report


def _compared(rows: str, expected: Mapping[str, Array], found: Mapping[str, Array], spec: ModelSpec) -> list[Compared]:
    tolerance = spec.certificate.tolerance
    results = []
    for name, wanted in expected.items():
        answer = found[name]
        if wanted.shape != answer.shape:
            shapes = f"shape {list(wanted.shape)}", f"shape {list(answer.shape)}"
            results.append(Compared(rows, name, len(wanted), 0.0, max(len(wanted), 1), None, *shapes))
            continue
        if name == "items":
            excess = _misplaced(expected, found, tolerance)
        elif _is_numeric(name):
            excess = _excess(wanted, answer, tolerance)
        else:
            excess = np.where(wanted == answer, -1.0, 1.0)
        results.append(_summary(rows, name, wanted, answer, excess.reshape(len(wanted), -1)))
    return results


def _excess(wanted: Array, answer: Array, tolerance: float) -> Array:
    """How much further apart than allowed; one NaN alone is endlessly far, two are equal."""
    with np.errstate(invalid="ignore", over="ignore"):
        apart = np.abs(wanted.astype(float) - answer.astype(float))
        allowed = tolerance + RESOLUTION * np.abs(wanted.astype(float))
        excess = apart - np.where(np.isfinite(allowed), allowed, 0)
    same = (wanted == answer) | (np.isnan(wanted) & np.isnan(answer))
    return np.where(same, -1.0, np.where(np.isnan(excess), np.inf, excess))


def _misplaced(expected: Mapping[str, Array], found: Mapping[str, Array], tolerance: float) -> Array:
    """Positive where an item stands on a place of another score than its own."""
    excess = np.full(expected["items"].shape, -1.0)
    for row, place in zip(*np.nonzero(expected["items"] != found["items"]), strict=True):
        scores = expected["scores"][row]
        its = np.flatnonzero(expected["items"][row] == found["items"][row, place])
        own = scores[its[0]] if len(its) else scores[-1]  # what is not there may be level with the last
        excess[row, place] = abs(own - scores[place]) - 2 * (tolerance + RESOLUTION * abs(scores[place]))
    return excess


def _summary(rows: str, name: str, wanted: Array, answer: Array, excess: Array) -> Compared:
    by_row = excess.max(axis=1, initial=-1.0)
    worst = int(by_row.argmax()) if len(by_row) else None
    largest = 0.0
    if _is_numeric(name):
        with np.errstate(invalid="ignore"):
            apart = np.abs(wanted.astype(float) - answer.astype(float))
        largest = float(np.nan_to_num(apart, nan=0.0, posinf=0.0).max(initial=0.0))
    beyond = int((by_row > 0).sum())
    if worst is None or not beyond:
        return Compared(rows, name, len(wanted), largest, beyond, None)
    return Compared(rows, name, len(wanted), largest, beyond, worst, _brief(wanted[worst]), _brief(answer[worst]))


def _answers(model: OnnxModel, feeds: dict[str, Array]) -> dict[str, Array]:
    names = [tensor.name for tensor in model.signature.outputs]
    starts = range(0, max(_rows(feeds), 1), BATCH)
    parts = [model.run(None, {name: array[at : at + BATCH] for name, array in feeds.items()}) for at in starts]
    return {name: np.concatenate(part) for name, part in zip(names, zip(*parts, strict=True), strict=True)}


def _sentence(found: Compared, feeds: Mapping[str, Array]) -> str:
    if found.worst is None:
        return f"output '{found.output}' has {found.found} in the graph and {found.expected} in the trained object"
    inputs = ", ".join(f"{name} {_brief(array[found.worst])}" for name, array in feeds.items())
    return (
        f"the ONNX graph differs from the trained object in '{found.output}' on {found.beyond} of {found.count} "
        f"{found.rows} rows; worst is row {found.worst}: {found.found} instead of {found.expected} for {inputs}"
    )


def _is_numeric(output: str) -> bool:
    return output not in ("label", "items")


def _rows(feeds: Mapping[str, Array]) -> int:
    return len(next(iter(feeds.values())))


def _brief(values: Any) -> str:
    text = str(values.tolist() if isinstance(values, (np.ndarray, np.generic)) else values)
    return text if len(text) <= LONGEST_TEXT else f"{text[: LONGEST_TEXT - 3]}..."
