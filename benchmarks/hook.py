"""Slack's messages to the built hook, alone on its path with its layer and the boto3 that Lambda's runtime holds."""

import compileall
import json
import time
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from benchmarks import boxes, sqs
from benchmarks.environments import BENCH, bundle
from benchmarks.isolated import Isolated, built
from benchmarks.progress import Tell
from cli.webhooks import SIGN
from layers.uv import ROOT

SECRET = "a secret of the benchmark's"  # known to nobody but the stand-in
MESSAGE = ROOT / "events/chat/slack/message.json"
ENVIRONMENT = {
    "LASTMILE_CHAT_SECRETS": "lastmile/bench/chat",
    "LASTMILE_CHAT_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/messages.fifo",
    "LASTMILE_OPERATIONS_QUEUE": "https://sqs.eu-central-1.amazonaws.com/1/operations.fifo",
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "eu-central-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}
MARK = 1_700_000_000  # Slack's times of the messages: each has its own, and so its own place in the queue


class NotAcknowledged(Exception):
    """A message was refused, or did not reach the queue."""


@dataclass
class Hook:
    """`cold` are milliseconds from nothing to the first acknowledgement, `warm` of each call after it, by process."""

    cold: list[float] = field(default_factory=list)
    imports: list[float] = field(default_factory=list)
    warm: list[list[float]] = field(default_factory=list)


def measured(*, starts: int, processes: int, calls: int, tell: Tell) -> Hook:
    found = Hook()
    with sqs.running(json.dumps({"signing_secret": SECRET, "bot_token": "-"})) as address:
        isolated = Isolated((*built("chat"), runtime()), "memory://", also={**ENVIRONMENT, "AWS_ENDPOINT_URL": address})
        _said(isolated, address, 1)  # from here on the files are in memory
        for number in range(starts):
            tell(f"the hook's cold start {number + 1} of {starts}")
            said = _said(isolated, address, 1)
            found.cold.append((said["first"] - said["spawned"]) / 1e6)
            found.imports.append((said["imported"] - said["spawned"]) / 1e6)
        for number in range(processes):
            if number and boxes.is_over():
                break
            tell(f"the hook, warm, process {number + 1} of {processes}")
            found.warm.append(_said(isolated, address, calls)["ms"][1:])
    return found


def _said(isolated: Isolated, address: str, calls: int) -> Any:
    """What the worker prints of so many messages, each acknowledged and queued once."""
    path = BENCH / "hook-events.json"
    path.write_text(json.dumps(events(calls)))
    before = sqs.taken(address)
    spawned = time.monotonic_ns()
    said = isolated.answer("hook", str(path)) | {"spawned": spawned}
    if said["answers"] != [200] or sqs.taken(address) - before != calls:
        raise NotAcknowledged(f"answers {said['answers']}, {sqs.taken(address) - before} of {calls} queued")
    return said


def events(count: int) -> list[dict[str, Any]]:
    """So many messages, no two alike, as API Gateway hands them over, signed now."""
    document = json.loads(MESSAGE.read_bytes())
    now = time.time()
    made = []
    for _ in range(count):
        document["event"]["ts"] = f"{MARK}.{time.monotonic_ns() % 10**15:015d}"
        body = json.dumps(document)
        headers = {"content-type": "application/json"} | SIGN["slack"](body.encode(), SECRET, now)
        made.append({"rawPath": "/hooks/slack", "headers": headers, "body": body, "isBase64Encoded": False})
    return made


@cache
def runtime() -> Path:
    """boto3 as Lambda's runtime holds it: with its bytecode."""
    folder = bundle("runtime", [f"boto3=={version('boto3')}"])
    compileall.compile_dir(folder, quiet=2)
    return folder
