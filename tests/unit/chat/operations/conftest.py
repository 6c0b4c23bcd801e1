"""The operators' function with everything around it, all sharing one fate: platforms, queue, registry and pipeline."""

import json
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

from functions.chat.inbox import Inbox
from functions.chat.keys import Keys
from functions.chat.message import Incoming
from functions.chat.once import Once
from functions.chat.operations.board import Board
from functions.chat.operations.carrying import Carrying
from functions.chat.operations.looking import Looking
from functions.chat.operations.operator import Operator, read
from functions.chat.operations.people import People
from functions.chat.operations.reviews import Reviews
from functions.chat.operations.writing import Writing
from functions.chat.records import Records
from lastmile.answering import Answering
from lastmile.approvals import Approval, Approvals
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec
from tests.unit.chat.service import Context, Dead, Fate, Network, Queue, Table, event_of

NOW = 1_800_000_000.0
RUN = "20270115T080000Z-9f86d081884c"
PREDICTION = "01KEZ6N1G0RDVX8Q5H4BEHNKF8"  # of January 2026
X = TensorSpec("x", "FP32", (-1, 2), ("age", "income"))
LABEL = TensorSpec("label", "INT64", (-1,))
CHANCES = TensorSpec("probabilities", "FP32", (-1, 2), ("0", "1"))
SPEC = ModelSpec("fraud", "classification", "Is it a fraud?", (X,), (LABEL, CHANCES))
GRAPH = Signature((X,), (LABEL, CHANCES))
SECRETS: dict[str, dict[str, str]] = {
    "slack": {"bot_token": "xoxb-1", "operations": "C9"},
    "discord": {"bot_token": "d-1", "operations": "645"},
    "telegram": {"bot_token": "t-1", "operations": "-100"},
    "teams": {"reply_url": "https://teams.example/in", "operations": "https://teams.example/ops"},
    "standard": {
        "signing_secret": "c2VjcmV0",
        "reply_url": "https://r.example/in",
        "operations": "https://r.example/o",
    },
}
ANN, BOB, EVE = ("slack:T9TK3CUKW:UA8RXUSPL", "slack:T9TK3CUKW:UBOB", "slack:T9TK3CUKW:UEVE")


class Manager:
    """boto3's `secretsmanager`, as far as it is used."""

    def __init__(self, people: dict[str, str]) -> None:
        self.people = people
        self.broken = False

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> dict[str, Any]:
        if self.broken:
            raise ClientError({"Error": {"Code": "InternalServiceError"}}, "GetSecretValue")
        if not self.people:
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        assert (SecretId, VersionStage) == ("lastmile/dev/chat/people", "AWSCURRENT")
        return {"SecretString": json.dumps(self.people)}


class Orders(Queue):
    """The operators' queue; what is postponed is noted."""

    postponed: list[float]

    def __init__(self) -> None:
        super().__init__()
        self.postponed = []

    def later(self, receipt: str, seconds: float) -> None:
        self.postponed.append(seconds)


@dataclass
class Room:
    connected: tuple[str, ...] = ("slack",)
    fate: Fate = field(default_factory=Fate)
    clock: float = NOW

    def __post_init__(self) -> None:
        self.network = Network(self.fate)
        self.registry = Registry(Store.open("memory://", environ={}))
        self.data = Store.open("memory://", environ={})
        self.approvals = Approvals(self.data)
        self.manager = Manager({ANN: "read operate approve", BOB: "read operate approve", EVE: "read"})
        self.queue, self.dead = Orders(), Dead()
        self.woken: list[str] = []
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.log: list[tuple[str, Any]] = []

        def tell(kind: str, detail: dict[str, Any]) -> None:
            self.fate.strike()
            self.events.append((kind, detail))

        def wake(token: str) -> None:
            self.fate.strike()
            self.woken.append(token)

        def now() -> float:
            return self.clock

        def log(event: str, **facts: Any) -> None:
            self.log.append((event, facts))

        self.table = Table(self.fate)
        records = Records(self.table, "chat", clock=now)
        self.operator = Operator(
            board=Board(self.network, Keys(lambda name: [SECRETS[name]] if name in self.connected else []), clock=now),
            people=People(self.manager, "lastmile/dev/chat"),
            writing=Writing(self.registry),
            carrying=Carrying(
                self.registry,
                approvals=self.approvals,
                answering=Answering(self.registry, self.approvals, wake, clock=now),
                reviews=Reviews(self.registry, self.data, tell, clock=now),
                looking=Looking(self.registry, self.data),
                clock=now,
            ),
            records=records,
            queue=self.queue,  # type: ignore[arg-type]
            inbox=Inbox(self.queue, read=read, once=Once(self.table, "chat"), records=records, dead=self.dead, log=log),
            log=log,
        )

    def push(self, content: bytes = b"a model", **more: Any) -> int:
        facts: dict[str, Any] = {"metrics": {"auc": 0.91}, "lineage": {}, "compression": {}} | more
        return self.registry.push(SPEC, content, signature=GRAPH, actor="test", why="test", **facts).version

    def ask(self, version: int = 1, *, hours: float = 72.0) -> None:
        self.approvals.ask(Approval("fraud", version, RUN, NOW, NOW + hours * 3600, "a token"))

    def tell(self, kind: str, detail: dict[str, Any]) -> int:
        queued: int = self.operator(
            {"detail-type": kind, "source": "lastmile", "detail": detail, "id": "another each time"}, Context()
        )["queued"]
        return queued

    def work(self) -> int:
        """Everything in the queue, as often as it takes; how many batches that were."""
        for batches in range(100):
            batch = self.queue.batch(lambda groups: None)
            if not batch:
                return batches
            failed = {each["itemIdentifier"] for each in self.take(batch)}
            for group, number, _ in batch:
                if str(number) not in failed:
                    self.queue.forget(group, number)
        raise AssertionError("the queue never ends")

    def take(self, batch: list[tuple[str, int, str]]) -> list[dict[str, str]]:
        event = event_of(batch)
        for record in event["Records"]:
            record["eventSource"] = "aws:sqs"
        failed: list[dict[str, str]] = self.operator(event, Context())["batchItemFailures"]
        return failed

    def press(self, value: str, *, by: str = ANN, why: str = "", press: str = "trigger-1", **more: Any) -> str:
        """Press a button in Slack; what is answered."""
        self.send(slack_press(value, by=by, why=why, press=press, **more))
        return self.answered[-1]["text"] if self.answered else ""

    def send(self, message: Incoming) -> None:
        self.queue.put(message)
        self.work()

    @property
    def answered(self) -> list[dict[str, Any]]:
        """What was sent to Slack's own address for answers."""
        return [body for _, url, _, body in self.network.requests if url.startswith("https://hooks.slack.com/")]


def slack_press(value: str, *, by: str = ANN, why: str = "", press: str = "trigger-1", **more: Any) -> Incoming:
    place = {"channel": "C9", "thread_ts": "1.2", "response_url": "https://hooks.slack.com/actions/1/2/3"}
    return Incoming(
        platform="slack",
        event_id=press,
        conversation="slack:T9TK3CUKW:C9:1.2",
        kind="button",
        user=by.removeprefix("slack:"),
        text=why,
        at=NOW,
        value=value,
        about="1.2",
        reply=place | more,
    )


def wanted(version: int = 1) -> dict[str, Any]:
    """The detail of an event `ApprovalWanted`."""
    return {"id": RUN, "run": RUN, "model": "fraud", "version": version, "expires_at": NOW + 72 * 3600}


@pytest.fixture
def room() -> Room:
    return Room()


@pytest.fixture
def asked(room: Room) -> Room:
    """Version 1 serves, and a run asks about version 2."""
    room.push()
    room.registry.promote("fraud", 1, actor="test", why="first")
    room.push(b"a better model")
    room.ask(2)
    return room
