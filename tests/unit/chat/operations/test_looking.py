"""What operators are told of runs."""

import pytest

from functions.chat.operations.looking import Looking
from lastmile.executions import RUNNING, Status
from lastmile.policies import Training
from lastmile.registry import Registry
from lastmile.runs import Run, Runs, Upload, run_id
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import TensorSpec

X = TensorSpec("x", "FP32", (-1, 2))
LABEL = TensorSpec("label", "INT64", (-1,))
SPEC = ModelSpec("fraud", "classification", "Is it a fraud?", (X,), (LABEL,), training=Training("own", target="label"))


@pytest.mark.parametrize(("state", "running"), [(RUNNING, True), ("FAILED", False)])
def test_a_run_that_nobody_works_on_is_not_called_running(state: str, running: bool) -> None:
    data = Store.open("memory://", environ={})
    registry = Registry(Store.open("memory://", environ={}))
    registry.declare(SPEC, actor="ann", why="declared")
    upload = Upload("training/fraud/may.csv", "v1", 10, 1.7e9)
    run = Run(run_id(upload), "fraud", upload, "arn:of:it", state="running", started_at=1.7e9, updated_at=1.7e9)
    Runs(data).create(run)
    said = Looking(registry, data, ask=lambda arn: Status(state, 1.7e9 + 60)).status()
    assert said.startswith("fraud: nothing serves")
    assert (f"run {run.id} is running" in said) is running
