"""A batch through the deployed state machine: interrupted, with a part that fails, again until all of it is there."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from onnx import TensorProto, helper

from cli.batches import batches, begun, followed, in_the_cloud, job_of, opened, report_of, store_of
from cli.errors import CommandFailed
from cli.local import LocalAws
from cli.target import Options, Target
from lastmile.batches import Batch, Place
from lastmile.model import OnnxModel
from lastmile.spec import ModelSpec

SPEC = """
name = "shares"
task = "classification"
description = "Two measurements as shares of one."
[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 2]
columns = ["length", "width"]
[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 2]
columns = ["short", "long"]
"""
ROWS, PART = 2000, 600


@pytest.fixture(scope="module")
def model(stack: Target, tmp_path_factory: pytest.TempPathFactory) -> str:
    graph = helper.make_graph(
        [helper.make_node("Softmax", ["x"], ["probabilities"], axis=1)],
        "shares",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 2])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 2])],
    )
    made: onnx.ModelProto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    data = bytes(made.SerializeToString())
    file = tmp_path_factory.mktemp("shares") / "spec.toml"
    file.write_text(SPEC)
    facts: dict[str, Any] = {"metrics": {}, "lineage": {}, "compression": {}}
    registry, signature = stack.registry(), OnnxModel.open(data, threads=1).signature
    registry.push(ModelSpec.from_toml(file), data, signature=signature, actor="test", why="test", **facts)
    registry.promote("shares", 1, actor="test", why="test")
    return "shares"


@pytest.fixture(scope="module")
def x() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ROWS, 2)).astype(np.float32)


@pytest.fixture(scope="module")
def data(x: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a row that is none, and another that is cut short."""
    lines = [f'{a!r},{b!r},"on two\nlines"' for a, b in x.astype(float).tolist()]
    lines[10], lines[1500] = "long,1,", "1"
    path = tmp_path_factory.mktemp("data") / "measured.csv"
    path.write_text("\n".join(("length,width,note", *lines)))
    return path


def asked(model: str, **more: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "model": model,
        "version": None,
        "keep": [],
        "decides": False,
        "batch_rows": None,
        "part_rows": PART,
    }
    return given | more


def result(stack: Target, batch: Batch) -> pa.Table:
    """The parts, in the manifest's order."""
    place = Place.of(batch.output)
    store = store_of(stack, place.bucket)
    parts = json.loads(store.get(f"{place.path}/_manifest.json").data)["parts"]
    tables = [pq.read_table(pa.BufferReader(store.get(f"{place.path}/{part['name']}").data)) for part in parts]
    return pa.concat_tables(tables)


def check(found: pa.Table, x: np.ndarray, *, bad: set[int]) -> None:
    assert found.column("row").to_pylist() == list(range(1, ROWS + 1))
    assert len(set(found.column("prediction_id").to_pylist())) == ROWS
    assert {row for row, error in enumerate(found.column("error").to_pylist()) if error} == bad
    good = [row for row in range(ROWS) if row not in bad]
    wanted = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    said = found.column("probabilities.long").to_pylist()
    np.testing.assert_allclose([said[row] for row in good], wanted[good, 1], rtol=1e-5)


def test_an_interrupted_job_and_a_part_that_fails_are_done_by_the_same_command(
    stack: Target, local_aws: LocalAws, model: str, data: Path, x: np.ndarray, capsys: pytest.CaptureFixture[str]
) -> None:
    machine = stack.client("stepfunctions")
    batch = job_of(stack, asked(model), str(data), None, form="parquet", actor="test")
    assert job_of(stack, asked(model), str(data), None, form="parquet", actor="test") == batch
    first = begun(stack, batch, 0.0)
    assert begun(stack, batch, 0.0) == first
    jobs = opened(stack)
    while (plan := jobs.document(batch, "plan.json")) is None:
        time.sleep(0.1)
    machine.stop_execution(executionArn=first)  # whatever it has done by now
    # The fourth slice cannot be done: it does not hold what the plan says.
    broken = json.loads(json.dumps(plan))
    broken["slices"][3]["rows"] += 1
    jobs.write(batch, "plan.json", broken)
    store = store_of(stack, stack.data_bucket)
    if store.exists(batch.part(3)):
        stack.client("s3").delete_object(Bucket=stack.data_bucket, Key=batch.part(3))
    report = followed(stack, batch, begun(stack, batch, 0.0))
    assert (report["state"], report["missing_rows"]) == ("incomplete", 201)
    (failed,) = report["failed"]
    assert (failed["slice"], failed["first_row"]) == (3, 3 * PART + 1)
    assert "records follow" in failed["reason"]
    before = {number: store.stat(batch.part(number)) for number in range(4) if number != 3}
    jobs.write(batch, "plan.json", plan)
    in_the_cloud(
        Options(local=local_aws.folder, json=True), asked(model), str(data), None, form="parquet", tolerated=0.0,
        detach=False,
    )  # fmt: skip
    said = json.loads(capsys.readouterr().out)
    assert (said["batch"], said["state"], said["rows"], said["bad_rows"]) == (batch.id, "done", ROWS, 2)
    assert {number: store.stat(batch.part(number)) for number in before} == before
    check(result(stack, batch), x, bad={10, 1500})
    listed = store.get(f"{Place.of(batch.output).path}/_errors.jsonl").data.splitlines()
    assert [json.loads(line)["line"] for line in listed] == [22, 3001]


def test_a_parquet_file_goes_the_same_way(
    stack: Target, local_aws: LocalAws, model: str, x: np.ndarray, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "measured.parquet"
    pq.write_table(pa.table({"length": x[:, 0], "width": x[:, 1]}), path, row_group_size=500)
    wanted = asked(model, keep=["width"], part_rows=1200)
    batch = job_of(stack, wanted, str(path), None, form="parquet", actor="test")
    assert followed(stack, batch, begun(stack, batch, 0.0))["state"] == "done"
    found = result(stack, batch)
    check(found, x, bad=set())
    assert found.column("width").to_pylist() == x[:, 1].tolist()

    class Context:
        obj = Options(local=local_aws.folder, json=True)

    batches(Context(), model)  # type: ignore[arg-type]
    listed = json.loads(capsys.readouterr().out)
    assert {one["report"]["state"] for one in listed} == {"done"}


def test_what_is_gone_of_a_job_that_was_done_is_made_again_by_the_same_command(
    stack: Target, model: str, data: Path, x: np.ndarray
) -> None:
    batch = job_of(stack, asked(model, batch_rows=64), str(data), None, form="parquet", actor="test")
    first = begun(stack, batch, 0.0)
    assert followed(stack, batch, first)["state"] == "done"
    assert begun(stack, batch, 0.0) == first
    stack.client("s3").delete_object(Bucket=stack.data_bucket, Key=batch.part(1))
    assert begun(stack, batch, 1.0) == first, "as much may be missing"
    second = begun(stack, batch, 0.0)
    assert second != first
    assert followed(stack, batch, second)["state"] == "done"
    check(result(stack, batch), x, bad={10, 1500})


def test_a_job_that_was_stopped_is_listed_as_stopped(stack: Target, model: str, data: Path) -> None:
    batch = job_of(stack, asked(model, batch_rows=32), str(data), None, form="parquet", actor="test")
    execution, jobs = begun(stack, batch, 0.0), opened(stack)
    while (report := jobs.document(batch, "report.json")) is None:
        time.sleep(0.1)
    stack.client("stepfunctions").stop_execution(executionArn=execution)
    jobs.write(batch, "report.json", report | {"state": "running"})  # as it is where nothing had come to its end
    found = report_of(stack, jobs, batch)
    assert found is not None
    assert found["state"] == "stopped"


def test_what_is_no_table_is_refused_with_a_sentence(
    stack: Target, local_aws: LocalAws, model: str, tmp_path: Path
) -> None:
    path = tmp_path / "picture.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(CommandFailed, match=r"The batch is refused: picture.csv is a PNG image"):
        in_the_cloud(Options(local=local_aws.folder), asked(model), str(path), None, form="parquet", tolerated=0.0,
                     detach=False)  # fmt: skip
    with pytest.raises(CommandFailed, match="Batches may not use"):
        job_of(stack, asked(model), f"s3://{stack.data_bucket}/runs/x.csv", None, form="csv", actor="test")
