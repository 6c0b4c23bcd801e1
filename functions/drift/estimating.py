"""How right a classifier is expected to be, before anybody has said so."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from typing import Any

import numpy as np

from functions.drift.checking import Look, Window, moment
from lastmile.drift.estimate import Feedback, accuracy
from lastmile.feedback import fits
from lastmile.labelled import Labelled
from lastmile.metrics.samples import texts
from lastmile.profile import Profile
from lastmile.profiles import HOUR, merged
from lastmile.spec import ModelSpec

SHADOW = "shadow"
MOST_CHUNKS = 24
STEPS = (1, 3, 6, 12, 24, 72, 168, 384)  # hours of a chunk

type Document = dict[str, Any]


def estimate(spec: ModelSpec, look: Look, rows: Iterable[Labelled], window: Window) -> Document | None:
    """Of the window and of its parts; None for what is no classifier, or cannot be compared. What labels there are may
    contradict it."""
    if spec.task != "classification" or look.drift is None:
        return None
    assert look.profile is not None
    assert look.reference.profile is not None
    known = [row for row in rows if _is_of(row, look, window) and fits(row.feedback.label, spec)]
    whole = accuracy(look.reference.profile, look.profile, feedback=_feedback(known))
    return whole.to_document() | {"chunks": [*_chunks(look.reference.profile, look.hours, window)]}


def _chunks(reference: Profile, hours: Sequence[tuple[float, Profile]], window: Window) -> Iterator[Document]:
    """The estimate of each part of the window that had traffic, in order, each with its own band."""
    length = (window.until - window.since) / HOUR
    step = HOUR * next((step for step in STEPS if length <= step * MOST_CHUNKS), STEPS[-1])
    for start, those in groupby(hours, lambda hour: hour[0] // step * step):
        profile = merged(of_hour for _, of_hour in those)
        if profile is not None and profile.rows:
            found = accuracy(reference, profile)
            yield {
                "since": moment(max(start, window.since)),
                "rows": found.rows,
                "value": found.value,
                "low": found.low,
                "high": found.high,
                "trusted": found.trusted,
            }


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
