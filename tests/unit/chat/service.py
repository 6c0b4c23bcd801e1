"""Stand-ins of what is not ours: Slack's API and others over a fake network, and DynamoDB's table in memory."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import orjson
from botocore.exceptions import ClientError

from functions.chat.assistant.conversation import Learnt, Routing, Ticket
from functions.chat.message import Incoming
from functions.chat.web import Page, TryLater

TIMEOUT = 60  # seconds that the function may run


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
    ahead: int = 0

    class exceptions:
        TransactionCanceledException = Cancelled

    def get_item(self, *, TableName: str, Key: Any, ConsistentRead: bool) -> dict[str, Any]:
        self.fate.strike()
        item = self.items.get(Key["pk"]["S"])
        return {} if item is None else {"Item": dict(item)}

    def update_item(
        self,
        *,
        TableName: str,
        Key: Any,
        UpdateExpression: str,
        ExpressionAttributeValues: Any,
        ExpressionAttributeNames: Mapping[str, str] | None = None,
    ) -> None:
        self.fate.strike()
        names = ExpressionAttributeNames or {}
        item = self.items.setdefault(Key["pk"]["S"], dict(Key))
        for change in UpdateExpression.removeprefix("SET ").split(", "):
            name, value = change.split(" = ")
            item[names.get(name, name)] = ExpressionAttributeValues[value]
        self.fate.strike()

    def put_item(self, *, Item: Any, ExpressionAttributeValues: Any, **more: Any) -> None:
        """A lease; time has gone on by `ahead` seconds."""
        self.fate.strike()
        now, millis = (int(ExpressionAttributeValues[name]["N"]) for name in (":now", ":now_in_millis"))
        found = self.items.get(Item["pk"]["S"])
        if found is not None and not _over(found, now + self.ahead, millis + 1000 * self.ahead):
            error = {"Error": {"Code": "ConditionalCheckFailedException"}, "Item": found}
            raise ClientError(error, "PutItem")  # type: ignore[arg-type]
        self.items[Item["pk"]["S"]] = dict(Item)
        self.fate.strike()

    def delete_item(self, *, TableName: str, Key: Any) -> None:
        self.fate.strike()
        self.items.pop(Key["pk"]["S"], None)
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
            case "attribute_not_exists(jobs)":
                return found is None or "jobs" not in found
            case "attribute_not_exists(pk) OR revision = :revision":
                return found is None or found["revision"] == values[":revision"]
            case "done = :done":
                return found is not None and found["done"] == values[":done"]
        raise AssertionError(put["ConditionExpression"])


def _over(item: Mapping[str, Any], now: int, millis: int) -> bool:
    if int(item["expires"]["N"]) < now:
        return True
    return item["status"]["S"] == "INPROGRESS" and int(item["in_progress_expiration"]["N"]) < millis


@dataclass
class Context:
    """Lambda's, as far as it is used."""

    left: float = TIMEOUT

    def get_remaining_time_in_millis(self) -> int:
        return int(self.left * 1000)


@dataclass
class Waits:
    """How long messages are hidden."""

    seconds: list[float] = field(default_factory=list)

    def later(self, receipt: str, seconds: float) -> None:
        self.seconds.append(seconds)


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
    redriven: list[str] = field(default_factory=list)

    def put(self, body: str, group: str, reason: str, *, identity: str, redriven: str = "") -> None:
        self.letters.append((body, reason))
        self.redriven.append(redriven)


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


def event_of(batch: list[tuple[str, int, str]], *, tries: int = 1, redriven: str = "") -> dict[str, Any]:
    attributes = {"redriven": {"stringValue": redriven, "dataType": "String"}} if redriven else {}
    return {
        "Records": [
            {
                "messageId": str(number),
                "receiptHandle": f"receipt-{number}",
                "body": body,
                "attributes": {"MessageGroupId": group, "ApproximateReceiveCount": str(tries)},
                "messageAttributes": attributes,
            }
            for group, number, body in batch
        ]
    }


def text_of(post: Mapping[str, Any]) -> str:
    return json.dumps(post, ensure_ascii=False)
