from infra.operating import TOLD, TRIES
from tests.infra.templates import Stacks
from tests.infra.test_chat import statements

CHAT_ROLES = ("HookRole", "ChatRole")


def test_orders_have_a_queue_of_their_own_with_dead_letters(stacks: Stacks) -> None:
    orders = stacks.one("SQS::Queue", "OperatingOrders")
    assert orders["FifoQueue"] is True
    assert orders["RedrivePolicy"] == {
        "deadLetterTargetArn": "${OperatingDeadLetters.Arn}",
        "maxReceiveCount": TRIES,
    }
    timeout = stacks.one("Lambda::Function", "OperatingOperationsFunction")["Timeout"]
    assert orders["VisibilityTimeout"] == 6 * timeout
    mapping = stacks.one("Lambda::EventSourceMapping", "OperatingFeed")
    assert mapping["EventSourceArn"] == "${OperatingOrders.Arn}"
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]


def test_only_the_operators_function_moves_releases_and_answers_runs(stacks: Stacks) -> None:
    granted = statements(stacks, "OperatingOperationsRole")
    assert granted["Waking"]["Action"] == "states:SendTaskSuccess"
    assert granted["Waking"]["Resource"].endswith(f"stateMachine:lastmile-{stacks.stage}-learning")
    assert {path.rpartition("}/")[2] for path in granted["Write"]["Resource"]} == {
        "models/*/release.json",
        "models/*/versions/*/rejected.json",
        "audit/*",
    }
    for role in CHAT_ROLES:
        known = statements(stacks, role)
        assert not known.keys() & {"Waking", "Write", "Orders"}


def test_it_cannot_read_what_was_predicted_or_trained_on(stacks: Stacks) -> None:
    granted = statements(stacks, "OperatingOperationsRole")
    read = {path.rpartition("}/")[2] for path in granted["ReadData"]["Resource"]}
    assert read == {"runs/*", "approvals/*", "reports/*", "decisions/*"}
    for listing in ("ListData", "UndeliveredBucket"):
        (prefixes,) = granted[listing]["Condition"]["StringLikeIfExists"].values()
        assert not {"captures/*", "training/*"} & set(prefixes)


def test_events_of_ours_and_alarms_call_it(stacks: Stacks) -> None:
    rule = stacks.one("Events::Rule", "OperatingTold")
    assert rule["EventPattern"] == {"source": ["lastmile"], "detail-type": TOLD}
    assert rule["EventBusName"] == "${Bus}", "on the account's bus it would hear the other stages too"
    assert stacks.one("Events::EventBus")["Name"] == f"lastmile-{stacks.stage}"
    assert rule["Targets"][0]["Arn"] == "${OperatingOperationsLive}"
    subscription = stacks.one("SNS::Subscription", "OperatingRung")
    assert (subscription["Protocol"], subscription["Endpoint"]) == ("lambda", "${OperatingOperationsLive}")
    assert subscription["TopicArn"] == "${AlarmsTopic}"
