"""Times as people write them, as seconds since 1970: ISO 8601, or seconds, milli-, micro- or nanoseconds since then.
A time without a zone is UTC."""

import re
from datetime import UTC, datetime

import numpy as np

from lastmile.tensors import Array

ISO = re.compile(r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d{1,6})?)?)?")
EARLIEST, LATEST = -62_135_596_800.0, 253_402_300_799.0  # the years 1 to 9999, which calendars have
UNITS = ((1e17, 1e9), (1e14, 1e6), (1e11, 1e3))  # from this size on, so many to the second: 1973 to 5138 are told apart


def parsed(texts: list[str]) -> Array:
    """All at once; raises ValueError where one is not plain ISO 8601 without a zone (or with Z), or a number."""
    bare = [text.strip().removesuffix("Z") for text in texts]
    if all(map(ISO.fullmatch, bare)):
        seconds = np.array(bare, "datetime64[us]").astype(np.int64) / 1e6
    else:
        seconds = from_epoch(np.array(list(map(float, bare))))
    if beyond(seconds).any():
        raise ValueError("before the year 1, or after 9999")
    return seconds


def parse(text: str) -> float:
    """One; raises ValueError."""
    text = text.strip()
    try:
        number = float(text)
    except ValueError:
        found = datetime.fromisoformat(text)
        seconds = (found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp()
    else:
        seconds = float(from_epoch(np.array([number]))[0])
    if not EARLIEST <= seconds <= LATEST:
        raise ValueError(text)
    return seconds


def from_epoch(numbers: Array) -> Array:
    """Seconds, whichever unit since 1970 the numbers are in; raises ValueError for those that are not finite."""
    if not np.isfinite(numbers).all():
        raise ValueError("no finite time")
    seconds = numbers.astype(float)
    for size, unit in UNITS:
        seconds = np.where(np.abs(seconds) >= size, seconds / unit, seconds)
    return seconds


def beyond(seconds: Array) -> Array:
    """A mask of what is in no year from 1 to 9999."""
    return np.asarray((seconds < EARLIEST) | (seconds > LATEST))


def shown(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
