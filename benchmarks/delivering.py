"""What stands between a prediction's line and the capture function on a local AWS, to be disturbed: the subscription of
the log, and deliveries that come twice, in other cuts, or not at all.

The local log delivers each event once, by itself, and forgets about it when that fails; every call of a function has a
stream of its own. Amazon's delivers many events of a stream together, and Lambda tries three times.
"""

import base64
import gzip
import json
import os
import signal
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from cli.target import Target

AT_ONCE = 3  # capture functions: as many as there are deliveries would need a processor each to start
SLICE_SECONDS = 5.0
MARK = '"lastmile.capture"'

type Event = Mapping[str, Any]


class Log:
    """The inference function's log, and the function that its lines are delivered to."""

    def __init__(self, stack: Target) -> None:
        self.group = f"/aws/lambda/lastmile-{stack.stage}-inference"
        self.function = f"lastmile-{stack.stage}-capture"
        self._filter = f"lastmile-{stack.stage}-captures"
        self._client = stack.client("logs")
        self._functions = stack.client("lambda")

    def streams(self, since: float) -> dict[str, list[Event]]:
        """Captures of the log by stream, from `since` in seconds since 1970. The local log answers with 10,000 events
        at most and no token for the next ones, so it is asked for a few seconds at a time."""
        found: dict[str, list[Event]] = {}
        now = time.time()
        while since < now:
            until = min(now, since + SLICE_SECONDS)
            page = self._client.filter_log_events(
                logGroupName=self.group,
                filterPattern="lastmile.capture",
                startTime=int(since * 1000),
                endTime=int(until * 1000),
            )
            for event in page["events"]:
                if MARK in event["message"]:
                    found.setdefault(event["logStreamName"], []).append(event)
            since = until
        return {
            stream: list({event["message"]: event for event in events}.values()) for stream, events in found.items()
        }

    def deliver(self, stream: str, events: Iterable[Event]) -> dict[str, Any] | None:
        """What the function answered, None when it failed or there were too many at once. The ids of events follow
        from what they say."""
        document = {
            "messageType": "DATA_MESSAGE",
            "owner": "000000000000",
            "logGroup": self.group,
            "logStream": stream,
            "subscriptionFilters": [self._filter],
            "logEvents": [
                {"id": prediction(event), "timestamp": event["timestamp"], "message": event["message"]}
                for event in events
            ],
        }
        data = base64.b64encode(gzip.compress(json.dumps(document).encode())).decode()
        try:
            answer = self._functions.invoke(
                FunctionName=self.function,
                Qualifier="live",
                Payload=json.dumps({"awslogs": {"data": data}}).encode(),
            )
        except (ClientError, BotoCoreError):
            return None
        returned: dict[str, Any] = json.loads(answer["Payload"].read())
        return None if "FunctionError" in answer else returned

    @contextmanager
    def lost(self) -> Iterator[None]:
        """Without its subscription: nothing is delivered, as when no function could be started."""
        (found,) = self._client.describe_subscription_filters(logGroupName=self.group)["subscriptionFilters"]
        self._client.delete_subscription_filter(logGroupName=self.group, filterName=found["filterName"])
        try:
            yield
        finally:
            wanted = ("logGroupName", "filterName", "filterPattern", "destinationArn")
            self._client.put_subscription_filter(**{key: found[key] for key in wanted})

    @contextmanager
    def few_at_once(self) -> Iterator[None]:
        """Deliveries beyond AT_ONCE are refused."""
        self._functions.put_function_concurrency(FunctionName=self.function, ReservedConcurrentExecutions=AT_ONCE)
        try:
            yield
        finally:
            self._functions.delete_function_concurrency(FunctionName=self.function)


def prediction(event: Event) -> str:
    """The id of an event's prediction."""
    return str(json.loads(event["message"])["id"])


def kill_some(folder: Path) -> int:
    """End the processes of the capture function, whatever they are at; how many. `folder` is the local AWS's."""
    mine = f"{folder}/tmp/ministack-lambda-lastmile-dev-capture"
    killed = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if mine in (process / "cmdline").read_text():
                os.kill(int(process.name), signal.SIGKILL)
                killed += 1
    return killed
