"""Decisions that want a person, as events on the bus."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import batched
from typing import Any, Protocol

import orjson

from lastmile.capture import Record
from lastmile.errors import LastmileError

SOURCE = "lastmile"
KIND = "DecisionReview"
AT_ONCE = 10  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
ATTEMPTS = 4
PAUSE_SECONDS = 0.2
LONGEST_DETAIL = 24_000  # bytes: ten events are at most 256 KB together

type Detail = dict[str, Any]
type Entry = dict[str, str]


class ReviewNotAnnounced(LastmileError):
    """The bus did not take an event, however often it was asked."""


class Client(Protocol):
    """What is used of boto3's `events` client."""

    def put_events(self, *, Entries: list[Entry]) -> Mapping[str, Any]: ...  # noqa: N803


def connect() -> Client:
    import boto3  # Lambda's runtime has it; 0.4 s that only a delivery with a review pays

    client: Client = boto3.client("events")
    return client


def reviews(records: Iterable[Record]) -> Iterator[Detail]:
    """One per row that wants a person. `id` is the same whenever the record is seen: by it a listener knows an event
    again."""
    for record in records:
        for decision in record.decisions:
            if decision.get("review") is True and record.role != "shadow":
                yield {
                    "id": f"{record.id}-{decision['row']}",
                    "prediction_id": record.id,
                    "row": decision["row"],
                    "model": record.model,
                    "version": record.version,
                    "decision": decision["decision"],
                    "reasons": decision.get("reasons", []),
                    "at": record.at,
                }


class Reviews:
    """Announces reviews, ten at a time; what the bus refuses it is asked again. `bus` None: they are only logged."""

    def __init__(
        self,
        bus: str | None,
        *,
        connect: Callable[[], Client] = connect,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._bus = bus
        self._connect = connect
        self._pause = pause
        self._client: Client | None = None

    def announce(self, details: Iterable[Detail]) -> int:
        """How many there were. Raises ReviewNotAnnounced, and then some may have been announced."""
        announced = 0
        for some in batched(map(_encoded, details), AT_ONCE, strict=False):
            announced += len(some)
            if self._bus is None:
                sys.stdout.write("".join(f'{{"event":"{KIND}","detail":{detail}}}\n' for detail in some))
            else:
                self._put([_entry(self._bus, detail) for detail in some])
        return announced

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""
        self._client = None

    def _put(self, entries: list[Entry]) -> None:
        refused: list[Any] = []
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(PAUSE_SECONDS * 2 ** (attempt - 1))
            results = self._connected().put_events(Entries=entries)["Entries"]
            pairs = [pair for pair in zip(entries, results, strict=True) if pair[1].get("ErrorCode")]
            if not pairs:
                return
            entries, refused = [entry for entry, _ in pairs], [result for _, result in pairs]
        raise ReviewNotAnnounced(
            f"{len(entries)} events were refused {ATTEMPTS} times: {refused[0].get('ErrorCode')}, "
            f"{refused[0].get('ErrorMessage')}"
        )

    def _connected(self) -> Client:
        if self._client is None:
            self._client = self._connect()
        return self._client


def _encoded(detail: Detail) -> str:
    data = orjson.dumps(detail)
    if len(data) > LONGEST_DETAIL:  # the captures hold the reasons in full
        data = orjson.dumps({**detail, "reasons": []})
    return data.decode()


def _entry(bus: str, detail: str) -> Entry:
    return {"EventBusName": bus, "Source": SOURCE, "DetailType": KIND, "Detail": detail}
