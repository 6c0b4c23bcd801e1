import json
from typing import Any

import pytest

from functions.retraining import pipeline
from infra import states
from tests.infra.templates import Stacks

PLACE = "${AWS::Region}:${AWS::AccountId}"


def test_the_state_machine_and_the_function_have_the_same_table() -> None:
    ours = {step.name: (dict(step.leads), step.minutes, step.attempts) for step in pipeline.STEPS}
    theirs = {name: (dict(step.leads), step.minutes, step.attempts) for name, step in states.STEPS.items()}
    assert theirs == ours
    assert (states.FIRST, states.ASKING, states.FAILED) == (pipeline.FIRST, pipeline.ASKING, pipeline.FAILED)
    assert states.ASK_SECONDS == pipeline.ASK_SECONDS


@pytest.fixture
def machine(stacks: Stacks) -> dict[str, Any]:
    """The definition as the template has it."""
    definition: dict[str, Any] = json.loads(stacks.one("StepFunctions::StateMachine", "Machine")["DefinitionString"])
    return definition


def test_every_state_leads_to_one_that_is_there_and_all_are_reached(machine: dict[str, Any]) -> None:
    known = machine["States"]
    reached, open_ends = set(), [machine["StartAt"]]
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            open_ends += targets(known[name])
    assert reached == known.keys()


def targets(state: dict[str, Any]) -> list[str]:
    more = [*state.get("Choices", []), *state.get("Catch", [])]
    return [one["Next"] for one in (state, *more) if "Next" in one] + [one for one in [state.get("Default")] if one]


def test_the_template_has_the_definition_whole(machine: dict[str, Any]) -> None:
    """What has no value would have been left out on the way."""
    assert machine == states.Machine("${RetrainingLive}", "${AWS::Partition}").definition()


def test_every_step_is_tried_again_timed_and_caught(machine: dict[str, Any]) -> None:
    steps = {name: state for name, state in machine["States"].items() if state["Type"] == "Task"}
    assert steps.keys() >= states.STEPS.keys() - {states.ASKING, states.ORDER, *states.JOBS}
    for name, state in steps.items():
        assert state["Retry"][-1]["ErrorEquals"] == ["States.ALL"]
        assert state["Retry"][-1]["MaxAttempts"] >= 1
        assert state["TimeoutSeconds"] <= max(900, *states.ASK_SECONDS)
        if name != states.FAILED:
            assert state["Catch"][-1] == {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": "failed"}


def test_a_function_that_was_idle_for_weeks_has_minutes_to_become_ready(machine: dict[str, Any]) -> None:
    """It took up to 106 seconds where others looked, and the first upload after a quiet month would be lost."""
    calls = [state for state in machine["States"].values() if ":lambda:invoke" in state.get("Resource", "")]
    assert len(calls) > len(states.ASK_SECONDS)
    for state in calls:
        again = state["Retry"][0]
        assert {"Lambda.CodeArtifactUserPendingException", "Lambda.TooManyRequestsException"} < {*again["ErrorEquals"]}
        waits = [again["IntervalSeconds"] * again["BackoffRate"] ** made for made in range(again["MaxAttempts"])]
        assert 300 < sum(min(wait, again["MaxDelaySeconds"]) for wait in waits) < 600


def test_a_wait_for_a_person_ends_with_a_token_or_looks_again(machine: dict[str, Any]) -> None:
    for seconds in states.ASK_SECONDS:
        state = machine["States"][f"ask for {seconds} s"]
        assert state["Resource"].endswith(":states:::lambda:invoke.waitForTaskToken")
        assert state["Parameters"]["Payload"]["token.$"] == "$$.Task.Token"
        assert state["TimeoutSeconds"] == seconds
        assert state["Catch"][0]["ErrorEquals"] == ["States.Timeout"]
        assert state["Catch"][0]["Next"] == state["Next"] == "approve"


def test_executions_are_logged_and_traced(stacks: Stacks) -> None:
    found = stacks.one("StepFunctions::StateMachine", "Machine")
    assert found["TracingConfiguration"] == {"Enabled": True}
    assert found["LoggingConfiguration"]["Level"] == "ALL"
    group = stacks.one("Logs::LogGroup", "MachineLogs")
    assert group["LogGroupName"] == f"/aws/vendedlogs/lastmile-{stacks.stage}-learning"
    assert group["KmsKeyId"] == "${Key.Arn}"


def test_uploads_of_training_data_start_it_and_nothing_is_lost(stacks: Stacks) -> None:
    rules = {name: rule for name, rule in stacks.all("Events::Rule").items() if name.startswith("Uploads")}
    wanted = []
    for rule in rules.values():
        pattern = rule["EventPattern"]
        assert (pattern["source"], pattern["detail-type"]) == (["aws.s3"], ["Object Created"])
        assert pattern["detail"]["bucket"]["name"] == ["${Data}"]
        wanted += [one["wildcard"] for one in pattern["detail"]["object"]["key"]]
        (target,) = rule["Targets"]
        assert target["Arn"] == "${Machine}"
        assert target["InputTransformer"]["InputTemplate"] == '{"run":{"object":<detail-object>}}'
        assert target["DeadLetterConfig"] == {"Arn": "${Unheard.Arn}"}
    assert sorted(wanted) == [f"training/*/*.{suffix}" for suffix in ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")]


def test_no_rule_has_more_wildcards_than_eventbridge_takes(stacks: Stacks) -> None:
    """Four patterns with two each were refused as too complex, https://github.com/vals-ai/Valkyrie/pull/278."""
    for rule in stacks.all("Events::Rule").values():
        assert str(rule.get("EventPattern")).count("*") <= 2


def test_executions_that_were_ended_are_put_in_order(stacks: Stacks) -> None:
    rule = stacks.one("Events::Rule", "Abandoned")
    assert rule["EventPattern"]["detail"]["status"] == ["ABORTED", "FAILED", "TIMED_OUT"]
    assert rule["EventPattern"]["detail"]["stateMachineArn"] == ["${Machine}"]
    (target,) = rule["Targets"]
    assert target["Arn"] == "${RetrainingLive}"
    assert "InputTransformer" not in target


def test_the_function_reads_uploads_and_writes_versions_and_no_captures(stacks: Stacks) -> None:
    policies = stacks.one("IAM::Role", "RetrainingRole")["Policies"]
    statements = {one["Sid"]: one for policy in policies for one in policy["PolicyDocument"]["Statement"]}
    assert statements["Write"]["Resource"] == [f"${{Artifacts.Arn}}/{path}/*" for path in ("models", "audit", "keys")]
    assert statements["WriteData"]["Resource"] == [
        f"${{Data.Arn}}/{path}/*" for path in ("runs", "approvals", "quarantine/training", "reports")
    ]
    read = ("training", "runs", "approvals", "profiles", "captures", "reports")
    assert statements["ReadData"]["Resource"] == [f"${{Data.Arn}}/{path}/*" for path in read]
    assert statements["Uploads"] == {
        "Sid": "Uploads",
        "Effect": "Allow",
        "Action": "s3:GetObjectVersion",
        "Resource": "${Data.Arn}/training/*",
    }
    machine = f"arn:${{AWS::Partition}}:states:{PLACE}:stateMachine:lastmile-{stacks.stage}-learning"
    assert (statements["Waking"]["Action"], statements["Waking"]["Resource"]) == ("states:SendTaskSuccess", machine)
    assert statements["Executions"]["Resource"] == machine.replace("stateMachine", "execution") + ":*"


def test_the_control_function_may_look_at_executions_and_wake_them_and_no_more(stacks: Stacks) -> None:
    policies = stacks.one("IAM::Role", "ControlRole")["Policies"]
    actions = [one["Action"] for policy in policies for one in policy["PolicyDocument"]["Statement"]]
    assert [action for action in actions if "states:" in str(action)] == [
        "states:DescribeExecution",
        "states:SendTaskSuccess",
    ]


def test_the_function_knows_by_which_code_it_learns(stacks: Stacks) -> None:
    code = json.loads(stacks.one("Lambda::Function", "RetrainingFunction")["Environment"]["Variables"]["LASTMILE_CODE"])
    assert code.keys() == {"retraining", "onnx-layer", "training-layer"}
    assert all(len(digest) == 16 for digest in code.values())


def test_failures_ring(stacks: Stacks) -> None:
    rung = {alarm.get("MetricName") for alarm in stacks.all("CloudWatch::Alarm").values()}
    assert rung >= {"ExecutionsFailed", "ExecutionsTimedOut", "ApproximateNumberOfMessagesVisible"}
