"""What CloudWatch Logs hands over: https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/SubscriptionFilters.html"""

import base64
import gzip
import zlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from lastmile.errors import LastmileError
from lastmile.keeping import Line


class InvalidDelivery(LastmileError):
    """The event is no delivery of a log subscription."""


class Delivery(NamedTuple):
    """`stream` names the log group and the stream; a delivery is of one stream."""

    stream: str
    lines: list[Line]

    @classmethod
    def from_event(cls, event: Mapping[str, Any]) -> "Delivery | None":
        """None for the control message by which CloudWatch asks whether anybody is there. Raises InvalidDelivery."""
        try:
            document = orjson.loads(gzip.decompress(base64.b64decode(event["awslogs"]["data"], validate=True)))
            if document["messageType"] == "CONTROL_MESSAGE":
                return None
            return cls(
                f"{document['logGroup']}:{document['logStream']}",
                [Line(str(one["id"]), one["timestamp"] / 1000, str(one["message"])) for one in document["logEvents"]],
            )
        except (KeyError, TypeError, ValueError, EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise InvalidDelivery(f"the event is no delivery of a log subscription: {error!r}") from error
