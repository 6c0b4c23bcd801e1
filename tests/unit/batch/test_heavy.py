"""Versions with a heavy side, step by step: its endpoint is asked, or a transform job whose answers come later."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from functions.batch.desk import Desk, Transforms
from functions.batch.door import Door
from functions.batch.sides import Opening
from functions.batch.transforming import AT_FAULT
from functions.batch.transforms import Transform
from functions.inference.local_endpoint import LocalEndpoint
from functions.inference.local_models import LocalModels
from functions.inference.local_triton import run
from lastmile.batches import Batch, Batches, Place
from lastmile.heavy import names
from lastmile.heavy.wire import BINARY
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.batch.conftest import MAX_BATCH, as_csv, measurements, sided
from tests.unit.inference.doors import listening

ROWS, PART, BAD, FAULT = 210, 50, 30, 175
MACHINES = {"ml.g5.xlarge": {"InstanceType": "ml.g5.xlarge"}}
KEYS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "eu-west-1"}
X = np.abs(measurements(ROWS))  # amounts are not negative

type Document = dict[str, Any]
type Answers = Callable[[str, np.ndarray], bool]


def header_bytes(order: Document) -> int:
    return int(order["content_type"].rpartition("=")[2])


class World:
    """What the state machine does, and what SageMaker does, without them."""

    def __init__(self, registry: Registry, folder: Path, *, transforms: Transforms | None, url: str = "") -> None:
        environ = {**KEYS, "AWS_ENDPOINT_URL_SAGEMAKER_RUNTIME": url}
        predictor = Predictor(registry, threads=1, heavy=lambda: Opening(environ, stage="test", data=None))
        self.registry = registry
        self.data = Store.open(folder.as_uri(), environ={})
        self.door = Door(Desk(predictor, self.data, None, environ, lambda: 1.79e9, transforms))
        self.batches = Batches(self.data)
        self.asked: list[str] = []

    def job(self, model: str, **more: Any) -> Batch:
        lines = as_csv(X).splitlines()
        lines[BAD + 1] = "oops,1"
        path = f"batches/{model}/inputs/in.csv"
        self.data.put(path, "\n".join(lines).encode())
        stat = self.data.stat(path)
        given: Document = {"id": "0123456789abcdef", "model": model, "version": 1, "input": f"s3://data/{path}",
                           "etag": stat.etag, "size": stat.size, "output": f"s3://data/batches/{model}/j/output",
                           "format": "parquet", "keep": (), "decides": True, "batch_rows": None, "part_rows": PART,
                           "prefix": "01K" + "A" * 15, "created_at": 1.79e9, "actor": "me"}  # fmt: skip
        return self.batches.create(Batch(**{**given, **more}))

    def call(self, batch: Batch, step: str, attempt: str, **more: Any) -> Document:
        job = {"model": batch.model, "id": batch.id}
        return self.door({"step": step, "attempt": attempt, "job": job, "alone": False, **more})

    def each(self, batch: Batch, step: str, attempt: str, *, alone: bool = False) -> list[str]:
        items = json.loads(self.data.get(batch.path("items.json")).data)
        return [self.call(batch, step, attempt, slice=item["slice"], alone=alone)["outcome"] for item in items]

    def begun(self, batch: Batch, attempt: str) -> Document:
        """All requests of an attempt are written; the order."""
        assert self.call(batch, "plan", attempt)["by"] == "transform"
        assert set(self.each(batch, "slice", attempt)) <= {"asked", "made", "found"}
        return self.call(batch, "order", attempt)

    def again(self, batch: Batch, attempt: str) -> Document:
        """As the state machine goes on where requests had no answer; the order."""
        told = self.call(batch, "again", attempt)
        assert (told["outcome"], told["by"], told["alone"]) == ("planned", "transform", True)
        assert set(self.each(batch, "slice", attempt, alone=True)) == {"asked"}
        return self.call(batch, "order", attempt, alone=True)

    def transformed(self, batch: Batch, order: Document, *, answers: Answers = lambda path, x: True) -> None:
        """As a Triton in a transform job would, which `answers` a request with these rows, or does not."""
        model = LocalModels(self.registry, stage="test").component(names.component("test", batch.model, 1))
        folder, place = Place.of(order["asked"]).path, Place.of(order["answers"]).path
        for path in sorted(self.data.list(folder)):
            body, name = self.data.get(path).data, path.rpartition("/")[2]
            assert len(body) <= order["payload_mb"] * 1e6
            self.asked.append(name)
            told = run(model, order["content_type"], body)
            assert told.content_type.startswith(BINARY)
            if answers(name, np.frombuffer(body[header_bytes(order) :], "<f4").reshape(-1, 2)):
                self.data.put(f"{place}/{path.removeprefix(folder)}.out".replace("//", "/"), told.body)

    def settled(self, batch: Batch, attempt: str, *, alone: bool = False) -> list[str]:
        assert self.call(batch, "collect", attempt, alone=alone)["outcome"] == "collected"
        return self.each(batch, "settle", attempt, alone=alone)

    def ended(self, batch: Batch, attempt: str, **more: Any) -> Document:
        self.call(batch, "join", attempt, **more)
        report: Document = self.batches.document(batch, "report.json")
        return report

    def table(self, batch: Batch) -> pa.Table:
        folder = Place.of(batch.output).path
        parts = json.loads(self.data.get(f"{folder}/_manifest.json").data)["parts"]
        return pa.concat_tables(
            pq.read_table(pa.BufferReader(self.data.get(f"{folder}/{part['name']}").data)) for part in parts
        )


@pytest.fixture
def registry(sided_place: Path) -> Registry:
    return Registry(Store.open(sided_place.as_uri(), environ={}))


@pytest.fixture
def world(registry: Registry, tmp_path: Path) -> World:
    return World(registry, tmp_path, transforms=Transforms("test", "s3://artifacts", MACHINES))


@pytest.fixture
def waiting(registry: Registry, sided_place: Path, tmp_path: Path) -> Iterator[tuple[World, LocalEndpoint]]:
    """Where there are no transform jobs, but an endpoint."""
    environ = {"LASTMILE_ARTIFACTS": sided_place.as_uri(), "LASTMILE_STAGE": "test", **KEYS}
    endpoint = LocalEndpoint(environ)
    with listening(endpoint, http="httptools") as port:
        world = World(registry, tmp_path, transforms=None, url=f"http://127.0.0.1:{port}")
        yield world, endpoint
        world.door.desk.predictor.reconnect()


def check(found: pa.Table, model: str) -> None:
    rows = found.to_pylist()
    assert [row["row"] for row in rows] == list(range(1, ROWS + 1))
    assert len({row["prediction_id"] for row in rows}) == ROWS
    bad = rows.pop(BAD)
    assert (bad["tier"], bad["label"]) == (None, None)
    assert "a number is wanted" in bad["error"]
    probabilities, by_heavy = (np.delete(one, BAD, axis=0) for one in sided(X, model))
    assert [row["tier"] for row in rows] == ["heavy" if one else "light" for one in by_heavy]
    np.testing.assert_allclose([row["probabilities.long"] for row in rows], probabilities[:, 1], rtol=1e-5)
    assert [row["label"] for row in rows] == probabilities.argmax(axis=1).tolist()
    assert {row["decision"] for row in rows} <= {"allow", "block", "review"}


@pytest.mark.parametrize("model", ["both", "alone"])
def test_a_transform_job_answers_the_rows_of_the_heavy_side(world: World, model: str) -> None:
    batch = world.job(model)
    told = world.begun(batch, "a-1")
    order = told["order"]
    assert told["outcome"] == "ask"
    assert told["requests"] == len(list(world.data.list(Place.of(order["asked"]).path)))
    assert order["package"] == f"s3://artifacts/models/{model}/versions/1/model.tar.gz"
    assert order["resources"] == {"InstanceType": "ml.g5.xlarge", "InstanceCount": 2}
    assert order["at_once"] * order["payload_mb"] <= 100
    world.transformed(batch, order)
    assert set(world.settled(batch, "a-1")) == {"made"}
    report = world.ended(batch, "a-1")
    assert (report["state"], report["rows"], report["bad_rows"]) == ("done", ROWS, 1)
    check(world.table(batch), model)


def test_what_a_transform_job_has_not_answered_is_listed_and_asked_again_and_nothing_else(world: World) -> None:
    batch = world.job("alone")
    first = world.begun(batch, "a-1")
    lost = sorted(world.data.list(Place.of(first["order"]["asked"]).path))[:2]
    world.transformed(batch, first["order"], answers=lambda name, x: not any(path.endswith(name) for path in lost))
    assert world.settled(batch, "a-1") == ["unanswered", *["made"] * 4]
    cause = json.dumps({"TransformJobStatus": "Failed", "FailureReason": "ClientError: see logs"})
    report = world.ended(batch, "a-1", error={"Error": "States.TaskFailed", "Cause": cause})
    assert (report["state"], report["missing_rows"], report["reason"]) == ("incomplete", PART, "ClientError: see logs")
    (failed,) = report["failed"]
    assert failed["reason"] == f"the transform job has no answer for {2 * MAX_BATCH} of {PART - 1} rows"
    before = [name for name in world.asked if not any(path.endswith(name) for path in lost)]
    second = world.begun(batch, "a-2")
    assert second["requests"] == 2
    assert second["order"]["name"] != first["order"]["name"]
    world.transformed(batch, second["order"])
    assert not set(before) & set(world.asked[len(before) + 2 :])
    assert world.settled(batch, "a-2") == ["made"]
    assert world.ended(batch, "a-2")["state"] == "done"
    check(world.table(batch), "alone")
    assert world.call(batch, "order", "a-3")["outcome"] == "over"


def at_fault(x: np.ndarray) -> bool:
    """Whether the rows hold the one that no request with it is answered for."""
    return bool((x == X[FAULT]).all(axis=1).any())


def test_of_a_request_that_one_row_breaks_the_others_are_asked_alone_and_the_row_is_a_bad_one(world: World) -> None:
    batch = world.job("alone", decides=False)
    world.transformed(batch, world.begun(batch, "a-1")["order"], answers=lambda name, x: not at_fault(x))
    assert world.settled(batch, "a-1") == [*["made"] * 3, "unanswered", "made"]
    second = world.again(batch, "a-1")
    assert second["requests"] == MAX_BATCH
    assert second["order"]["name"] != world.call(batch, "order", "a-1")["order"]["name"]
    world.transformed(batch, second["order"], answers=lambda name, x: not at_fault(x))
    assert world.settled(batch, "a-1", alone=True) == ["made"]
    report = world.ended(batch, "a-1")
    assert (report["state"], report["rows"], report["bad_rows"]) == ("done", ROWS, 2)
    errors = world.data.get(f"{Place.of(batch.output).path}/_errors.jsonl").data.decode().splitlines()
    assert json.loads(errors[1]) == {"row": FAULT + 1, "reason": AT_FAULT}
    rows = world.table(batch).to_pylist()
    assert [row["row"] for row in rows if row["error"]] == [BAD + 1, FAULT + 1]
    good = [row["row"] - 1 for row in rows if not row["error"]]
    probabilities = sided(X, "alone")[0][good, 1]
    np.testing.assert_allclose([rows[place]["probabilities.long"] for place in good], probabilities, rtol=1e-5)


def test_rows_are_not_at_fault_where_the_second_job_was_not_at_work_at_all(world: World) -> None:
    batch = world.job("alone")
    world.transformed(batch, world.begun(batch, "a-1")["order"], answers=lambda name, x: not at_fault(x))
    world.settled(batch, "a-1")
    world.transformed(batch, world.again(batch, "a-1")["order"], answers=lambda name, x: False)
    assert world.settled(batch, "a-1", alone=True) == ["unanswered"]
    report = world.ended(batch, "a-1")
    assert (report["state"], report["missing_rows"]) == ("incomplete", PART)
    assert report["failed"][0]["reason"] == f"the transform job has no answer for {MAX_BATCH} of {PART} rows"
    world.transformed(batch, world.begun(batch, "a-2")["order"])
    assert world.settled(batch, "a-2") == ["made"]
    assert world.ended(batch, "a-2")["state"] == "done"
    check(world.table(batch), "alone")


def test_there_is_no_second_job_where_the_first_answered_nothing_or_everything(world: World) -> None:
    batch = world.job("alone")
    order = world.begun(batch, "a-1")["order"]
    world.transformed(batch, order, answers=lambda name, x: False)
    assert set(world.settled(batch, "a-1")) == {"unanswered"}
    assert world.call(batch, "again", "a-1")["outcome"] == "ready"
    world.transformed(batch, order)
    assert set(world.settled(batch, "a-1")) == {"made"}
    assert world.call(batch, "again", "a-1")["outcome"] == "ready"


def test_garbage_is_no_answer_and_its_rows_are_asked_alone(world: World) -> None:
    batch = world.job("alone")
    world.transformed(batch, world.begun(batch, "a-1")["order"])
    path = min(world.data.list(batch.pending("answers")))
    world.data.put(path, b"garbage")
    assert world.settled(batch, "a-1") == ["unanswered", *["made"] * 4]
    second = world.again(batch, "a-1")
    world.transformed(batch, second["order"])
    assert world.settled(batch, "a-1", alone=True) == ["made"]
    assert world.ended(batch, "a-1")["state"] == "done"
    check(world.table(batch), "alone")


def test_a_row_that_no_request_can_hold_is_a_bad_one_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = world.job("alone")
    monkeypatch.setattr(Transform, "_payload_bytes", 10)
    told = world.begun(batch, "a-1")
    assert (told["outcome"], told["requests"]) == ("settle", 0)
    assert set(world.settled(batch, "a-1")) == {"made"}
    assert world.ended(batch, "a-1")["bad_rows"] == ROWS
    assert "a transform job takes 12 MB at most" in world.table(batch).column("error")[0].as_py()


def test_what_was_answered_before_an_execution_was_stopped_is_not_asked_again(world: World) -> None:
    batch = world.job("alone")
    world.transformed(batch, world.begun(batch, "a-1")["order"])
    assert world.begun(batch, "a-2")["outcome"] == "settle"
    assert set(world.settled(batch, "a-2")) == {"made"}


def test_answers_are_found_wherever_sagemaker_puts_them_below_their_place(world: World) -> None:
    batch = world.job("both")
    order = world.begun(batch, "a-1")["order"]
    world.transformed(batch, order)
    answers = Place.of(order["answers"]).path
    for path in list(world.data.list(answers)):
        world.data.put(f"{answers}/asked/a-1/{path.rpartition('/')[2]}", world.data.get(path).data)
    assert set(world.settled(batch, "a-1")) == {"made"}


def test_slices_of_sure_rows_alone_are_never_asked(registry: Registry, tmp_path: Path) -> None:
    world = World(registry, tmp_path, transforms=Transforms("test", "s3://artifacts", MACHINES))
    batch = world.job("both", part_rows=1, decides=False)
    world.call(batch, "plan", "a-1")
    outcomes = world.each(batch, "slice", "a-1")
    good = np.delete(sided(X, "both")[1], BAD)
    assert outcomes.count("asked") == good.sum()
    assert outcomes.count("made") == ROWS - good.sum()


def test_an_instance_that_no_transform_job_runs_on_is_refused(registry: Registry, tmp_path: Path) -> None:
    world = World(registry, tmp_path, transforms=Transforms("test", "s3://artifacts", {}))
    batch = world.job("alone")
    assert world.call(batch, "plan", "a-1")["outcome"] == "refused"
    report = world.batches.document(batch, "report.json")
    assert "not on ml.g5.xlarge; ask the endpoint with --endpoint" in report["reason"]


@pytest.mark.parametrize("model", ["both", "alone"])
@pytest.mark.parametrize("asked", [False, True])
def test_an_endpoint_answers_where_there_are_no_transform_jobs_or_it_is_asked_for(
    waiting: tuple[World, LocalEndpoint], model: str, asked: bool
) -> None:
    world, endpoint = waiting
    if asked:
        world.door.desk.transforms = Transforms("test", "s3://artifacts", MACHINES)
    batch = world.job(model, endpoint=asked)
    assert world.call(batch, "plan", "a-1")["by"] == "function"
    assert set(world.each(batch, "slice", "a-1")) == {"made"}
    assert endpoint.counts["answers"] > 5
    assert world.ended(batch, "a-1")["state"] == "done"
    check(world.table(batch), model)


def test_an_endpoint_that_is_not_there_is_told_at_once(registry: Registry, tmp_path: Path) -> None:
    world = World(registry, tmp_path, transforms=None, url="http://127.0.0.1:9")
    batch = world.job("alone")
    assert world.call(batch, "plan", "a-1")["outcome"] == "refused"
    assert world.batches.document(batch, "report.json")["state"] == "refused"


def test_a_slice_whose_endpoint_fails_for_long_can_be_asked_for_again(
    waiting: tuple[World, LocalEndpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    world, endpoint = waiting
    monkeypatch.setattr("functions.batch.sides.PAUSES", (0.0, 0.0))
    batch = world.job("alone")
    world.call(batch, "plan", "a-1")
    endpoint.set({"throttle": True})
    with pytest.raises(Exception, match="Rate exceeded"):
        world.call(batch, "slice", "a-1", slice=0)
    endpoint.set({"throttle": False})
    assert world.call(batch, "slice", "a-1", slice=0)["outcome"] == "made"
