"""`lastmile logs`: what a deployed function wrote."""

import json
import re
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from cli.errors import CommandFailed
from cli.output import readable
from cli.target import Options

POLL_SECONDS = 1.0
# Events reach the log service late and out of order, so that each poll looks back.
LATE = timedelta(seconds=30)
BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)  # of what the log service can be asked for
LONGEST_DAYS = 36_500
UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def logs(
    context: typer.Context,
    function: Annotated[
        str, typer.Argument(help="inference, control, retraining, capture, drift, batch, hook, chat or operations.")
    ],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing what comes, until Ctrl-C.")] = False,
    since: Annotated[str, typer.Option(help="How far back: 90s, 10m, 2h, 1d.")] = "10m",
) -> None:
    """Print what a deployed function wrote, oldest first."""
    from cli.invoke import function_name

    options: Options = context.obj
    target = options.target()
    group = f"/aws/lambda/{function_name(target, function)}"
    start = max(datetime.now(UTC) - span(since), BEGINNING)
    client = target.client("logs")
    for event in following(client, group, start) if follow else events(client, group, start):
        write(event, as_json=options.json)


def span(text: str) -> timedelta:
    match = re.fullmatch(r"(\d+)([smhd])", text)
    if match is None:
        raise typer.BadParameter(f"'{text}' is no time span; write 90s, 10m, 2h or 1d", param_hint="--since")
    longest = timedelta(days=LONGEST_DAYS)
    try:
        return min(timedelta(**{UNITS[match[2]]: int(match[1])}), longest)
    except (OverflowError, ValueError):  # more than a timedelta, or than Python reads as a number
        return longest


def events(client: Any, group: str, start: datetime) -> Iterator[dict[str, Any]]:
    from botocore.exceptions import ClientError

    pages = client.get_paginator("filter_log_events")
    try:
        for page in pages.paginate(logGroupName=group, startTime=int(start.timestamp() * 1000)):
            yield from page["events"]
    except ClientError as error:
        if error.response["Error"]["Code"] != "ResourceNotFoundException":
            raise
        raise CommandFailed(f"There is no log group {group}.", next_step="Run `lastmile doctor`.") from None


def following(client: Any, group: str, start: datetime) -> Iterator[dict[str, Any]]:
    """Without end; each event once."""
    seen: dict[object, int] = {}
    while True:
        polled = datetime.now(UTC)
        for event in events(client, group, start):
            if (identity := identity_of(event)) not in seen:
                seen[identity] = event["timestamp"]
                yield event
        start = max(start, polled - LATE)
        oldest = start.timestamp() * 1000
        seen = {identity: at for identity, at in seen.items() if at >= oldest}
        time.sleep(POLL_SECONDS)


def identity_of(event: dict[str, Any]) -> object:
    """The local AWS gives events no id."""
    return event.get("eventId") or (event["logStreamName"], event["timestamp"], event["message"])


def write(event: dict[str, Any], *, as_json: bool) -> None:
    at = datetime.fromtimestamp(event["timestamp"] / 1000, UTC)
    if as_json:
        document = {"at": at.isoformat(), "stream": event["logStreamName"], "message": event["message"]}
        sys.stdout.write(json.dumps(document) + "\n")
    else:
        sys.stdout.write(f"{at:%Y-%m-%d %H:%M:%S} {readable(event['message'].rstrip())}\n")
    sys.stdout.flush()
