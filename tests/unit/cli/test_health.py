import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from cli.errors import CommandFailed
from cli.health import Stack, deployed
from cli.target import STACKS, Access, Credentials, Target
from cli.wire import Answer
from lastmile.protocols.messages import Request, Response
from tests.unit.cli.conftest import Api

ACCESS = Access(region="eu-west-1", credentials=Credentials("testing", "testing"))
TEMPLATE = json.dumps({"Resources": {"Topic": {"Type": "AWS::SNS::Topic"}}})


def answering(status: int) -> Callable[[Request], Response]:
    return lambda _: Response(status, {}, b'{"error": "not today"}')


@pytest.fixture
def stack(serve: Callable[[Api], Api], tmp_path: Path) -> Callable[[int], Stack]:
    """A stack whose first model answers with this status."""

    def start(status: int) -> Stack:
        serve(Api([("/v2/models/digits/ready", "infer", answering(status))]))
        return Stack(lambda: Target.local(tmp_path / "stack"))

    return start


def test_a_ready_model_and_a_token_are_found(stack: Callable[[int], Stack]) -> None:
    found = stack(200)
    assert found.model() == "digits is ready"
    assert found.token().endswith("/oauth2/token")


def test_a_model_that_is_not_ready_is_wrong(stack: Callable[[int], Stack]) -> None:
    with pytest.raises(CommandFailed, match="Not today"):
        stack(400).model()


def test_an_api_that_does_not_know_its_health_is_wrong(stack: Callable[[int], Stack]) -> None:
    with pytest.raises(CommandFailed, match="Not Found"):
        stack(200).api()


@pytest.mark.parametrize("skew", [-3600, 3600])
def test_a_clock_that_is_off_is_wrong(
    stack: Callable[[int], Stack], monkeypatch: pytest.MonkeyPatch, skew: float
) -> None:
    found, now = stack(200), time.time()
    assert found.clock() == "within 60 s of the API's"
    monkeypatch.setattr("cli.health.time", SimpleNamespace(time=lambda: now + skew))  # the server keeps its clock
    with pytest.raises(CommandFailed, match=r"clock is [+-]\d+ s off"):
        found.clock()


@pytest.mark.parametrize("headers", [{}, {"date": "noon"}])
def test_an_answer_without_the_time_is_not_the_apis(headers: dict[str, str]) -> None:
    target: Any = SimpleNamespace(call=lambda method, path: Answer(200, headers, b"{}", f"http://api{path}"))
    with pytest.raises(CommandFailed, match="http://api/health does not tell the time"):
        Stack(lambda: target).clock()


@pytest.fixture
def formation() -> Iterator[Any]:
    with mock_aws():
        yield boto3.client(
            "cloudformation", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )


def test_stacks_that_are_missing_are_named(formation: Any) -> None:
    formation.create_stack(StackName="Lastmile-dev-Storage", TemplateBody=TEMPLATE)
    missing = ", ".join(f"{name} is missing" for name in STACKS if name != "Storage")
    with pytest.raises(CommandFailed, match=f"Of stage dev, {missing}") as failure:
        deployed(ACCESS, "dev", mend="Deploy.")
    assert failure.value.next_step == "Deploy."


def test_stacks_that_are_there_are_listed(formation: Any) -> None:
    for name in STACKS:
        formation.create_stack(StackName=f"Lastmile-dev-{name}", TemplateBody=TEMPLATE)
    assert deployed(ACCESS, "dev", mend="") == ", ".join(f"Lastmile-dev-{name}" for name in STACKS)
