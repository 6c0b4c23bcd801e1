"""What has become of who works on a run: told by the kernel, by Step Functions, or by nobody."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from lastmile.executions import GONE, RUNNING, Status, described, status, this_process, untold

MACHINE = '{"StartAt": "wait", "States": {"wait": {"Type": "Wait", "Seconds": 1000, "End": true}}}'


def test_this_process_is_running() -> None:
    assert status(this_process(), untold) == Status(RUNNING)


def test_a_process_that_has_ended_is_gone_and_so_is_another_with_its_number() -> None:
    with subprocess.Popen([sys.executable, "-c", "pass"]) as child:
        child.wait()
    host = this_process().split(":")[1]
    assert status(f"process:{host}:{child.pid}:1", untold) == Status(GONE)
    assert status(f"process:{host}:{os.getpid()}:1", untold) == Status(GONE)


def test_a_process_whose_end_nobody_has_noted_is_gone() -> None:
    code = (
        "import time\nfrom lastmile.executions import this_process\nprint(this_process(), flush=True)\ntime.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        execution = child.stdout.readline().strip()
        assert status(execution, untold) == Status(RUNNING)
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert status(execution, untold) == Status(GONE)


@pytest.mark.parametrize("execution", ["process:elsewhere:1:1", "something else", "arn:of:somewhere"])
def test_of_others_nobody_can_tell(execution: str) -> None:
    assert status(execution, untold) is None


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    with mock_aws():
        yield boto3.client("stepfunctions")


def test_step_functions_says_how_and_when_an_execution_has_ended(steps: Any) -> None:
    role = "arn:aws:iam::123456789012:role/machine"
    machine = steps.create_state_machine(name="learning", definition=MACHINE, roleArn=role)["stateMachineArn"]
    arn = steps.start_execution(stateMachineArn=machine)["executionArn"]
    assert status(arn, lambda asked: described(steps, asked)) == Status(RUNNING)
    steps.stop_execution(executionArn=arn)
    ended = status(arn, lambda asked: described(steps, asked))
    assert ended is not None
    assert ended.name == "ABORTED"
    assert ended.ended_at == pytest.approx(time.time(), abs=60)
    assert described(steps, f"{arn}-gone") == Status(GONE)


def test_who_may_not_ask_is_told_nothing(steps: Any) -> None:
    class Forbidden:
        exceptions = steps.exceptions

        def describe_execution(self, **asked: Any) -> Any:
            denied = {"Error": {"Code": "AccessDeniedException", "Message": "no"}}
            raise steps.exceptions.ClientError(denied, "DescribeExecution")

    assert described(Forbidden(), "arn:of:an:execution") is None
