"""The record of a prediction: one structured log line, which a log subscription hands to the capture function."""

from typing import TYPE_CHECKING, Any

from lastmile.capture.writing import MARKER, MAX_BYTES, PLAIN_ELEMENTS, Capture, Recording, Tier, is_sampled, write_line

if TYPE_CHECKING:
    from lastmile.capture.reading import Record, read_line

__all__ = [
    "MARKER",
    "MAX_BYTES",
    "PLAIN_ELEMENTS",
    "Capture",
    "Record",
    "Recording",
    "Tier",
    "is_sampled",
    "read_line",
    "write_line",
]


def __getattr__(name: str) -> Any:
    """Who predicts writes and never reads."""
    if name not in ("Record", "read_line"):
        raise AttributeError(name)
    from lastmile.capture import reading

    return getattr(reading, name)
