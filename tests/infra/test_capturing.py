"""How logs reach the capture function, and what becomes of what it cannot take."""

from typing import Any

import pytest

from lastmile.capture import MARKER
from tests.infra.templates import Stacks


@pytest.mark.parametrize("name", ["inference", "chat"])
def test_the_log_of_whatever_predicts_is_handed_over(stacks: Stacks, name: str) -> None:
    group = f"/aws/lambda/lastmile-{stacks.stage}-{name}"
    assert group in {log["LogGroupName"] for log in stacks.all("Logs::LogGroup").values()}
    subscription = stacks.one("Logs::SubscriptionFilter", f"CapturingSubscription{name.capitalize()}")
    assert subscription == {
        "DestinationArn": "${CapturingCaptureLive}",
        "FilterName": f"lastmile-{stacks.stage}-captures",
        "FilterPattern": f'"{MARKER}"',
        "LogGroupName": group,
    }
    allowed = permission(stacks, f"{group}:*")
    assert (allowed["Principal"], allowed["Action"]) == ("logs.amazonaws.com", "lambda:InvokeFunction")


def test_its_own_log_is_not(stacks: Stacks) -> None:
    groups = {entry["LogGroupName"] for entry in stacks.all("Logs::SubscriptionFilter").values()}
    assert groups == {f"/aws/lambda/lastmile-{stacks.stage}-{name}" for name in ("inference", "chat")}


@pytest.mark.parametrize(
    ("name", "metric", "namespace"),
    [
        ("CaptureUndelivered", "AsyncEventsDropped", "AWS/Lambda"),
        ("CaptureLost", "DestinationDeliveryFailures", "AWS/Lambda"),
        ("Quarantined", "QuarantinedCaptures", "Lastmile"),
        ("CaptureErrors", "Errors", "AWS/Lambda"),
    ],
)
def test_somebody_hears_of_what_goes_wrong(stacks: Stacks, name: str, metric: str, namespace: str) -> None:
    alarm = stacks.one("CloudWatch::Alarm", f"Capturing{name}")
    assert (alarm["MetricName"], alarm["Namespace"], alarm["Threshold"]) == (metric, namespace, 1)
    assert alarm["AlarmActions"]


def test_the_function_gets_what_it_needs(stacks: Stacks) -> None:
    function = stacks.one("Lambda::Function", "CapturingCaptureFunction")
    assert function["Handler"] == "functions.capture.handler.handler"
    variables = function["Environment"]["Variables"]
    assert (variables["LASTMILE_DATA"], variables["LASTMILE_BUS"]) == ("s3://${Data}", "${Bus}")
    assert len(function["Layers"]) == 1


def permission(stacks: Stacks, source: str) -> dict[str, Any]:
    (found,) = [
        entry for entry in stacks.all("Lambda::Permission").values() if str(entry.get("SourceArn", "")).endswith(source)
    ]
    return found
