"""How right a classifier is expected to be, before anybody has said so."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from functions.drift.checking import Look, Window
from lastmile.drift.estimate import Feedback, accuracy
from lastmile.labelled import Labelled
from lastmile.metrics.samples import texts
from lastmile.spec import ModelSpec

SHADOW = "shadow"

type Document = dict[str, Any]


def estimate(spec: ModelSpec, look: Look, rows: Iterable[Labelled], window: Window) -> Document | None:
    """None for what is no classifier, or cannot be compared; what labels there are may contradict it."""
    if spec.task != "classification" or look.drift is None:
        return None
    assert look.profile is not None
    assert look.reference.profile is not None
    known = [row for row in rows if _is_of(row, look, window)]
    return accuracy(look.reference.profile, look.profile, feedback=_feedback(known)).to_document()


def _is_of(row: Labelled, look: Look, window: Window) -> bool:
    return (
        row.version == look.manifest.version
        and row.role != SHADOW
        and "label" in row.outputs
        and window.since <= row.feedback.predicted_at < window.until
    )


def _feedback(rows: list[Labelled]) -> Feedback:
    answered = texts(np.array([row.outputs["label"] for row in rows], object))
    truth = texts(np.array([row.feedback.label for row in rows], object))
    return Feedback(sum(one == other for one, other in zip(answered, truth, strict=True)), len(rows))
