"""Whether another execution is still at work: told by the kernel, by Step Functions, or by nobody."""

import os
import subprocess
import sys
from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from functions.retraining.executions import Executions, this_process

MACHINE = '{"StartAt": "wait", "States": {"wait": {"Type": "Wait", "Seconds": 1000, "End": true}}}'


def test_this_process_is_running() -> None:
    assert Executions().is_running(this_process()) is True


def test_a_process_that_has_ended_is_not_nor_is_another_with_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait()
    host = this_process().split(":")[1]
    assert Executions().is_running(f"process:{host}:{child.pid}:1") is False
    assert Executions().is_running(f"process:{host}:{os.getpid()}:1") is False


@pytest.mark.parametrize("execution", ["process:elsewhere:1:1", "something else"])
def test_of_others_nobody_can_tell(execution: str) -> None:
    assert Executions().is_running(execution) is None


@pytest.fixture
def arn(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Of an execution that goes on for long."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        client = boto3.client("stepfunctions")
        role = "arn:aws:iam::123456789012:role/machine"
        machine = client.create_state_machine(name="learning", definition=MACHINE, roleArn=role)["stateMachineArn"]
        yield client.start_execution(stateMachineArn=machine)["executionArn"]


def test_step_functions_is_asked_for_an_arn(arn: str) -> None:
    executions = Executions()
    assert executions.is_running(arn) is True
    boto3.client("stepfunctions").stop_execution(executionArn=arn)
    assert executions.is_running(arn) is False
    assert executions.is_running(f"{arn}-gone") is False
