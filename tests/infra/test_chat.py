from typing import Any

from functions.chat import inbox
from functions.chat.records import DAY, DONE_DAYS
from infra import operating
from infra.chat import BATCH, TRIES
from tests.infra.templates import Stacks


def statements(stacks: Stacks, role: str) -> dict[str, dict[str, Any]]:
    """Of a role's duty, by their names."""
    policies = stacks.one("IAM::Role", role)["Policies"]
    (duty,) = [policy["PolicyDocument"]["Statement"] for policy in policies if policy["PolicyName"] == "Duty"]
    return {statement["Sid"]: statement for statement in duty}


def test_order_is_kept_and_what_fails_eight_times_is_a_dead_letter(stacks: Stacks) -> None:
    """The function itself writes the last time's reason; the queue gives up what it was killed over."""
    messages = stacks.one("SQS::Queue", "Messages")
    assert messages["FifoQueue"] is True
    assert messages["RedrivePolicy"] == {"deadLetterTargetArn": "${DeadLetters.Arn}", "maxReceiveCount": TRIES}
    assert inbox.TRIES == TRIES == operating.TRIES
    assert stacks.one("SQS::Queue", "DeadLetters")["FifoQueue"] is True


def test_queues_are_encrypted_and_take_tls_only(stacks: Stacks) -> None:
    for name in ("Messages", "DeadLetters"):
        assert stacks.one("SQS::Queue", name)["SqsManagedSseEnabled"] is True
        (statement,) = stacks.one("SQS::QueuePolicy", f"{name}Policy")["PolicyDocument"]["Statement"]
        assert statement["Condition"] == {"Bool": {"aws:SecureTransport": "false"}}


def test_a_message_stays_hidden_for_longer_than_the_worker_may_take(stacks: Stacks) -> None:
    """And for longer than its lease, which ends when the worker must."""
    timeout = stacks.one("Lambda::Function", "ChatFunction")["Timeout"]
    assert timeout >= 2 * inbox.ENOUGH
    assert stacks.one("SQS::Queue", "Messages")["VisibilityTimeout"] == 6 * timeout


def test_dead_letters_outlast_messages_and_what_was_done_is_remembered_as_long(stacks: Stacks) -> None:
    """A dead letter keeps the time of its message, and may be sent to the worker again on its last day."""
    kept = {name: stacks.one("SQS::Queue", name)["MessageRetentionPeriod"] for name in ("Messages", "DeadLetters")}
    assert kept["DeadLetters"] > kept["Messages"] >= 4 * DAY
    assert kept["DeadLetters"] <= DONE_DAYS * DAY
    hidden = max(stacks.one("SQS::Queue", "Messages")["VisibilityTimeout"], inbox.LONGEST_WAIT)
    assert 2 * TRIES * hidden < kept["Messages"]


def test_ids_come_from_the_platforms_and_not_from_what_is_said(stacks: Stacks) -> None:
    """Who says the same twice has said it twice."""
    for name in ("Messages", "DeadLetters"):
        assert "ContentBasedDeduplication" not in stacks.one("SQS::Queue", name)


def test_the_gateway_waits_for_the_hook(stacks: Stacks) -> None:
    """HTTP APIs give up after 30 seconds."""
    assert stacks.one("Lambda::Function", "HookFunction")["Timeout"] < 30


def test_the_worker_reports_each_message_that_failed(stacks: Stacks) -> None:
    mapping = stacks.one("Lambda::EventSourceMapping", "Feed")
    assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert mapping["BatchSize"] == BATCH
    assert mapping["EventSourceArn"] == "${Messages.Arn}"


def test_records_are_encrypted_forgotten_in_time_and_restorable(stacks: Stacks) -> None:
    table = stacks.one("DynamoDB::Table")
    assert table["SSESpecification"] == {"KMSMasterKeyId": "${Key.Arn}", "SSEEnabled": True, "SSEType": "KMS"}
    assert table["TimeToLiveSpecification"] == {"AttributeName": "expires", "Enabled": True}
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"] is True


def test_the_hook_can_read_secrets_and_queue_and_nothing_else(stacks: Stacks) -> None:
    granted = statements(stacks, "HookRole")
    assert granted.keys() == {"Secrets", "Send"}, "nobody has to log in there: it opens nothing that is stored"
    assert granted["Secrets"]["Resource"].endswith(f":secret:lastmile/{stacks.stage}/chat/*")
    assert granted["Send"]["Action"] == "sqs:SendMessage"
    assert granted["Send"]["Resource"] == ["${Messages.Arn}", "${OperatingOrders.Arn}"]


def test_the_worker_deletes_nothing_but_messages_and_leases(stacks: Stacks) -> None:
    actions = [
        action
        for statement in statements(stacks, "ChatRole").values()
        for action in ([statement["Action"]] if isinstance(statement["Action"], str) else statement["Action"])
    ]
    assert [action for action in actions if "Delete" in action] == ["sqs:DeleteMessage", "dynamodb:DeleteItem"]
    assert statements(stacks, "ChatRole")["Send"]["Resource"] == "${DeadLetters.Arn}"


def test_no_secret_is_in_a_template(stacks: Stacks) -> None:
    assert stacks.all("SecretsManager::Secret") == {}
    for name in ("HookFunction", "ChatFunction"):
        variables = stacks.one("Lambda::Function", name)["Environment"]["Variables"]
        assert variables["LASTMILE_CHAT_SECRETS"] == f"lastmile/{stacks.stage}/chat"
