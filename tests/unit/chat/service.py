"""Stand-ins of what is not ours: Slack's API and others over a fake network, and DynamoDB's table in memory."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson

from functions.chat.assistant.conversation import Learnt, Routing, Ticket
from functions.chat.message import Incoming
from functions.chat.web import Page, TryLater


class Killed(BaseException):
    """The process ends here, as when Lambda takes it away."""


@dataclass
class Fate:
    """Called at each border of the process; may raise Killed."""

    strike: Callable[[], None] = lambda: None


@dataclass
class Network:
    """What `Web` reaches: Slack, whose posts are `posts`, and the shop's services."""

    fate: Fate = field(default_factory=Fate)
    posts: list[dict[str, Any]] = field(default_factory=list)
    requests: list[tuple[str, str, Mapping[str, str], Any]] = field(default_factory=list)
    answers: dict[str, Page] = field(default_factory=dict)  # by a part of the URL
    busy: int = 0  # so many requests are answered with "later"

    def send(
        self, method: str, url: str, *, headers: Mapping[str, str], body: Any = None, seconds: float = 3.0
    ) -> Page:
        self.fate.strike()
        if self.busy:
            self.busy -= 1
            raise TryLater("slack.com answers 429", 1.0)
        sent = orjson.loads(body) if isinstance(body, bytes) else body
        self.requests.append((method, url, dict(headers), sent))
        page = self._answer(method, url, sent)
        self.fate.strike()
        return page

    def _answer(self, method: str, url: str, body: Any) -> Page:
        for part, page in self.answers.items():
            if part in url:
                return page
        if url.endswith("/api/chat.postMessage"):
            self.posts.append(body)
            return Page(200, {"ok": True, "ts": str(len(self.posts))})
        if "/api/conversations." in url:
            query = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
            found = [post for post in self.posts if post["channel"] == query["channel"]]
            found = [post for post in found if post.get("thread_ts") == query.get("ts")]
            return Page(200, {"ok": True, "messages": found[-100:]})
        return Page(200, {"ok": True})


class Cancelled(Exception):
    pass


@dataclass
class Table:
    """DynamoDB's client as far as it is used: one table with the key `pk`."""

    fate: Fate = field(default_factory=Fate)
    items: dict[str, dict[str, Any]] = field(default_factory=dict)

    class exceptions:
        TransactionCanceledException = Cancelled

    def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:
        self.fate.strike()
        item = self.items.get(Key["pk"]["S"])
        return {} if item is None else {"Item": dict(item)}

    def update_item(self, *, Key: Any, UpdateExpression: str, ExpressionAttributeValues: Any, TableName: str) -> None:
        self.fate.strike()
        name = UpdateExpression.split()[1]
        (value,) = ExpressionAttributeValues.values()
        self.items.setdefault(Key["pk"]["S"], dict(Key))[name] = value
        self.fate.strike()

    def transact_write_items(self, *, TransactItems: list[Any]) -> None:
        self.fate.strike()
        puts = [item["Put"] for item in TransactItems]
        if not all(self._allowed(put) for put in puts):
            raise Cancelled
        for put in puts:
            self.items[put["Item"]["pk"]["S"]] = put["Item"]
        self.fate.strike()

    def _allowed(self, put: dict[str, Any]) -> bool:
        found = self.items.get(put["Item"]["pk"]["S"])
        values = put.get("ExpressionAttributeValues", {})
        match put["ConditionExpression"]:
            case "attribute_not_exists(pk)":
                return found is None
            case "attribute_not_exists(pk) OR revision = :revision":
                return found is None or found["revision"] == values[":revision"]
            case "done = :done":
                return found is not None and found["done"] == values[":done"]
        raise AssertionError(put["ConditionExpression"])


@dataclass
class Tickets:
    """Told twice, kept once, as the key asks."""

    fate: Fate = field(default_factory=Fate)
    kept: dict[str, Ticket] = field(default_factory=dict)

    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        self.fate.strike()
        self.kept.setdefault(key, ticket)
        self.fate.strike()


@dataclass
class Lessons:
    learnt: list[Learnt] = field(default_factory=list)

    def put(self, learnt: Learnt, message: Incoming) -> None:
        self.learnt.append(learnt)


@dataclass
class Dead:
    letters: list[tuple[str, str]] = field(default_factory=list)  # body, reason

    def put(self, body: str, group: str, reason: str) -> None:
        self.letters.append((body, reason))


@dataclass
class Team:
    routing: Routing | None = None

    def of(self, text: str, conversation: str) -> Routing | None:
        return self.routing


@dataclass
class Queue:
    """SQS FIFO without its five minutes of deduplication: each group in order, its first message again if it failed."""

    groups: dict[str, list[tuple[int, str]]] = field(default_factory=lambda: defaultdict(list))
    number: int = 0

    def put(self, message: Incoming) -> None:
        self.number += 1
        self.groups[message.conversation].append((self.number, message.to_bytes().decode()))

    def batch(self, order: Callable[[list[str]], None]) -> list[tuple[str, int, str]]:
        """Up to ten messages, of some groups from their fronts on."""
        waiting = [group for group, messages in self.groups.items() if messages]
        order(waiting)
        found = [(group, *message) for group in waiting[:4] for message in self.groups[group][:3]]
        return found[:10]

    def forget(self, group: str, number: int) -> None:
        self.groups[group] = [message for message in self.groups[group] if message[0] != number]


def event_of(batch: list[tuple[str, int, str]]) -> dict[str, Any]:
    return {
        "Records": [
            {"messageId": str(number), "body": body, "attributes": {"MessageGroupId": group}}
            for group, number, body in batch
        ]
    }


def text_of(post: Mapping[str, Any]) -> str:
    return json.dumps(post, ensure_ascii=False)
