"""Where events go: an EventBridge bus, or where there is none the log alone."""

import sys
import time
from collections.abc import Callable, Iterable, Mapping
from itertools import batched
from typing import Any, Protocol

import orjson

from lastmile.errors import LastmileError

SOURCE = "lastmile"
AT_ONCE = 10  # https://docs.aws.amazon.com/eventbridge/latest/APIReference/API_PutEvents.html
ATTEMPTS = 4
PAUSE_SECONDS = 0.2
LONGEST_DETAIL = 24_000  # bytes: ten events are at most 256 KB together

type Detail = Mapping[str, Any]
type Entry = dict[str, str]


class EventRefused(LastmileError):
    """The bus did not take an event, however often it was asked."""


class Client(Protocol):
    """What is used of boto3's `events` client."""

    def put_events(self, *, Entries: list[Entry]) -> Mapping[str, Any]: ...  # noqa: N803


def nowhere() -> Client:
    raise EventRefused("there is no event bus here")


class Bus:
    """Tells other parts what happened. Whoever listens may hear an event twice, and knows it by its detail's `id`.

    `name` None: there is no bus, as in a data centre, and events are lines on standard output. `connect` is called
    with the first event: an SDK takes half a second that only those who have something to tell pay.
    """

    def __init__(
        self,
        name: str | None,
        connect: Callable[[], Client] = nowhere,
        *,
        pause: Callable[[float], object] = time.sleep,
    ) -> None:
        self._name = name
        self._connect = connect
        self._pause = pause
        self._client: Client | None = None

    def tell(self, kind: str, detail: Detail) -> None:
        """Raises EventRefused."""
        self.tell_all(kind, [detail])

    def tell_all(self, kind: str, details: Iterable[Detail]) -> int:
        """How many there were; ten leave at a time, and what is refused is asked again. Raises EventRefused, and then
        some may have been told."""
        told = 0
        for some in batched((orjson.dumps(detail).decode() for detail in details), AT_ONCE, strict=False):
            told += len(some)
            if self._name is None:
                sys.stdout.write("".join(f'{{"event":"{kind}","detail":{detail}}}\n' for detail in some))
            else:
                self._put([_entry(self._name, kind, detail) for detail in some])
        return told

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""
        self._client = None

    def _put(self, entries: list[Entry]) -> None:
        refused: list[Any] = []
        for attempt in range(ATTEMPTS):
            if attempt:
                self._pause(PAUSE_SECONDS * 2 ** (attempt - 1))
            if self._client is None:
                self._client = self._connect()
            results = self._client.put_events(Entries=entries)["Entries"]
            pairs = [pair for pair in zip(entries, results, strict=True) if pair[1].get("ErrorCode")]
            if not pairs:
                return
            entries, refused = [entry for entry, _ in pairs], [result for _, result in pairs]
        raise EventRefused(
            f"{len(entries)} events {entries[0]['DetailType']} were refused {ATTEMPTS} times: "
            f"{refused[0].get('ErrorCode')}, {refused[0].get('ErrorMessage')}"
        )


def _entry(bus: str, kind: str, detail: str) -> Entry:
    return {"EventBusName": bus, "Source": SOURCE, "DetailType": kind, "Detail": detail}
