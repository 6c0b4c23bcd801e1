"""The function is killed once in the middle of each step of one run, and the event is delivered again and again."""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from cli.learning import ApiLearning
from cli.local import LocalAws
from cli.target import Target
from cli.training import changes, start, upload
from lastmile.errors import NotFound
from lastmile.runs import Run, Runs
from lastmile.store import Store
from tests.e2e.valves import ask, declared, rows, until

STEPS = (
    "claim",
    "validate",
    "train",
    "evaluate",
    "compress",
    "certify",
    "register",
    "approve",
    "resume",
    "canary",
    "judge",
    "promote",
)
ENDS_WITHIN = 300.0


class Killer:
    """Stops the function's processes for a moment, looks at the run, and kills them in the middle of a new step."""

    def __init__(self, folder: Path, runs: Runs) -> None:
        self._prefix = f"{folder}/tmp/ministack-lambda-"
        self._runs = runs
        self._workers: list[int] = []
        self.killed: list[str] = []

    def look(self, run: str) -> Run | None:
        stopped = [pid for pid in self._workers if sent(pid, signal.SIGSTOP)]
        found = None
        try:
            with suppress(NotFound):
                found = self._runs.read("killed", run)[0]
            if stopped and found is not None and is_at_work(found) and found.step not in self.killed:
                self.killed.append(found.step)
                for pid in stopped:
                    sent(pid, signal.SIGKILL)
        finally:
            for pid in stopped:
                sent(pid, signal.SIGCONT)
        if not stopped or len(stopped) < len(self._workers):
            self._workers = [*self._found()]
        return found

    def _found(self) -> Iterator[int]:
        """Processes of the retraining function in this local AWS and no other."""
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with suppress(OSError):
                    command = (entry / "cmdline").read_bytes().decode(errors="replace")
                    if self._prefix in command and "-retraining-" in command:
                        yield int(entry.name)


def is_at_work(run: Run) -> bool:
    """Whether its step has begun and not ended."""
    return not run.is_over and run.step not in run.steps and run.step not in run.waits


def sent(pid: int, number: signal.Signals) -> bool:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return False
    return True


@pytest.fixture
def unheard(stack: Target) -> Iterator[None]:
    """Uploads start nothing by themselves: the test delivers their events."""
    events, rule = stack.client("events"), f"lastmile-{stack.stage}-uploads-csv"
    events.disable_rule(Name=rule)
    yield
    events.enable_rule(Name=rule)


def uploaded(stack: Target, file: Path) -> tuple[str, dict[str, Any]]:
    """The run's id, and what its event says."""
    run, key = upload(stack, "killed", file), f"training/killed/{file.name}"
    return run, {"key": key, "version": stack.client("s3").head_object(Bucket=stack.data_bucket, Key=key)["VersionId"]}


def is_over(stack: Target, execution: str) -> bool:
    found = stack.client("stepfunctions").describe_execution(executionArn=execution)["status"]
    assert found in ("RUNNING", "SUCCEEDED")
    return bool(found == "SUCCEEDED")


def test_a_run_killed_in_every_step_and_delivered_again_and_late_ends_as_one_version(
    stack: Target, local_aws: LocalAws, tmp_path: Path, unheard: None
) -> None:
    learning, registry, token = ApiLearning(stack), stack.registry(), stack.token(["infer"])
    declared(stack, tmp_path, "killed")
    run, event = uploaded(stack, rows(tmp_path, seed=1))
    start(stack, event)
    first = [*changes(learning, "killed", run)][-1]
    assert first["state"] == "promoted", first["problem"]
    late, late_event = uploaded(stack, rows(tmp_path, seed=2))
    time.sleep(1.1)  # the time of an upload is in whole seconds
    killer = Killer(local_aws.folder, Runs(Store.open(f"s3://{stack.data_bucket}", environ=stack.environ)))
    deadline, runs, executions = time.monotonic() + ENDS_WITHIN, 0, []
    while set(killer.killed) != set(STEPS):  # a step may be over before it was looked at: another run has it too
        runs += 1
        run, event = uploaded(stack, rows(tmp_path, seed=2 + runs))
        executions += [start(stack, event) for _ in range(2)]
        killed = len(killer.killed)
        while (found := killer.look(run)) is None or not found.is_over:
            assert time.monotonic() < deadline, (killer.killed, found)
            if len(killer.killed) > killed:
                killed = len(killer.killed)
                assert ask(stack, token, "killed").status == 200
                if killer.killed[-1] == "evaluate":
                    executions.append(start(stack, event))
            time.sleep(0.001)
        assert found.state == "promoted", found.problem
        executions.append(start(stack, event))
    executions.append(start(stack, late_event))
    until(lambda: all(is_over(stack, execution) for execution in executions))
    assert learning.run("killed", late)["state"] == "superseded"  # type: ignore[index]
    release = registry.release("killed")
    versions = (release.champion, release.previous, release.latest, release.challenger)
    assert versions == (runs + 1, runs, runs + 1, None)
    moves = [entry.action for entry in registry.audit("killed") if entry.outcome == "done"]
    assert (moves.count("promote"), moves.count("canary")) == (runs + 1, runs)
    assert registry.verify_audit("killed") == []
    assert len(learning.runs("killed", limit=10)) == runs + 2
