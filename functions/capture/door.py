"""The Lambda door: a delivery of log events in; captures, profiles and announcements of reviews out."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from snapshot_restore_py import register_after_restore

from functions.capture import telling
from functions.capture.delivery import Delivery
from functions.capture.reviews import KIND, reviews
from lastmile import figures
from lastmile.bus import Bus, Client
from lastmile.keeping import Keeper
from lastmile.registry import Registry
from lastmile.settings import WatchSettings
from lastmile.store import Store

type Event = Mapping[str, Any]


def connect() -> Client:
    import boto3

    client: Client = boto3.client("events")
    return client


class Door:
    """May be called again with the same event, at any time and after any failure: it writes the same objects."""

    def __init__(
        self,
        keeper: Keeper,
        bus: Bus,
        *,
        stage: str,
        write: Callable[[str], object] = figures.write_line,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._keeper = keeper
        self._bus = bus
        self._stage = stage
        self._write = write
        self._clock = clock

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> "Door":
        settings = WatchSettings.from_env(environ)
        artifacts = Store.open(settings.artifacts, environ=environ)
        data = Store.open(settings.data, environ=environ)
        bus = Bus(settings.bus, connect)
        for part in (artifacts, data, bus):
            register_after_restore(part.reconnect)
        return cls(Keeper(Registry(artifacts), data), bus, stage=settings.stage)

    def __call__(self, event: Event, context: Any) -> dict[str, int]:
        """Raises what the store or the bus says, so that Lambda tries again; a poisoned line stops nothing."""
        delivery = Delivery.from_event(event)
        if delivery is None:
            return {"captures": 0, "quarantined": 0, "others": 0, "reviews": 0}
        kept = self._keeper.keep(delivery.stream, delivery.lines)
        announced = self._bus.tell_all(KIND, reviews(kept.records))
        told = figures.line(
            {"Captures": len(kept.records), "QuarantinedCaptures": kept.refused, "Reviews": announced},
            dimensions={"stage": self._stage},
            at=self._clock(),
        )
        if told is not None:
            self._write(told)
        for line in telling.lines(kept.records, stage=self._stage, at=self._clock()):
            self._write(line)
        return {
            "captures": len(kept.records),
            "quarantined": kept.refused,
            "others": kept.others,
            "reviews": announced,
        }
