"""From an upload that is too large for the function to a version that serves, through training jobs as processes."""

import csv
import io
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest

from functions.retraining.door import Door
from functions.retraining.here import MARKER, follow, main
from lastmile.policies import Certificate, Gate, Training
from lastmile.runs import Run
from lastmile.spec import ModelSpec
from tests.unit.retraining.recipes.examples import classified, rows

KEY = "training/example/may.csv"
THRESHOLD_MB = 0.01


def with_recipe(spec: ModelSpec, recipe: str, **options: Any) -> ModelSpec:
    training = Training(recipe, target="y", options=options)  # type: ignore[arg-type]
    return replace(spec, training=training, gates=(Gate("accuracy", at_least=0.8),))


def upload(count: int = 1200, **changes: Any) -> bytes:
    table, text = rows(count), io.StringIO()
    writer = csv.writer(text)
    writer.writerow(["a", "b", "kind", "y"])
    columns = [changes.get(name, table[name].tolist()) for name in ("a", "b", "kind", "y")]
    writer.writerows([["" if value != value else value for value in row] for row in zip(*columns, strict=True)])
    return text.getvalue().encode()


class Place:
    """Stores in folders, and a door that takes no more than some kilobytes."""

    def __init__(self, folder: Path, spec: ModelSpec, *, jobs: bool = True) -> None:
        self.environ = {"LASTMILE_DATA": (folder / "data").as_uri(), "LASTMILE_ARTIFACTS": (folder / "art").as_uri()}
        self.environ |= {"LASTMILE_TRAINING_JOBS": "on"} if jobs else {}
        self.door = Door.open(self.environ)
        self.data, self.registry = self.door.desk.data, self.door.desk.registry
        self.door.desk.largest_bytes = int(THRESHOLD_MB * 1e6)
        self.registry.declare(spec, actor="ann", why="declared")
        self.said: list[str] = []

    def run(self, content: bytes) -> Run:
        self.data.put(KEY, content)
        told = lambda document: self.said.append(document["step"])  # noqa: E731
        record = follow(self.door, KEY, execution="first", say=told, sleep=lambda _: None)
        assert record is not None
        return Run.from_document(record)


def test_an_upload_above_the_threshold_is_trained_on_in_a_job_that_leaves_what_the_function_would_have_left(
    tmp_path: Path,
) -> None:
    in_a_job, in_the_function = Place(tmp_path / "job", classified()), Place(tmp_path / "function", classified())
    in_the_function.door.desk.largest_bytes = 1_000_000
    there, here = in_a_job.run(upload()), in_the_function.run(upload())
    assert in_a_job.said[:6] == ["claim", "validate", "order", "train", "order", "evaluate"]
    assert "order" not in in_the_function.said
    for run in (there, here):
        assert (run.state, run.version, run.problem) == ("promoted", 1, None)
        assert run.found("train")["training_rows"] == 960
    for name in ("training.bin", "held-out.bin", "answers.bin", "trained.onnx"):
        assert in_a_job.data.get(there.path(name)).data == in_the_function.data.get(here.path(name)).data
    for step in ("validate", "train"):
        ours, theirs = ({**run.found(step)} for run in (there, here))
        assert {key for key in ours if ours[key] != theirs[key]} <= {"seconds", "report"}
    lineage = in_a_job.registry.manifest("example", 1).lineage
    assert lineage["data"]["sha256"] == here.found("validate")["sha256"]


def test_without_jobs_a_large_upload_is_refused_with_advice(tmp_path: Path) -> None:
    run = Place(tmp_path, classified(), jobs=False).run(upload())
    assert run.state == "refused"
    assert run.problem is not None
    assert "more than 0 million bytes" in run.problem["reason"]
    assert "train where there is more memory" in run.problem["advice"]


def test_data_that_a_job_refuses_are_refused_with_its_report(tmp_path: Path) -> None:
    place = Place(tmp_path, classified())
    run = place.run(upload(y=["nobody knows"] * 1200))
    assert run.state == "refused"
    assert run.problem is not None
    assert "1,200 of 1,200 rows" in run.problem["reason"]
    report = orjson.loads(place.data.get(f"reports/example/data/{run.id}.json").data)
    assert report["verdict"] == "refused"
    assert place.data.exists(f"quarantine/training/example/{run.id}.jsonl")


def test_a_job_that_breaks_off_says_why(tmp_path: Path) -> None:
    place = Place(tmp_path, classified())
    place.data.put(KEY, upload())

    def spoil(document: dict[str, Any]) -> None:
        if document["step"] == "train":
            (request,) = [path for path in place.data.list("runs/example") if path.endswith("request.json")]
            place.data.put(request, b"nothing")

    record = follow(place.door, KEY, execution="first", say=spoil, sleep=lambda _: None)
    assert record is not None
    assert record["state"] == "failed"
    assert "JSONDecodeError" in record["problem"]["reason"]


def test_a_newer_upload_of_the_same_name_has_a_run_of_its_own(tmp_path: Path) -> None:
    place = Place(tmp_path, classified())
    place.data.put(KEY, upload())
    event = {"step": "claim", "run": {"object": {"key": KEY}}, "execution": "first"}
    run = place.door(event)["run"]
    place.data.put(KEY, upload(1300))
    assert place.door({"step": "order", "run": run})["outcome"] == "refused"
    found, _ = place.door.desk.runs.read("example", run["id"])
    assert found.problem is not None
    assert "replaced by a newer one" in found.problem["reason"]


def test_what_one_machine_cannot_hold_is_boosted_by_several_and_converted(tmp_path: Path) -> None:
    """As `lastmile train --here` does it; only the rows are too few for what the recipe is made for."""
    spec = replace(with_recipe(classified(), "xgboost", trees=30), certificate=Certificate(tolerance=1e-5))
    place = Place(tmp_path, spec, jobs=False)
    place.data.put(KEY, upload(3000))
    environ = {**os.environ, **place.environ, "POWERTOOLS_LOG_LEVEL": "CRITICAL"}
    command = [sys.executable, "-m", "functions.retraining.here", KEY]
    done = subprocess.run(command, env=environ, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = [orjson.loads(line) for line in done.stdout.splitlines()]
    *said, last = (one for one in lines if one.get("marker") == MARKER)
    assert [one["step"] for one in said][2:7] == ["order", "prepare", "order", "boost", "order"]
    run = Run.from_document(last["record"])
    assert (run.state, run.version, run.problem) == ("promoted", 1, None)
    facts = run.found("train")
    assert facts["shards"] >= 8
    assert facts["training_rows"] + facts["held_out_rows"] == 3000
    assert run.found("certify")["largest_difference"] < 1e-6
    assert run.found("compress")["metrics"]["accuracy"] > 0.85


def test_a_run_that_is_told_to_end_takes_its_job_and_the_folder_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(tmp_path, with_recipe(classified(), "xgboost"), jobs=False)
    place.data.put(KEY, upload(20))
    jobs: list[int] = []

    class Slow(subprocess.Popen[str]):
        def __init__(self, command: list[str], **options: Any) -> None:
            super().__init__(["sleep", "60"], **options)
            jobs.append(self.pid)

        def communicate(self, *given: Any, **named: Any) -> Any:
            signal.raise_signal(signal.SIGTERM)
            return super().communicate(*given, **named)

    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    monkeypatch.setattr(subprocess, "Popen", Slow)
    monkeypatch.setattr(sys, "argv", ["here", KEY])
    for name, text in place.environ.items():
        monkeypatch.setenv(name, text)
    before = signal.signal(signal.SIGTERM, signal.SIG_IGN)
    try:
        with pytest.raises(SystemExit):
            main()
    finally:
        signal.signal(signal.SIGTERM, before)
    assert list((tmp_path / "temporary").iterdir()) == []
    with pytest.raises(ProcessLookupError):
        os.kill(jobs[0], 0)
