"""Following a run until it is over, whoever is left to say so."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.learning import StoreLearning
from cli.training import changes
from lastmile.executions import this_process
from lastmile.registry import Registry
from lastmile.runs import Run, Runs, Upload, run_id
from lastmile.store import Store


@pytest.fixture
def worker() -> Iterator["subprocess.Popen[bytes]"]:
    """A process that works on a run, for long."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def worked_on(process: "subprocess.Popen[bytes]", folder: Path) -> tuple[Store, Run]:
    """The record of a run in the hands of the process; it was written a while ago."""
    store = Store.open(folder.as_uri(), environ={})
    upload = Upload("training/valves/may.csv", "etag-1", 12, 1_700_000_000.0)
    host = this_process().split(":")[1]
    started = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[19]
    execution = f"process:{host}:{process.pid}:{started}"
    at = time.time() - 600
    run = Run(run_id(upload), "valves", upload, execution, state="running", step="train", started_at=at, updated_at=at)
    Runs(store).create(run)
    return store, run


def test_following_a_run_ends_when_nobody_works_on_it_any_more(
    worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    store, run = worked_on(worker, tmp_path)

    def meanwhile(seconds: float) -> None:
        worker.kill()
        worker.wait()

    learning = StoreLearning(Registry(store), "ann", store)
    seen = list(changes(learning, "valves", run.id, sleep=meanwhile))
    assert [one["state"] for one in seen] == ["running", "failed"]
    assert seen[-1]["problem"]["reason"] == "the pipeline ended without a word at step train (GONE)"


def test_a_run_in_which_nothing_happens_is_looked_at_ever_less_often(
    worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    store, run = worked_on(worker, tmp_path)
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 40:
            worker.kill()
            worker.wait()

    assert len(list(changes(StoreLearning(Registry(store), "ann", store), "valves", run.id, sleep=sleep))) == 2
    assert pauses == sorted(pauses)
    assert (pauses[0], pauses[-1]) == (0.5, 10)


def test_a_run_whose_process_is_gone_is_listed_as_failed_with_what_to_do(
    lastmile: Any, worker: "subprocess.Popen[bytes]", tmp_path: Path
) -> None:
    _, run = worked_on(worker, tmp_path)
    listed = lastmile("runs", "valves", "--registry", tmp_path, "--json")
    assert [one["state"] for one in json.loads(listed.out)] == ["running"]
    worker.kill()
    worker.wait()
    listed = lastmile("runs", "valves", "--registry", tmp_path, "--json")
    assert [one["state"] for one in json.loads(listed.out)] == ["failed"]
    shown = lastmile("run", "show", run.id, "--registry", tmp_path)
    assert "without a word at step train" in shown.out
    assert "lastmile train valves <data> --here" in shown.out
