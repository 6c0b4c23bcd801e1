"""The record of a prediction: one structured log line, which a log subscription hands to the capture function."""

from lastmile.capture.reading import Record, read_line
from lastmile.capture.writing import MARKER, MAX_BYTES, PLAIN_ELEMENTS, Capture, Recording, is_sampled, write_line

__all__ = [
    "MARKER",
    "MAX_BYTES",
    "PLAIN_ELEMENTS",
    "Capture",
    "Record",
    "Recording",
    "is_sampled",
    "read_line",
    "write_line",
]
