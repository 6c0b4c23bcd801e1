"""The sections of a spec beside its tensors: how a model is trained, released, captured, watched and decided with."""

from collections.abc import Mapping
from typing import Any

from lastmile.policies.heavy import Heavy
from lastmile.policies.learning import Candidate, Certificate, Compression, Feature, Gate, Training
from lastmile.policies.serving import Approval, Canary, CaptureOptions, Decision, Drift, Retrain

__all__ = [
    "SECTIONS",
    "Approval",
    "Canary",
    "Candidate",
    "CaptureOptions",
    "Certificate",
    "Compression",
    "Decision",
    "Drift",
    "Feature",
    "Gate",
    "Heavy",
    "Retrain",
    "Training",
    "restored",
]

SECTIONS: Mapping[str, type[Any]] = {
    "training": Training,
    "compression": Compression,
    "certificate": Certificate,
    "approval": Approval,
    "canary": Canary,
    "capture": CaptureOptions,
    "drift": Drift,
    "retrain": Retrain,
    "decision": Decision,
    "heavy": Heavy,
}


def restored(section: type[Any], document: Mapping[str, Any]) -> Any:
    """A section from its own document, in which lists stand for tuples."""
    return section(**{key: tuple(value) if type(value) is list else value for key, value in document.items()})
