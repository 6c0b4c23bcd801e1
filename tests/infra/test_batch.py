import json
from typing import Any

import pytest

from infra import batch_states
from tests.infra.templates import Stacks


def machine_of(stacks: Stacks) -> dict[str, Any]:
    found: dict[str, Any] = stacks.one("StepFunctions::StateMachine", "BatchMachine")
    return found


@pytest.fixture
def states(stacks: Stacks) -> dict[str, Any]:
    """The definition as the template has it."""
    definition: dict[str, Any] = json.loads(machine_of(stacks)["DefinitionString"])
    return definition


def statements(stacks: Stacks, role: str) -> list[dict[str, Any]]:
    policies = stacks.one("IAM::Role", role)["Policies"]
    return [one for policy in policies for one in policy["PolicyDocument"]["Statement"]]


def test_the_template_has_the_definition_whole(stacks: Stacks, states: dict[str, Any]) -> None:
    at_once = {"dev": 20, "prod": 100}[stacks.stage]
    assert states == batch_states.Machine("${BatchLive}", "${Data}", "${AWS::Partition}", at_once).definition()


def unreached(machine: dict[str, Any]) -> set[str]:
    """States that nothing leads to; a KeyError where one leads nowhere."""
    known = machine["States"]
    reached: set[str] = set()
    open_ends: list[str] = [machine["StartAt"]]
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            state = known[name]
            more = [*state.get("Choices", []), *state.get("Catch", [])]
            open_ends += [one["Next"] for one in (state, *more) if "Next" in one]
            open_ends += [state["Default"]] if "Default" in state else []
    return set(known) - reached


def test_every_state_leads_to_one_that_is_there_and_all_are_reached(states: dict[str, Any]) -> None:
    for machine in (states, states["States"]["slices"]["ItemProcessor"]):
        assert unreached(machine) == set()


def test_slices_are_spread_over_functions_and_their_list_lies_in_the_data_bucket(
    stacks: Stacks, states: dict[str, Any]
) -> None:
    found = states["States"]["slices"]
    assert found["ItemProcessor"]["ProcessorConfig"] == {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"}
    assert found["ItemReader"]["Parameters"] == {"Bucket": "${Data}", "Key.$": "$.plan.items"}
    assert found["MaxConcurrency"] == {"dev": 20, "prod": 100}[stacks.stage]
    inner = found["ItemProcessor"]["States"]
    assert inner["slice"]["Catch"][0]["Next"] == "failed"
    assert all(one["ResultSelector"] == {} for one in inner.values()), "what all say together has 256 KB"
    waking, idle, always = inner["slice"]["Retry"]
    assert "Lambda.CodeArtifactUserPendingException" in idle["ErrorEquals"], "an idle function takes minutes to wake"
    assert waking["ErrorEquals"] == ["EndpointUnavailable"]
    assert waking["IntervalSeconds"] * waking["MaxAttempts"] > 400, "an endpoint takes minutes to wake"
    assert always["MaxAttempts"] >= 1


def test_every_task_is_timed_and_tried_again(states: dict[str, Any]) -> None:
    tasks = [one for one in states["States"].values() if one["Type"] == "Task"]
    tasks += states["States"]["slices"]["ItemProcessor"]["States"].values()
    assert len(tasks) == 6
    for task in tasks:
        assert task["TimeoutSeconds"] == 900
        assert task["Retry"][-1]["ErrorEquals"] == ["States.ALL"]


def test_the_function_reads_models_and_touches_nothing_but_batches(stacks: Stacks) -> None:
    found = {one["Sid"]: one for one in statements(stacks, "BatchRole")}
    assert found["Read"]["Resource"] == [f"${{Artifacts.Arn}}/{path}/*" for path in ("models", "keys")]
    assert "Write" not in found
    touched = [f"${{Data.Arn}}/{path}/*" for path in ("batches", "pending/batches")]
    assert found["ReadData"]["Resource"] == found["WriteData"]["Resource"] == touched
    assert found["Endpoints"]["Action"] == "sagemaker:InvokeEndpoint"
    assert "OtherObjects" not in found


def test_the_state_machine_reads_its_lists_and_runs_itself_and_nothing_else(stacks: Stacks) -> None:
    place = "${AWS::Region}:${AWS::AccountId}"
    name = f"lastmile-{stacks.stage}-batch"
    granted = {str(one["Action"]): one["Resource"] for one in statements(stacks, "BatchMachineRole")}
    assert granted == {
        "lambda:InvokeFunction": "${BatchLive}",
        "s3:GetObject": "${Data.Arn}/batches/*/items.json",
        "kms:Decrypt": "${Key.Arn}",
        "states:StartExecution": f"arn:${{AWS::Partition}}:states:{place}:stateMachine:{name}",
        "['states:DescribeExecution', 'states:StopExecution']": f"arn:${{AWS::Partition}}:states:{place}:execution:"
        f"{name}/*",
    }


def test_executions_are_logged_and_traced_and_failures_ring(stacks: Stacks) -> None:
    found = machine_of(stacks)
    assert found["TracingConfiguration"] == {"Enabled": True}
    assert found["LoggingConfiguration"]["Level"] == "ALL"
    group = stacks.one("Logs::LogGroup", "BatchMachineLogs")
    assert group["LogGroupName"] == f"/aws/vendedlogs/lastmile-{stacks.stage}-batch"
    alarms = stacks.all("CloudWatch::Alarm")
    for name, metric in {"BatchesFailed": "ExecutionsFailed", "BatchesTimedOut": "ExecutionsTimedOut"}.items():
        assert alarms[name]["MetricName"] == metric, "one that timed out is no failed one to CloudWatch"
