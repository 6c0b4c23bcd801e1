"""Batches in the cloud, as far as they can be told without one; tests/e2e has the rest."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli import batches
from cli.errors import CommandFailed
from lastmile.store import Store

ROLE = "arn:aws:iam::123456789012:role/batch"


@mock_aws
def test_who_begins_a_batch_after_somebody_else_follows_the_same_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    machine = boto3.client("stepfunctions", "eu-west-1")
    arn = machine.create_state_machine(name="batch", definition="{}", roleArn=ROLE)["stateMachineArn"]
    theirs = machine.start_execution(stateMachineArn=arn, name="b1-1", input='{"begun": "elsewhere"}')["executionArn"]
    target: Any = SimpleNamespace(client=lambda service: machine, batch_state_machine_arn=arn)
    batch: Any = SimpleNamespace(id="b1", model="sum")
    monkeypatch.setattr(batches, "executions", lambda target, batch: iter(()))  # a moment before
    assert batches.begun(target, batch, 0.0) == theirs


@pytest.mark.parametrize("name", [".in.csv", "in\n.csv", "in\\.csv", "nowhere.csv"])
def test_nothing_is_uploaded_under_a_name_that_nobody_could_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("a\n1\n")
    (tmp_path / "nowhere.csv").unlink(missing_ok=True)
    with pytest.raises(CommandFailed, match=r"cannot be called|There is no file"):
        batches.uploaded(SimpleNamespace(), Store.open("memory://", environ={}), "sum", tmp_path / name)  # type: ignore[arg-type]
