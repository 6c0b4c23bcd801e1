"""`python -m functions.retraining.here <key>`: the pipeline in one process, without Step Functions.

Where the stores are is said by the environment, as for the function. Each look at a step is one JSON line on standard
output with the marker; the last one is the run's record. Where there is no bus, events are lines without the marker.
"""

import os
import signal
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import Any

import orjson

from functions.retraining import pipeline
from functions.retraining.door import Door
from functions.retraining.job import local
from lastmile.errors import NotFound
from lastmile.executions import this_process

type Say = Callable[[dict[str, Any]], None]

MARKER = "lastmile.run"
BACKOFF_SECONDS = 2.0
LOOK_SECONDS = 1.0


def follow(
    door: Door, key: str, *, execution: str, say: Say, sleep: Callable[[float], None] = time.sleep
) -> dict[str, Any] | None:
    """Do step after step until the run is over; its record, or None where there is no run."""
    step: str | None = pipeline.FIRST
    run: dict[str, Any] = {"object": {"key": key}}
    error = None
    while step is not None:
        say({"step": step, "run": run.get("id")})
        try:
            answer = _tried(door, step, run, execution, error, sleep)
        except Exception as broken:
            if step == pipeline.FAILED:
                raise
            step, error = pipeline.FAILED, {"Error": type(broken).__name__, "Cause": str(broken)}
            continue
        run = answer["run"]
        if answer["outcome"] == pipeline.WAIT:
            sleep(answer["seconds"])
        if answer["outcome"] == pipeline.ASK:
            _await_answer(door, run, answer["seconds"], say, sleep)
        if answer["outcome"] in pipeline.JOBS:
            say({"step": answer["job"]["stage"], "run": run["id"]})
            try:
                local.perform(door.desk.data, answer["job"])
            except local.JobFailed as broken:
                step, error = pipeline.FAILED, {"Error": "JobFailed", "Cause": str(broken)}
                continue
        step = _next(step, answer["outcome"])
    return None if not run.get("id") else door.desk.runs.read(run["model"], run["id"])[0].to_document()


def _next(step: str, outcome: str) -> str | None:
    following = pipeline.TABLE[step].leads[outcome]
    between = (pipeline.ASKING, *pipeline.JOBS)  # what the loop has done by itself
    return pipeline.TABLE[following].leads[pipeline.DONE] if following in between else following


def _tried(
    door: Door,
    step: str,
    run: dict[str, Any],
    execution: str,
    error: Mapping[str, Any] | None,
    sleep: Callable[[float], None],
) -> dict[str, Any]:
    event = {"step": step, "run": run, "execution": execution, "error": error}
    for attempt in range(pipeline.TABLE[step].attempts - 1):
        try:
            return door(event)
        except Exception:  # noqa: BLE001 as the state machine tries again, whatever it was
            sleep(BACKOFF_SECONDS * 2**attempt)
    return door(event)


def _await_answer(door: Door, run: dict[str, Any], seconds: float, say: Say, sleep: Callable[[float], None]) -> None:
    """Until a person has answered, or so much time has passed. What is said at each look also tells when nobody
    listens any more."""
    version = door.desk.runs.read(run["model"], run["id"])[0].version
    assert version is not None
    until = door.desk.clock() + seconds
    while door.desk.clock() < until:
        try:
            if door.desk.approvals.read(run["model"], version).answer is not None:
                return
            if door.desk.registry.rejection(run["model"], version) is not None:
                return
        except NotFound:
            return
        say({"step": pipeline.ASKING, "run": run["id"], "version": version})
        sleep(LOOK_SECONDS)


def main() -> int:
    parser = ArgumentParser(prog="functions.retraining.here")
    parser.add_argument("key", help="training/<model>/<file> in the data store")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    door = Door.open(os.environ)
    if door.desk.jobs is None:
        door.desk.largest_bytes = None  # this machine's memory is the limit
        door.desk.jobs = os.environ["LASTMILE_DATA"]  # for recipes that learn in no other way

    def say(document: dict[str, Any]) -> None:
        sys.stdout.buffer.write(orjson.dumps({"marker": MARKER, **document}, option=orjson.OPT_APPEND_NEWLINE))
        sys.stdout.buffer.flush()

    record = follow(door, arguments.key, execution=this_process(), say=say)
    say({"record": record})
    return 0 if record is not None and record["state"] == "promoted" else 1


def _end(*_: object) -> None:
    """Told to end, as interrupted: with it ends the process of a training job, and its folder is taken away."""
    sys.exit(128 + signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
