"""Holds the converted graph against the trained object: on held-out rows, and on rows made to find faults.

Numbers may differ by the spec's tolerance, labels in its share of the rows; how, `lastmile.agreement` says.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from functions.retraining.recipes.contract import Fitted
from lastmile.agreement import Compared, brief, compare
from lastmile.errors import LastmileError
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec
from lastmile.tensors import Array

BATCH = 4096


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
        for found in compare(rows, fitted.predict(asked), _answers(model, asked), spec.certificate.tolerance)
    ]
    bounds = spec.certificate
    report = CertificateReport(_rows(feeds), _rows(probes), bounds.tolerance, bounds.max_mismatch_share, (*compared,))
    for found in compared:
        if not found.is_within(bounds.max_mismatch_share):
            raise CertificateRefused(_sentence(found, feeds if found.rows == "held-out" else probes), report)
    return report


def _answers(model: OnnxModel, feeds: dict[str, Array]) -> dict[str, Array]:
    names = [tensor.name for tensor in model.signature.outputs]
    starts = range(0, max(_rows(feeds), 1), BATCH)
    parts = [model.run(None, {name: array[at : at + BATCH] for name, array in feeds.items()}) for at in starts]
    return {name: np.concatenate(part) for name, part in zip(names, zip(*parts, strict=True), strict=True)}


def _sentence(found: Compared, feeds: Mapping[str, Array]) -> str:
    if found.worst is None:
        return f"output '{found.output}' has {found.found} in the graph and {found.expected} in the trained object"
    inputs = ", ".join(f"{name} {brief(array[found.worst])}" for name, array in feeds.items())
    return (
        f"the ONNX graph differs from the trained object in '{found.output}' on {found.beyond} of {found.count} "
        f"{found.rows} rows; worst is row {found.worst}: {found.found} instead of {found.expected} for {inputs}"
    )


def _rows(feeds: Mapping[str, Array]) -> int:
    return len(next(iter(feeds.values())))
