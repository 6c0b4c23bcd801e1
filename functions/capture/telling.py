"""What of a delivery becomes figures per model, for dashboards and alarms."""

from collections.abc import Iterable, Iterator

from lastmile import figures
from lastmile.capture import Record

SHADOW = "shadow"  # nobody waits for it


def lines(records: Iterable[Record], *, stage: str, at: float) -> Iterator[str]:
    """Log lines with predictions, failures and time in the model, as callers met them."""
    by_model: dict[str, list[Record]] = {}
    for record in records:
        if record.role != SHADOW:
            by_model.setdefault(record.model, []).append(record)
    for model, found in sorted(by_model.items()):
        told = figures.line(
            {
                "Predictions": len(found),
                "PredictionErrors": sum(record.error is not None for record in found),
                "ModelMilliseconds": figures.observations(record.ms for record in found),
            },
            dimensions={"stage": stage, "model": model},
            at=at,
        )
        if told is not None:
            yield told
