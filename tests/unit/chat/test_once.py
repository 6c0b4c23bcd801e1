import dataclasses
import time
from typing import Any

import pytest
from botocore.exceptions import ClientError, ReadTimeoutError

from functions.chat.message import Incoming
from functions.chat.once import Once
from functions.chat.records import DAY, DONE_DAYS
from functions.chat.web import TryLater
from tests.unit.chat.service import TIMEOUT, Context, Killed, Table

MESSAGE = Incoming(
    platform="telegram",
    event_id="1",
    conversation="telegram:1",
    kind="message",
    user="7",
    text="hello",
    at=1_800_000_000.0,
)


def nobody() -> None:
    raise AssertionError("it was done already, or somebody else has it")


def dying() -> None:
    raise Killed


def opened(table: Any, left: float = TIMEOUT) -> Once:
    once = Once(table, "chat")
    once.until(Context(left))
    return once


def test_what_is_done_is_known_in_one_request(table: Table) -> None:
    done: list[str] = []
    opened(table)(MESSAGE, lambda: done.append("once"))
    requests: list[str] = []
    table.fate.strike = lambda: requests.append("a request")
    opened(table)(MESSAGE, nobody)
    assert (len(done), len(requests)) == (1, 1)


@pytest.mark.parametrize("change", [{"platform": "slack"}, {"kind": "edit"}, {"event_id": "2"}])
def test_another_message_is_another(table: Table, change: dict[str, Any]) -> None:
    done: list[str] = []
    once = opened(table)
    once(MESSAGE, lambda: done.append("one"))
    once(dataclasses.replace(MESSAGE, **change), lambda: done.append("two"))
    once(dataclasses.replace(MESSAGE, text="said otherwise", at=0.0), nobody)
    assert done == ["one", "two"]


def test_who_comes_while_another_has_it_is_told_to_come_later(table: Table) -> None:
    done: list[str] = []

    def act() -> None:
        with pytest.raises(TryLater, match="another worker has it"):
            opened(table)(MESSAGE, nobody)
        done.append("once")

    opened(table)(MESSAGE, act)
    assert done == ["once"]


def test_the_lease_of_a_dead_worker_ends_with_its_time(table: Table) -> None:
    with pytest.raises(Killed):
        opened(table)(MESSAGE, dying)
    with pytest.raises(TryLater):
        opened(table)(MESSAGE, nobody)
    table.ahead += TIMEOUT + 1
    done: list[str] = []
    opened(table)(MESSAGE, lambda: done.append("taken over"))
    assert done == ["taken over"]


@pytest.mark.parametrize("error", [TryLater("busy", 7.0), KeyError("a mistake of ours")])
def test_what_fails_can_be_repeated_at_once(table: Table, error: Exception) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(type(error)) as raised:
        opened(table)(MESSAGE, fail)
    assert raised.value is error
    done: list[str] = []
    opened(table)(MESSAGE, lambda: done.append("repeated"))
    assert done == ["repeated"]


@pytest.mark.parametrize("broken", ["put_item", "update_item", "delete_item"])
@pytest.mark.parametrize(
    "error",
    [
        ClientError({"Error": {"Code": "ProvisionedThroughputExceededException"}}, "any"),
        ReadTimeoutError(endpoint_url="https://dynamodb"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_a_table_that_does_not_answer_means_later_and_never_done(
    table: Table, monkeypatch: pytest.MonkeyPatch, broken: str, error: Exception
) -> None:
    done: list[str] = []

    def away(**request: Any) -> Any:
        raise error

    def act() -> None:
        done.append("done")
        if broken == "delete_item":
            raise TryLater("busy")

    with monkeypatch.context() as patched:
        patched.setattr(table, broken, away)
        with pytest.raises(TryLater, match="the table does not answer"):
            opened(table)(MESSAGE, act)
    assert len(done) == (0 if broken == "put_item" else 1)
    table.ahead += TIMEOUT + 1
    opened(table)(MESSAGE, lambda: done.append("again"))
    assert done[-1] == "again"


def test_a_dead_letter_that_is_sent_again_is_done_again_once(table: Table) -> None:
    done: list[str] = []
    once = opened(table)
    once(MESSAGE, lambda: done.append("refused"))
    for _ in range(2):
        once(MESSAGE, lambda: done.append("sent again"), redriven="letter-1")
    once(MESSAGE, nobody)
    assert done == ["refused", "sent again"]


def test_leases_stand_beside_our_records_and_are_forgotten_with_them(table: Table) -> None:
    opened(table)(MESSAGE, lambda: None)
    ((key, item),) = table.items.items()
    prefix, _, digest = key.partition("#")
    assert (prefix, len(digest), int(digest, 16) > 0) == ("once", 64, True)
    assert abs(int(item["expires"]["N"]) - time.time() - DONE_DAYS * DAY) < 60


@pytest.fixture
def table() -> Table:
    return Table()


def test_the_same_holds_over_dynamodb_by_the_clock(dynamodb: Any) -> None:
    done: list[str] = []
    with pytest.raises(Killed):
        opened(dynamodb, 600)(MESSAGE, dying)
    with pytest.raises(TryLater, match="another worker has it"):
        opened(dynamodb)(MESSAGE, nobody)
    (item,) = dynamodb.scan(TableName="chat")["Items"]
    ends = int(item["in_progress_expiration"]["N"]) / 1000
    assert 500 < ends - time.time() <= 600
    item["in_progress_expiration"]["N"] = str(int((ends - 600) * 1000))  # as if the time had passed
    dynamodb.put_item(TableName="chat", Item=item)
    opened(dynamodb)(MESSAGE, lambda: done.append("taken over"))
    opened(dynamodb)(MESSAGE, nobody)
    assert done == ["taken over"]
