import pytest

from tests.infra.templates import Stacks
from tests.infra.test_chat import statements


@pytest.mark.parametrize("function", ["CapturingCapture", "OperatingOperations", "Retraining"])
def test_an_event_is_tried_again_and_then_kept_and_somebody_hears_of_it(stacks: Stacks, function: str) -> None:
    tried = stacks.one("Lambda::EventInvokeConfig", f"{function}LiveEventInvokeConfig")
    assert (tried["MaximumRetryAttempts"], tried["MaximumEventAgeInSeconds"]) == (2, 6 * 3600)
    assert tried["DestinationConfig"] == {"OnFailure": {"Destination": "${Data.Arn}"}}
    assert statements(stacks, f"{function}Role")["Undelivered"]["Resource"] == "${Data.Arn}/aws/lambda/async/*"
    for name, metric in {"Undelivered": "AsyncEventsDropped", "Lost": "DestinationDeliveryFailures"}.items():
        assert stacks.one("CloudWatch::Alarm", f"{function}{name}")["MetricName"] == metric


def test_whatever_calls_a_function_and_does_not_wait_is_kept(stacks: Stacks) -> None:
    """But the hourly tick, which the next hour makes up for."""
    rules = [rule for rule in stacks.all("Events::Rule").values() if "EventPattern" in rule]
    called = {target["Arn"] for rule in rules for target in rule["Targets"] if "Live" in target["Arn"]}
    kept = {f"${{{name.removesuffix('EventInvokeConfig')}}}" for name in stacks.all("Lambda::EventInvokeConfig")}
    assert called and called <= kept
