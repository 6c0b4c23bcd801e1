import pytest

from functions.chat.environment import HookEnvironment, OperatorEnvironment, WorkerEnvironment
from lastmile.errors import MissingSettings
from lastmile.settings import InvalidSetting

WORKER = {
    "LASTMILE_CHAT_SECRETS": "lastmile/dev/chat",
    "LASTMILE_CHAT_TABLE": "chat",
    "LASTMILE_CHAT_QUEUE": "https://sqs/messages.fifo",
    "LASTMILE_CHAT_DEAD_LETTERS": "https://sqs/dead.fifo",
    "LASTMILE_ARTIFACTS": "s3://artifacts",
    "LASTMILE_DATA": "s3://data",
}
OPERATOR = {
    "LASTMILE_CHAT_SECRETS": "lastmile/dev/chat",
    "LASTMILE_CHAT_TABLE": "chat",
    "LASTMILE_OPERATIONS_QUEUE": "https://sqs/orders.fifo",
    "LASTMILE_OPERATIONS_DEAD_LETTERS": "https://sqs/orders-dead.fifo",
    "LASTMILE_ARTIFACTS": "s3://artifacts",
    "LASTMILE_DATA": "s3://data",
}


def test_everything_missing_is_named_at_once() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_CHAT_QUEUE, LASTMILE_CHAT_SECRETS"):
        HookEnvironment.from_env({})
    with pytest.raises(MissingSettings) as missing:
        WorkerEnvironment.from_env({})
    assert set(missing.value.names) == set(WORKER)
    with pytest.raises(MissingSettings) as missing:
        OperatorEnvironment.from_env({})
    assert set(missing.value.names) == set(OPERATOR)


def test_what_is_given_is_taken() -> None:
    environment = WorkerEnvironment.from_env(WORKER | {"LASTMILE_CHAT_GROUPS": '{"billing": 7}'})
    assert (environment.groups, environment.bus) == ({"billing": 7}, "default")


@pytest.mark.parametrize("text", ["{", "[]", '{"billing": "7"}', '{"billing": true}'])
def test_what_cannot_be_read_is_named(text: str) -> None:
    with pytest.raises(InvalidSetting, match="LASTMILE_CHAT_GROUPS"):
        WorkerEnvironment.from_env(WORKER | {"LASTMILE_CHAT_GROUPS": text})
