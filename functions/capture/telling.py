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
                "ModelSeconds": sum(record.ms for record in found) / 1e3,
                **tiers(found),
            },
            dimensions={"stage": stage, "model": model},
            at=at,
        )
        if told is not None:
            yield told


def tiers(records: Iterable[Record]) -> figures.Values:
    """Of a model with a heavy side, who answered its rows, and what it would have cost to have the heavy side answer
    all: seconds on the endpoint at the pace of the rows that it did answer here, unknown where it answered none."""
    found = [record for record in records if record.tier is not None and record.error is None]
    if not found:
        return {}
    rows, heavy_rows = sum(record.rows for record in found), sum(record.heavy_rows for record in found)
    # What is answered later has no time, and a request without rows asks the heavy side about none.
    timed = [record for record in found if record.heavy_ms > 0 and record.heavy_rows > 0]
    pace = sum(record.heavy_ms for record in timed) / sum(record.heavy_rows for record in timed) if timed else None
    spared = sum(record.rows - record.heavy_rows for record in found if record.degraded is None)
    return {
        "HeavyRows": heavy_rows,
        "LightRows": rows - heavy_rows,
        "HeavyShare": heavy_rows / rows if rows else None,
        "DegradedPredictions": sum(record.degraded is not None for record in found),
        "HeavySecondsSaved": None if pace is None else spared * pace / 1e3,
    }
