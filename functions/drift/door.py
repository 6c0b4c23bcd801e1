"""The Lambda door: a schedule's tick or somebody's question in, what was found out."""

import json
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from snapshot_restore_py import register_after_restore

from functions.drift.making import QUALITY_DAYS
from functions.drift.watch import Watch
from lastmile import figures
from lastmile.bus import Bus, Client
from lastmile.errors import InvalidInput, LastmileError
from lastmile.registry import Registry
from lastmile.settings import WatchSettings
from lastmile.store import Store

KEYS = {"tick": {"tick"}, "model": {"model", "window_hours"}, "quality": {"model", "quality", "days"}}
MOST_HOURS = 24 * 366.0
MOST_BYTES = 5_000_000  # of an answer; Lambda takes 6 MB: https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
AHEAD_SECONDS = 3600.0  # how far a tick may be ahead of this machine's clock

type Event = Mapping[str, Any]
type Document = dict[str, Any]


def connect() -> Client:
    import boto3

    client: Client = boto3.client("events")
    return client


class Door:
    """`{"tick": time}` or EventBridge's own scheduled event looks at all models, `{"model": name}` at one of them,
    `{"model": name, "quality": true}` at its labels."""

    def __init__(self, watch: Watch, *, clock: Callable[[], float] = time.time) -> None:
        self._watch = watch
        self._clock = clock

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> "Door":
        settings = WatchSettings.from_env(environ)
        artifacts = Store.open(settings.artifacts, environ=environ)
        data = Store.open(settings.data, environ=environ)
        bus = Bus(settings.bus, connect)
        for part in (artifacts, data, bus):
            register_after_restore(part.reconnect)
        return cls(Watch(Registry(artifacts), data, bus, stage=settings.stage, write=figures.write_line))

    def __call__(self, event: Event, context: Any) -> Document:
        if event.get("detail-type") == "Scheduled Event":
            return self._watch.tick(self._tick(event["time"]))
        try:
            return answerable(self._answer(event))
        except LastmileError as error:  # the asker's mistake, or a store that does not answer: said, not thrown
            return {"error": str(error)}

    def _answer(self, event: Event) -> Document:
        asked = "tick" if "tick" in event else "quality" if event.get("quality") else "model"
        unknown = event.keys() - KEYS[asked] - {"quality"}
        if unknown:
            there_are = ", ".join(sorted(KEYS[asked]))
            raise InvalidInput(f"'{min(unknown)}' is unknown where '{asked}' is asked; there are {there_are}")
        if asked == "tick":
            return self._watch.tick(self._tick(event["tick"]))
        model = event.get("model")
        if not isinstance(model, str):
            raise InvalidInput("'model' or 'tick' is missing")
        if not isinstance(event.get("quality", False), bool):
            raise InvalidInput("'quality' must be true or false")
        if asked == "quality":
            return self._watch.quality(model, self._clock(), days=_number(event, "days", 366.0) or QUALITY_DAYS)
        return self._watch.check(model, self._clock(), window_hours=_number(event, "window_hours", MOST_HOURS))

    def _tick(self, text: object) -> float:
        """A check of an hour to come would be the last one until then."""
        at = _time(text)
        if at > self._clock() + AHEAD_SECONDS:
            raise InvalidInput(f"'tick' is {str(text)[:40]!r}, a time that has not come yet")
        return at


def answerable(document: Document) -> Document:
    """As much of a report as an answer may hold; the object at its path has all of it."""
    if "path" not in document or len(json.dumps(document)) <= MOST_BYTES:
        return document
    quality = document.get("quality", document)
    short = quality | {"segments": [one | {"days": []} for one in quality.get("segments", ())]}
    found = document | {"quality": short} if "quality" in document else short
    if "features" in document and len(json.dumps(found)) > MOST_BYTES:
        found |= {"features": [one | {"labels": [], "reference": [], "current": []} for one in document["features"]]}
    return found | {
        "notes": [*document["notes"], f"This answer was too long to be given whole: see {document['path']}."]
    }


def _number(event: Event, key: str, most: float) -> float | None:
    value = event.get(key)
    if value is None:
        return None
    if type(value) not in (int, float) or not 0 < value <= most:
        raise InvalidInput(f"'{key}' must be a number above 0 and at most {most:g}")
    return float(value)


def _time(text: object) -> float:
    """Without a zone it is UTC."""
    try:
        at = datetime.fromisoformat(str(text))
        seconds = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        seconds = -1.0
    if seconds < 0:
        raise InvalidInput(f"'tick' is {str(text)[:40]!r}, a time like 2026-03-14T15:00:00Z is wanted")
    return seconds
