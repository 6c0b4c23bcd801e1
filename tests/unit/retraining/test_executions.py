"""Whether another execution is still at work, as the pipeline asks; the rest is lastmile/executions.py's."""

from collections.abc import Iterator

import boto3
import pytest
from moto import mock_aws

from functions.retraining.executions import Executions
from lastmile.executions import this_process

MACHINE = '{"StartAt": "wait", "States": {"wait": {"Type": "Wait", "Seconds": 1000, "End": true}}}'


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


def test_a_process_and_an_execution_run_until_they_have_ended(arn: str) -> None:
    executions = Executions()
    assert executions.is_running(this_process()) is True
    assert executions.is_running(f"{this_process()}1") is False
    assert executions.is_running(arn) is True
    boto3.client("stepfunctions").stop_execution(executionArn=arn)
    assert executions.is_running(arn) is False
    assert executions.is_running(f"{arn}-gone") is False


def test_of_others_nobody_can_tell() -> None:
    assert Executions().is_running("process:elsewhere:1:1") is None


def test_step_functions_that_does_not_answer_tells_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    monkeypatch.setenv("AWS_MAX_ATTEMPTS", "1")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")  # nobody listens there
    assert Executions().is_running("arn:of:an:execution") is None
