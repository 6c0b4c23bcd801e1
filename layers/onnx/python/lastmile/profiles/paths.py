"""Where profiles and the captures that they count lie, by day and hour (UTC)."""

from datetime import UTC, datetime

HOUR = 3600
SUFFIX = ".json.gz"
MERGED = f"merged{SUFFIX}"


def captures_path(model: str, hour: float, batch: str) -> str:
    return f"captures/model={model}/dt={named_day(hour)}/{folder_of_hour(hour)}/{batch}.jsonl.gz"


def folder_of_day(model: str, version: int, at: float) -> str:
    return f"profiles/model={model}/version={version}/dt={named_day(at)}"


def named_day(at: float) -> str:
    return f"{datetime.fromtimestamp(at, UTC):%Y-%m-%d}"


def folder_of_hour(at: float) -> str:
    return f"hour={datetime.fromtimestamp(at, UTC):%H}"


def days_within(since: float, until: float) -> list[float]:
    """First seconds of the days."""
    first = since // (24 * HOUR)
    return [24 * HOUR * (first + n) for n in range(max(0, int(-(-until // (24 * HOUR)) - first)))]


def hours_within(day: float, since: float, until: float) -> list[float]:
    """First seconds of the day's hours that have a part in the window."""
    starts = (day + HOUR * n for n in range(24))
    return [start for start in starts if start + HOUR > since and start < until]
