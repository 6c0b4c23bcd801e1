import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from functions.chat.actions import Actions
from functions.chat.assistant.assistant import Assistant
from functions.chat.assistant.book import Book
from functions.chat.assistant.conversation import Routing
from functions.chat.delivery import Delivery
from functions.chat.inbox import Inbox
from functions.chat.keys import Keys
from functions.chat.message import Incoming
from functions.chat.once import Once
from functions.chat.records import Overtaken, Records
from functions.chat.web import Page
from functions.chat.worker import Worker
from tests.unit.chat.conftest import Hook, body_of
from tests.unit.chat.service import (
    TIMEOUT,
    Context,
    Dead,
    Fate,
    Killed,
    Lessons,
    Network,
    Queue,
    Table,
    Team,
    Tickets,
    Waits,
    event_of,
)

FOLDER = Path(__file__).parents[3] / "models/tickets"
SECRET = {"bot_token": "xoxb-1"}
UNSURE = Routing("orders", "normal", 0.3, sure=False, prediction="01ARZ3NDEKTSV4RRFFQ69G5FAV")


@pytest.fixture(scope="module")
def book() -> Book:
    return Book.open(FOLDER)


@dataclass
class Office:
    """A worker and everything around it, all sharing one fate."""

    book: Book
    table: Any = None
    fate: Fate = field(default_factory=Fate)
    clock: float = 1_800_000_000.0
    once: Callable[..., Any] | None = None

    def __post_init__(self) -> None:
        self.network, self.tickets = Network(self.fate), Tickets(self.fate)
        self.lessons, self.dead, self.log = Lessons(), Dead(), list[tuple[str, Any]]()
        self.team = Team(UNSURE)
        self.table, self.waits = self.table or Table(self.fate), Waits()
        self.records = Records(self.table, "chat", clock=lambda: self.clock)
        self.worker = Worker(
            Assistant(self.book),
            inbox=Inbox(
                self.waits,
                read=Incoming.from_bytes,
                once=self.once or Once(self.table, "chat"),  # type: ignore[arg-type]
                records=self.records,
                dead=self.dead,
                log=lambda event, **facts: self.log.append((event, facts)),
            ),
            records=self.records,
            team=self.team,  # type: ignore[arg-type]
            actions=Actions(self.book, self.network, lambda: {"url": "https://shop.example", "token": "t-1"}),
            delivery=Delivery(self.network, Keys(lambda _: [SECRET]), clock=lambda: self.clock),
            tickets=self.tickets,
            lessons=self.lessons,
        )

    def take(self, *messages: Incoming, tries: int = 1, redriven: str = "") -> list[str]:
        """Ids of those that failed."""
        batch = [(message.conversation, number, message.to_bytes().decode()) for number, message in enumerate(messages)]
        event = event_of(batch, tries=tries, redriven=redriven)
        return [failed["itemIdentifier"] for failed in self.worker(event, Context())["batchItemFailures"]]

    @property
    def said(self) -> list[str]:
        return [post["text"] for post in self.network.posts]


@pytest.fixture
def office(book: Book) -> Office:
    return Office(book)


def message(text: str, number: int = 1, conversation: str = "slack:T:D1", **more: Any) -> Incoming:
    return Incoming(
        **{
            "platform": "slack",
            "event_id": f"{conversation}:{number}",
            "conversation": conversation,
            "kind": "message",
            "user": "T:U1",
            "text": text,
            "at": 1_800_000_000.0 + number,
            "reply": {"channel": conversation.rpartition(":")[2], "thread_ts": None},
            **more,
        }
    )


def test_a_question_is_answered_once_however_often_it_comes(office: Office) -> None:
    for _ in range(3):
        assert office.take(message("how much is shipping?")) == []
    assert len(office.said) == 1
    assert "4.90 euros" in office.said[0]


def test_the_conversation_goes_on_where_it_stopped(office: Office) -> None:
    office.network.answers["/orders/47110"] = Page(200, {"status": "on its way", "expected": "Friday"})
    office.take(message("where is my order?", 1))
    office.take(message("47110", 2))
    assert office.said[1] == "Order 47110 is on its way. It should arrive on Friday."
    method, url, headers, _ = next(request for request in office.network.requests if "shop.example" in request[1])
    assert (method, url, headers["authorization"]) == ("GET", "https://shop.example/orders/47110", "Bearer t-1")


def test_after_a_week_a_conversation_is_a_new_one(office: Office) -> None:
    office.take(message("where is my order?", 1))
    office.clock += 8 * 24 * 3600
    office.take(message("47110", 2))
    assert "Order 47110" not in office.said[1]


def test_a_handover_writes_the_ticket_before_it_promises(office: Office) -> None:
    office.take(message("I want to talk to a human"))
    (ticket,) = office.tickets.kept.values()
    assert (ticket.handover, ticket.reason) == (True, "a person was asked for")
    assert "person" in office.said[0]


def test_a_busy_platform_is_tried_again_and_what_is_behind_waits(office: Office) -> None:
    office.network.busy = 1
    first, second, other = message("shipping costs", 1), message("opening hours", 2), message("hello", 1, "slack:T:D2")
    assert office.take(first, second, other) == ["0", "1"]
    assert office.take(first, second) == []
    assert ["4.90" in text for text in office.said] == [False, True, False]


def test_what_the_platform_refuses_is_a_dead_letter_with_its_reason(office: Office) -> None:
    office.network.answers["chat.postMessage"] = Page(200, {"ok": False, "error": "channel_not_found"})
    assert office.take(message("shipping costs")) == []
    assert office.dead.letters[0][1] == "Slack refuses the answer: channel_not_found"


def test_an_answer_that_was_announced_is_taken_back_where_there_is_none(office: Office) -> None:
    """After a handover the person has the word, and Discord would show for good that somebody is thinking."""
    place = {"application_id": "1", "token": "t", "deferred": True}
    for number, text in enumerate(("I want to talk to a human", "are you there?", "hello?")):
        assert office.take(message(text, number, platform="discord", reply=place)) == []
    assert [method for method, *_ in office.network.requests] == ["PATCH", "PATCH", "DELETE"]
    office.network.answers["@original"] = Page(404, None)  # it is gone: somebody was killed before noting it
    assert office.take(message("hello??", 4, platform="discord", reply=place)) == []
    assert office.dead.letters == []


def test_what_cannot_be_read_is_a_dead_letter(office: Office) -> None:
    event = event_of([("g", 1, '{"platform": "slack"}'), ("g", 2, "no JSON")])
    assert office.worker(event, Context()) == {"batchItemFailures": []}
    assert [reason.partition(":")[0] for _, reason in office.dead.letters] == ["the message cannot be read"] * 2


def test_an_agents_rerouting_is_learnt(office: Office) -> None:
    office.take(message("the thing with the thing"))
    office.take(message("", 2, kind="rerouted", value="8447320466431"))
    (learnt,) = office.lessons.learnt
    assert (learnt.prediction, learnt.helpful, learnt.label) == (UNSURE.prediction, False, "8447320466431")


class NoLease:
    """What there would be without Powertools."""

    def until(self, context: object) -> None: ...

    def __call__(self, queued: object, act: Callable[[], None], *, redriven: str = "") -> None:
        act()


@pytest.mark.parametrize(("once", "answers"), [(None, 1), (NoLease(), 2)], ids=["lease", "none"])
def test_of_two_workers_with_one_message_one_answers(book: Book, once: Any, answers: int) -> None:
    """The second comes while the first sends; without a lease the record alone has both of them do it."""
    office = Office(book, once=once)
    asked = message("how much is shipping?", platform="telegram", reply={"chat_id": 1})
    second: list[list[str]] = []

    def meanwhile() -> None:
        if any("begun" in item for item in office.table.items.values()) and not second:
            second.append([])  # so that it does not happen to the second as well
            second[0] = office.take(asked)

    office.fate.strike = meanwhile
    assert office.take(asked) == []
    assert second == [["0"] if answers == 1 else []]
    assert office.take(asked) == []
    assert len([url for _, url, _, _ in office.network.requests if url.endswith("/sendMessage")]) == answers


@pytest.mark.parametrize("text", ["how much is shipping?", "I want to talk to a human"])
def test_killed_at_any_request_the_next_worker_goes_on_when_the_lease_has_ended(book: Book, text: str) -> None:
    for last in range(1, 100):
        office = Office(book)
        office.fate.strike = dying_at(last)
        try:
            office.take(message(text))
        except Killed:
            office.fate.strike = lambda: None
            office.take(message(text))  # too early: it is told to come later, unless the lease was not taken yet
            office.table.ahead += TIMEOUT + 1
            assert office.take(message(text)) == []
            assert (len(office.said), len(office.tickets.kept)) == (1, int("human" in text))
        else:
            break
    assert 10 < last < 99


def dying_at(last: int) -> Callable[[], None]:
    left = iter(range(last - 1, -1, -1))

    def strike() -> None:
        if next(left, 1) == 0:
            raise Killed

    return strike


def test_what_was_refused_is_done_with_until_it_is_sent_again(office: Office) -> None:
    office.network.answers["chat.postMessage"] = Page(200, {"ok": False, "error": "channel_not_found"})
    for _ in range(2):
        assert office.take(message("shipping costs")) == []
    assert len(office.dead.letters) == 1
    assert office.take(message("shipping costs"), redriven="letter-0") == []
    assert office.dead.redriven == ["", "letter-0"]
    del office.network.answers["chat.postMessage"]
    assert office.take(message("shipping costs")) == []
    assert office.said == []
    for _ in range(2):
        assert office.take(message("shipping costs"), redriven="letter-1") == []
    assert len(office.said) == 1
    assert len(office.dead.letters) == 2


def test_every_recorded_request_can_be_worked_on(book: Book, hook: Hook) -> None:
    office = Office(book)
    secret = {"bot_token": "t", "reply_url": "https://x.example", "signing_secret": "c2VjcmV0", "subdomain": "shop"}
    secret |= {"email": "bot@shop.example", "api_token": "z"}
    SECRET.update(secret)
    for name in ("slack/message", "discord/message", "telegram/message", "teams/message", "zendesk/message"):
        hook.recorded(name)
    hook.send("standard", body_of("standard/message"))
    for incoming in hook.queue.taken:
        assert office.take(incoming) == []
    assert office.dead.letters == []
    hosts = {url.split("/")[2] for _, url, _, _ in office.network.requests}
    assert hosts >= {"slack.com", "discord.com", "api.telegram.org", "x.example", "shop.zendesk.com"}


def test_two_workers_with_one_conversation_decide_one_after_the_other(office: Office) -> None:
    conversation, revision = office.records.conversation("slack:T:D1")
    office.records.decide(message("a", 1), conversation, revision, [])
    with pytest.raises(Overtaken):
        office.records.decide(message("b", 2), conversation, revision, [])
    with pytest.raises(Overtaken):
        office.records.decide(message("a", 1), conversation, revision + 1, [])


def test_the_same_holds_over_dynamodb(book: Book, dynamodb: Any) -> None:
    office = Office(book, table=dynamodb)
    office.network.answers["/orders/47110"] = Page(200, {"status": "on its way", "expected": "Friday"})
    for _ in range(2):
        office.take(message("where is my order?", 1))
        office.take(message("47110", 2))
    assert len(office.said) == 2
    conversation, revision = office.records.conversation("slack:T:D1")
    with pytest.raises(Overtaken):
        office.records.decide(message("47110", 2), conversation, revision, [])
    with pytest.raises(Overtaken):
        office.records.decide(message("new", 3), conversation, revision - 1, [])
    office.records.fail(message("47110", 2), "why")


def test_a_thousand_messages_are_answered_once_each_and_in_order(book: Book) -> None:
    """Delivered one to four times each, shuffled; the worker is killed at any border of the process."""
    chance = random.Random(7)
    fate = Fate()
    office, queue = Office(book, fate=fate), Queue()
    texts = ["how much is shipping?", "how do I wash down", "are returns free", "how can I pay"]
    messages = [message(f"{texts[n % 4]} {n}", n, f"slack:T:D{c}") for c in range(50) for n in range(20)]
    deliveries = [each for each in messages for _ in range(chance.randint(1, 4))]
    chance.shuffle(deliveries)
    first: dict[str, list[str]] = defaultdict(list)
    for each in deliveries:
        queue.put(each)
        if each.event_id not in first[each.conversation]:
            first[each.conversation].append(each.event_id)

    def strike() -> None:
        if chance.random() < 0.02:
            raise Killed

    kills = 0
    for _ in range(20_000):
        batch = queue.batch(chance.shuffle)
        if not batch:
            break
        fate.strike = strike
        try:
            failed = {each["itemIdentifier"] for each in office.worker(event_of(batch), Context())["batchItemFailures"]}
        except Killed:
            kills += 1
            office.table.ahead += TIMEOUT  # its leases end; the queue waits six times as long
            continue  # nothing is forgotten, and all of the batch comes again
        finally:
            fate.strike = lambda: None
        for group, number, _ in batch:
            if str(number) not in failed:
                queue.forget(group, number)
    assert not queue.batch(chance.shuffle)
    assert kills > 100
    assert len(office.network.posts) == 1_000
    assert office.dead.letters == []
    answered: dict[str, list[str]] = defaultdict(list)
    keys = {key_of(each): each for each in messages}
    for post in office.network.posts:
        incoming = keys[post["metadata"]["event_payload"]["key"]]
        answered[incoming.conversation].append(incoming.event_id)
    assert answered == first


def key_of(incoming: Incoming) -> str:
    from functions.chat.worker import _key

    return _key(incoming, 0)
