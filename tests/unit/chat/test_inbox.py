from dataclasses import dataclass, field
from typing import Any

import pytest

from functions.chat.inbox import ENOUGH, LONGEST_WAIT, TRIES, Inbox
from functions.chat.message import Incoming
from functions.chat.once import Once
from functions.chat.queues import QueueUnavailable
from functions.chat.records import Overtaken, Records
from functions.chat.secrets import SecretsUnavailable
from functions.chat.web import Refused, TryLater
from lastmile.errors import StoreUnavailable
from tests.unit.chat.service import Context, Dead, Table, Waits, event_of


@dataclass
class Post:
    """An inbox whose messages fail as their text says."""

    errors: dict[str, Exception] = field(default_factory=dict)
    handled: list[str] = field(default_factory=list)
    log: list[tuple[str, Any]] = field(default_factory=list)

    def __post_init__(self) -> None:
        table = Table()
        self.waits, self.dead = Waits(), Dead()
        self.inbox = Inbox(
            self.waits,
            read=Incoming.from_bytes,
            once=Once(table, "chat"),
            records=Records(table, "chat"),
            dead=self.dead,
            log=lambda event, **facts: self.log.append((event, facts)),
        )

    def work(self, *texts: str, tries: int = 1) -> list[str]:
        """Messages `<conversation>/<text>`; ids of those that failed."""
        batch = []
        for number, name in enumerate(texts):
            group, _, text = name.partition("/")
            batch.append((group, number, message(group, text).to_bytes().decode()))
        received = event_of(batch, tries=tries)["Records"]
        return [
            each["itemIdentifier"] for each in self.inbox.work(received, Context(), self.handle)["batchItemFailures"]
        ]

    def handle(self, incoming: Incoming) -> None:
        if incoming.text in self.errors:
            raise self.errors[incoming.text]
        self.handled.append(incoming.text)


def message(group: str, text: str) -> Incoming:
    return Incoming(
        platform="slack", event_id=text, conversation=group, kind="message", user="U1", text=text, at=1_800_000_000.0
    )


ERRORS = [
    TryLater("busy", 0.0),
    Overtaken("moved"),
    StoreUnavailable("away"),
    SecretsUnavailable("away"),
    QueueUnavailable("away"),
    ZeroDivisionError("a mistake of ours"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_what_fails_stays_with_what_is_behind_it_and_keeps_nobody_else(error: Exception) -> None:
    post = Post({"b": error})
    assert post.work("1/a", "1/b", "2/c", "1/d", "2/e") == ["1", "3"]
    assert post.handled == ["a", "c", "e"]
    assert post.waits.seconds == [2.0, 2.0]
    post.errors.clear()
    assert post.work("1/b", "1/d") == []
    assert post.handled == ["a", "c", "e", "b", "d"]
    assert post.dead.letters == []


def test_it_is_tried_again_when_the_other_side_wants_or_later_each_time() -> None:
    post = Post({"a": TryLater("busy", 30.0)})
    for tries in range(1, TRIES):
        assert post.work("1/a", tries=tries) == ["0"]
    assert post.waits.seconds == [30.0, 30.0, 32.0, 128.0, 512.0, LONGEST_WAIT, LONGEST_WAIT]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (TryLater("slack.com answers 503"), "slack.com answers 503"),
        (ZeroDivisionError("secret"), "ZeroDivisionError, see the log"),
    ],
)
def test_the_last_time_it_is_a_dead_letter_with_its_reason_and_what_is_behind_goes_on(
    error: Exception, reason: str
) -> None:
    post = Post({"a": error})
    assert post.work("1/a", "1/b", tries=TRIES) == []
    assert [why for _, why in post.dead.letters] == [f"tried {TRIES} times: {reason}"]
    assert post.handled == ["b"]


def test_a_mistake_of_ours_is_in_the_log_with_its_place_and_without_its_words() -> None:
    """And the function fails, as its alarm wants, where nothing else could be done."""
    post = Post({"a": ZeroDivisionError("a customer's words")})
    assert post.work("1/a", "2/b") == ["0"]
    post.log.clear()
    with pytest.raises(ZeroDivisionError):
        post.work("1/a")
    assert post.waits.seconds == [2.0, 2.0]
    ((event, facts),) = post.log
    assert (event, facts["reason"]) == ("failed", "ZeroDivisionError")
    assert "in handle" in facts["trace"][-1]
    assert "customer's" not in str(post.log)


def test_nothing_is_begun_that_might_not_be_finished() -> None:
    post = Post()
    received = event_of([("1", 1, message("1", "a").to_bytes().decode())])["Records"]
    failed = post.inbox.work(received, Context(ENOUGH - 0.1), post.handle)
    assert failed == {"batchItemFailures": [{"itemIdentifier": "1"}]}
    assert (post.handled, post.waits.seconds) == ([], [0.0])
    assert post.inbox.work(received, Context(ENOUGH), post.handle) == {"batchItemFailures": []}


@pytest.mark.parametrize("body", ["no JSON", "[]", "7", '{"platform": "slack"}'])
def test_what_cannot_be_read_is_a_dead_letter_at_once(body: str) -> None:
    post = Post()
    assert post.inbox.work(event_of([("1", 1, body)])["Records"], Context(), post.handle) == {"batchItemFailures": []}
    assert [why.partition(":")[0] for _, why in post.dead.letters] == ["the message cannot be read"]


def test_what_is_refused_is_a_dead_letter_once() -> None:
    post = Post({"a": Refused("nobody wants it")})
    for _ in range(2):
        assert post.work("1/a", "1/b") == []
    assert [why for _, why in post.dead.letters] == ["nobody wants it"]
    assert post.handled == ["b"]
