"""Where events go: an EventBridge bus, or where there is none the log alone."""

from collections.abc import Mapping
from typing import Any

import orjson
from aws_lambda_powertools import Logger

from lastmile.errors import StoreUnavailable

SOURCE = "lastmile"

logger = Logger(service="retraining")


class Bus:
    """Tells other parts what happened. Whoever listens may hear an event twice, and knows it by its detail's `id`."""

    def __init__(self, name: str | None) -> None:
        self._name = name
        self._client: Any = None

    def tell(self, kind: str, detail: Mapping[str, Any]) -> None:
        """Raises StoreUnavailable when the bus does not take it; the step is then repeated."""
        logger.info("event", extra={"event_kind": kind, "detail": detail})
        if self._name is None:
            return
        entry = {
            "EventBusName": self._name,
            "Source": SOURCE,
            "DetailType": kind,
            "Detail": orjson.dumps(detail).decode(),
        }
        answer = self._connected().put_events(Entries=[entry])
        if answer["FailedEntryCount"]:
            raise StoreUnavailable(f"the event {kind} was refused: {answer['Entries'][0].get('ErrorMessage')}")

    def reconnect(self) -> None:
        """Forget connections and credentials, as is needed after a snapshot was restored."""
        self._client = None

    def _connected(self) -> Any:
        if self._client is None:
            import boto3  # Lambda's runtime has it; 0.4 s that only a run with something to tell pays

            self._client = boto3.client("events")
        return self._client
