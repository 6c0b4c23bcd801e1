"""A job of the cloud, step by step as the state machine calls them, on the stores of a folder."""

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq
import pytest

from functions.batch.desk import Desk
from functions.batch.door import Door
from lastmile.batches import Batch, Batches, Place, done_parts
from lastmile.errors import InvalidInput, LastmileError, NotFound
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.batch.conftest import as_csv, measurements, shares

NOW = 1_790_000_000.0


class World:
    """What the state machine does, without it."""

    def __init__(self, registry: Registry, folder: Path) -> None:
        self.data = Store.open(folder.as_uri(), environ={})
        self.door = Door(Desk(Predictor(registry, threads=1), self.data, None, {}, lambda: NOW))
        self.batches = Batches(self.data)

    def job(self, data: bytes, name: str = "in.csv", **more: Any) -> Batch:
        path = f"batches/sum/inputs/{name}"
        self.data.put(path, data)
        stat = self.data.stat(path)
        given = {"id": "j1", "model": "sum", "version": 1, "input": f"s3://data/{path}", "etag": stat.etag,
                 "size": stat.size, "output": "s3://data/batches/sum/j1/output", "format": "parquet", "keep": (),
                 "decides": False, "batch_rows": None, "part_rows": 100, "prefix": "01K" + "A" * 15,
                 "created_at": NOW, "actor": "me"}  # fmt: skip
        return self.batches.create(Batch(**{**given, **more}))

    def call(self, batch: Batch, step: str, **more: Any) -> Any:
        job = {"model": batch.model, "id": batch.id, **more.pop("job", {})}
        return self.door({"step": step, "attempt": "j1-1", "job": job, **more})

    def missing(self, batch: Batch) -> list[int]:
        return [item["slice"] for item in orjson.loads(self.data.get(batch.path("items.json")).data)]

    def done(self, batch: Batch) -> Any:
        """The whole job, and its report."""
        if self.call(batch, "plan")["outcome"] == "planned":
            for number in self.missing(batch):
                self.call(batch, "slice", slice=number)
        self.call(batch, "join")
        return self.batches.document(batch, "report.json")

    def table(self, batch: Batch) -> pa.Table:
        folder = Place.of(batch.output).path
        manifest = orjson.loads(self.data.get(f"{folder}/_manifest.json").data)
        files = [io.BytesIO(self.data.get(f"{folder}/{part['name']}").data) for part in manifest["parts"]]
        return pa.concat_tables(pc.read_csv(file) if batch.format == "csv" else pq.read_table(file) for file in files)


@pytest.fixture
def world(registry: Registry, tmp_path: Path) -> World:
    return World(registry, tmp_path)


def as_parquet(x: np.ndarray, rows: int) -> bytes:
    file = io.BytesIO()
    pq.write_table(pa.table({"length": x[:, 0], "width": x[:, 1]}), file, row_group_size=rows)
    return file.getvalue()


def check(found: pa.Table, x: np.ndarray) -> None:
    assert found.column("row").to_pylist() == list(range(1, len(x) + 1))
    assert len(set(found.column("prediction_id").to_pylist())) == len(x)
    np.testing.assert_allclose(found.column("probabilities.long").to_numpy(), shares(x)[:, 1], rtol=1e-5)


@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize(
    "data",
    [as_csv, *(lambda x, rows=rows: as_parquet(x, rows) for rows in (30, 100, 120, 1000))],
    ids=["csv", "groups of 30", "groups of 100", "groups of 120", "one group"],
)
def test_a_job_gives_every_row_once_and_in_order(world: World, data: Callable[[np.ndarray], Any], form: str) -> None:
    x = measurements(555)
    content = data(x)
    batch = world.job(content.encode() if isinstance(content, str) else content, format=form)
    report = world.done(batch)
    assert (report["state"], report["rows"], report["bad_rows"], report["missing_rows"]) == ("done", 555, 0, 0)
    assert report["parts"] >= 6
    check(world.table(batch), x)


def test_slices_of_a_csv_end_between_records(world: World) -> None:
    x = measurements(300)
    notes = (f'{a!r},{b!r},"two\nlines ""{n}"""\n' for n, (a, b) in enumerate(x.astype(float).tolist()))
    text = "length,width,note\n" + "".join(notes)
    batch = world.job(text.encode(), part_rows=7, keep=("note",))
    report = world.done(batch)
    assert report["parts"] == 43
    found = world.table(batch)
    check(found, x)
    assert found.column("note").to_pylist() == [f'two\nlines "{n}"' for n in range(300)]


def test_bad_rows_are_listed_with_their_lines(world: World) -> None:
    lines = as_csv(measurements(250)).splitlines()
    lines[7], lines[200] = "oops,1", "1,2,3"
    batch = world.job("\n".join(lines).encode())
    report = world.done(batch)
    assert (report["state"], report["rows"], report["bad_rows"]) == ("done", 250, 2)
    listed = world.data.get(Place.of(report["errors"]).path).data.splitlines()
    assert [(one["row"], one["line"]) for one in map(json.loads, listed)] == [(7, 8), (200, 201)]
    assert world.table(batch).column("error").null_count == 248


def test_parts_that_are_there_are_not_made_again(world: World) -> None:
    batch = world.job(as_csv(measurements(500)).encode())
    world.call(batch, "plan")
    for number in (0, 3):
        assert world.call(batch, "slice", slice=number) == {"outcome": "made", "rows": 100, "bad": 0}
    before = [world.data.stat(batch.part(number)) for number in (0, 3)]
    assert world.call(batch, "slice", slice=3) == {"outcome": "found"}
    plan = world.data.stat(batch.path("plan.json"))
    world.call(batch, "plan")
    assert world.missing(batch) == [1, 2, 4]
    assert world.data.stat(batch.path("plan.json")).version == plan.version
    assert world.done(batch)["state"] == "done"
    assert [world.data.stat(batch.part(number)) for number in (0, 3)] == before
    check(world.table(batch), measurements(500))
    assert world.call(batch, "plan")["outcome"] == "ready"


def test_a_slice_made_twice_is_the_same(world: World) -> None:
    batch = world.job(as_csv(measurements(200)).encode())
    world.call(batch, "plan")
    world.call(batch, "slice", slice=1)
    first = world.data.get(batch.part(1)).data
    (Path(world.data._root) / batch.part(1)).unlink()  # type: ignore[attr-defined]
    world.call(batch, "slice", slice=1)
    assert world.data.get(batch.part(1)).data == first


def test_what_failed_is_in_the_report_with_its_reason(world: World) -> None:
    batch = world.job(as_csv(measurements(500)).encode())
    world.call(batch, "plan")
    for number in (0, 1, 2, 4):
        world.call(batch, "slice", slice=number)
    cause = json.dumps({"errorMessage": "the disk is full", "errorType": "OSError"})
    world.call(batch, "failed", slice=3, error={"Error": "States.TaskFailed", "Cause": cause})
    assert world.call(batch, "join") == {"outcome": "incomplete"}
    report = world.batches.document(batch, "report.json")
    assert report["failed"] == [{"slice": 3, "first_row": 301, "rows": 100, "reason": "the disk is full"}]
    assert (report["missing_rows"], report["manifest"]) == (100, None)
    assert world.call(batch, "join", job={"tolerated": 0.19}) == {"outcome": "incomplete"}
    assert world.call(batch, "join", job={"tolerated": 0.2}) == {"outcome": "done"}
    assert len(world.table(batch)) == 400


def test_when_many_fail_the_others_are_left(world: World) -> None:
    batch = world.job(as_csv(measurements(500)).encode(), part_rows=10)
    world.call(batch, "plan")
    for number in range(9):
        world.call(batch, "failed", slice=number, error={})
    with pytest.raises(LastmileError, match="10 of 50 slices have failed"):
        world.call(batch, "failed", slice=9, error={})


@pytest.mark.parametrize(
    ("data", "more", "reason"),
    [
        (b"length\n1\n", {}, "has no column width"),
        (b"", {}, "is empty"),
        (b"\x89PNG\r\n", {}, "is a PNG image"),
        (b"PAR1....PAR1", {}, "cannot be read"),
        (b'length,width\n1,"2\n', {}, "line 2: the record that begins here"),
        (b"length,width\n1,2\n", {"version": 9}, "has no version 9"),
        (b"length,width\n1,2\n", {"etag": "other"}, "has changed since"),
        (b"length,width\n1,2\n", {"input": "s3://data/batches/none.csv"}, "there is no s3://data/batches/none.csv"),
        (b"length,width\n1,2\n", {"keep": ("color",)}, "has no column color"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(world: World, data: bytes, more: Any, reason: str) -> None:
    batch = world.job(data, **more)
    assert world.call(batch, "plan")["outcome"] == "refused"
    report = world.batches.document(batch, "report.json")
    assert report["state"] == "refused"
    assert reason in report["reason"]


def test_what_a_csv_cannot_hold_is_refused_at_once(world: World) -> None:
    file = io.BytesIO()
    pq.write_table(pa.table({"length": [1.0], "width": [2.0], "tags": [["a", "b"]]}), file)
    batch = world.job(file.getvalue(), keep=("tags",), format="csv")
    assert world.call(batch, "plan")["outcome"] == "refused"
    assert "a CSV cannot hold the column 'tags'" in world.batches.document(batch, "report.json")["reason"]


def test_an_input_that_is_changed_on_the_way_is_noticed(world: World) -> None:
    batch = world.job(as_csv(measurements(300)).encode())
    world.call(batch, "plan")
    world.data.put(Place.of(batch.input).path, as_csv(measurements(300, seed=1)).encode())
    with pytest.raises(InvalidInput, match="has changed since the job was made"):
        world.call(batch, "slice", slice=1)


def test_two_jobs_do_not_share_an_output(world: World) -> None:
    batch = world.job(as_csv(measurements(10)).encode())
    world.done(batch)
    other = world.batches.create(replace(batch, id="j2"))
    assert world.call(other, "plan")["outcome"] == "refused"
    assert "output of another batch" in world.batches.document(other, "report.json")["reason"]


def test_an_input_that_is_refused_leaves_the_place_to_the_mended_one(world: World) -> None:
    refused = world.job(b"length\n1\n")
    assert world.call(refused, "plan")["outcome"] == "refused"
    path = Place.of(refused.input).path
    world.data.put(path, as_csv(measurements(10)).encode())
    stat = world.data.stat(path)
    mended = world.batches.create(replace(refused, id="j2", etag=stat.etag, size=stat.size))
    assert world.done(mended)["state"] == "done"


def test_an_input_without_rows_is_done_at_once(world: World) -> None:
    batch = world.job(b"length,width\n")
    assert world.call(batch, "plan")["outcome"] == "ready"
    assert world.done(batch)["rows"] == 0


def test_a_job_is_made_once_and_found_again(world: World) -> None:
    batch = world.job(b"length,width\n1,2\n")
    assert world.batches.create(replace(batch, prefix="other", created_at=1.0)) == batch
    assert list(world.batches.all()) == [batch]
    assert list(world.batches.all("sum")) == [batch]
    with pytest.raises(NotFound, match="model 'sum' has no batch j9"):
        world.batches.read("sum", "j9")
    assert done_parts(world.data, batch) == []


@pytest.mark.parametrize("uri", ["batches/x", "s3://bucket", "s3:///x", "s3://bucket/"])
def test_a_place_is_named_whole(uri: str) -> None:
    with pytest.raises(InvalidInput, match="is no place in S3"):
        Place.of(uri)
