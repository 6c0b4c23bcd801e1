"""Uploading training data, and following the run that it starts."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from cli import transfer
from cli.control import Document
from cli.errors import CommandFailed
from cli.learning import Learning
from cli.progress import POLL_SECONDS, Tell, longer
from cli.target import Target

SUFFIXES = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz", ".parquet")
LIVE = ("queued", "running", "waiting for approval", "in canary")
START_SECONDS = 60.0  # an upload is heard of within seconds

type Sleep = Callable[[float], None]


def key_of(model: str, data: Path) -> str:
    """Where the data is uploaded to; raises CommandFailed when nobody would listen for such a file."""
    name = transfer.name_of(data)
    if not name.endswith(SUFFIXES):
        raise CommandFailed(
            f"{name} is no table that can be trained on.", next_step=f"Give one of {', '.join(SUFFIXES)}."
        )
    return f"training/{model}/{name}"


def upload(target: Target, model: str, data: Path, tell: Tell = lambda text: None) -> str:
    """The id of the run that the upload starts."""
    from lastmile.runs import Upload, run_id
    from lastmile.store import Store

    key = key_of(model, data)
    version = transfer.upload(target, data, target.data_bucket, key, tell)
    stat = Store.open(f"s3://{target.data_bucket}", environ=target.environ).stat(key, version=version)
    return run_id(Upload(key, stat.version, stat.size, stat.modified))


def start(target: Target, uploaded: Document) -> str:
    """Start the state machine for an upload that is there; the ARN of the execution."""
    import json

    if target.learning_state_machine_arn is None:
        raise CommandFailed("Nothing that learns is deployed.", next_step="Run `make up`.")
    given = {"run": {"object": {"key": uploaded["key"], "version-id": uploaded["version"]}}}
    machine = target.client("stepfunctions")
    started = machine.start_execution(stateMachineArn=target.learning_state_machine_arn, input=json.dumps(given))
    return str(started["executionArn"])


def changes(learning: Learning, model: str, run: str, *, sleep: Sleep = time.sleep) -> Iterator[Document]:
    """The run's record whenever it has changed, until it is over. Raises CommandFailed when it does not begin.

    A run that can say no more itself is over too: whoever gives the record knows. One that waits for a person, or
    bakes a canary, is looked at ever less often: each look is billed.
    """
    last: Any = None
    pause = POLL_SECONDS
    deadline = time.monotonic() + START_SECONDS
    while True:
        found = learning.run(model, run)
        if found is None and time.monotonic() > deadline:
            raise CommandFailed(
                f"The upload is there, but run {run} has not begun.", next_step="See `lastmile logs retraining`."
            )
        if found is not None and (found["updated_at"], found["state"]) != last:
            last, pause = (found["updated_at"], found["state"]), POLL_SECONDS
            yield found
        if found is not None and found["state"] not in LIVE:
            return
        sleep(pause)
        pause = longer(pause)
