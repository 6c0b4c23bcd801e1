"""What the three functions open when they start."""

from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools import Logger

from functions.chat import openapi
from functions.chat.environment import HookEnvironment, OperatorEnvironment, WorkerEnvironment
from functions.chat.hook import HookDoor
from functions.chat.operations.orders import PLATFORMS as OPERATED
from functions.chat.operations.orders import concerns
from functions.chat.platforms import PLATFORMS
from functions.chat.queues import DeadLetters, FifoQueue, Switch
from functions.chat.secrets import Secrets

if TYPE_CHECKING:
    from functions.chat.keys import Keys
    from functions.chat.once import Once
    from functions.chat.operations.operator import Operator
    from functions.chat.records import Records
    from functions.chat.tickets import Sink
    from functions.chat.web import Web
    from functions.chat.worker import Worker
    from lastmile.store import Store

OWN_SECRETS = ("tickets", "shop")  # of the ticket sink's receiver, and of the services that actions call


def open_hook(environ: Mapping[str, str]) -> HookDoor:
    environment = HookEnvironment.from_env(environ)
    secrets = Secrets(Client("secretsmanager"), environment.secrets, names=frozenset(PLATFORMS))
    folder = Path(environ.get("LAMBDA_TASK_ROOT", "."))
    sqs = Client("sqs")
    assistant, operations = FifoQueue(sqs, environment.queue), FifoQueue(sqs, environment.operations)
    return HookDoor(
        secrets, Switch(assistant, operations, concerns=concerns), document=lambda: openapi.describe(folder)
    )


def open_worker(environ: Mapping[str, str]) -> "Worker":
    from functions.chat.actions import Actions
    from functions.chat.assistant.assistant import Assistant
    from functions.chat.assistant.book import Book
    from functions.chat.delivery import Delivery
    from functions.chat.inbox import Inbox
    from functions.chat.keys import Keys
    from functions.chat.lessons import Lessons
    from functions.chat.message import Incoming
    from functions.chat.team import Team
    from functions.chat.web import Internet
    from functions.chat.worker import Worker
    from lastmile.capture import Capture
    from lastmile.model import threads_for
    from lastmile.predictor import Predictor
    from lastmile.registry import Registry
    from lastmile.settings import Settings

    environment = WorkerEnvironment.from_env(environ)
    settings = Settings.from_env(environ)
    logger = Logger(serialize_stacktrace=False)
    log = telling(logger)
    web, sqs = Internet(), Client("sqs")
    secrets = Secrets(Client("secretsmanager"), environment.secrets, names=frozenset((*PLATFORMS, *OWN_SECRETS)))
    keys = Keys(secrets.of, secrets.again)
    book = Book.open(Path(environ.get("LAMBDA_TASK_ROOT", ".")) / environment.book)
    artifacts, data = stores(environ, environment.artifacts, environment.data)
    predictor = Predictor(
        Registry(artifacts),
        threads=threads_for(settings.memory_mb),
        release_seconds=settings.release_seconds,
        capture=Capture() if settings.capture else None,
    )
    team = Team(predictor, book.model, warn=logger.warning)
    once, records = tables(environment.table)
    return Worker(
        Assistant(book),
        inbox=Inbox(
            FifoQueue(sqs, environment.queue),
            read=Incoming.from_bytes,
            once=once,
            records=records,
            dead=DeadLetters(sqs, environment.dead),
            log=log,
        ),
        records=records,
        team=team,
        actions=Actions(book, web, lambda: keys.newest("shop")),
        delivery=Delivery(web, keys),
        tickets=tickets(web, keys, environment),
        lessons=Lessons(data, book.model, groups=environment.groups, label=team.label, log=log),
    )


def open_operator(environ: Mapping[str, str]) -> "Operator":
    from functions.chat.inbox import Inbox
    from functions.chat.keys import Keys
    from functions.chat.operations.board import Board
    from functions.chat.operations.carrying import Carrying
    from functions.chat.operations.looking import Looking
    from functions.chat.operations.operator import Operator, read
    from functions.chat.operations.people import People
    from functions.chat.operations.reviews import Reviews
    from functions.chat.operations.writing import Writing
    from functions.chat.tickets import tell
    from functions.chat.web import Internet
    from lastmile.answering import Answering, wake
    from lastmile.approvals import Approvals
    from lastmile.bus import Bus
    from lastmile.executions import described
    from lastmile.registry import Registry

    environment = OperatorEnvironment.from_env(environ)
    log = telling(Logger(serialize_stacktrace=False))
    manager, sqs, events, steps = (Client(name) for name in ("secretsmanager", "sqs", "events", "stepfunctions"))
    artifacts, data = stores(environ, environment.artifacts, environment.data)
    registry = Registry(artifacts)
    approvals = Approvals(data)
    bus = Bus(environment.bus, lambda: events)
    secrets = Secrets(manager, environment.secrets, names=frozenset(OPERATED))
    queue = FifoQueue(sqs, environment.queue)
    once, records = tables(environment.table)
    return Operator(
        board=Board(Internet(), Keys(secrets.of, secrets.again)),
        people=People(manager, environment.secrets),
        writing=Writing(registry),
        carrying=Carrying(
            registry,
            approvals=approvals,
            answering=Answering(registry, approvals, lambda token: wake(steps, token)),
            reviews=Reviews(registry, data, lambda kind, detail: tell(bus, kind, detail)),
            looking=Looking(registry, data, ask=lambda arn: described(steps, arn)),
        ),
        records=records,
        queue=queue,
        inbox=Inbox(queue, read=read, once=once, records=records, dead=DeadLetters(sqs, environment.dead), log=log),
        log=log,
    )


def stores(environ: Mapping[str, str], *uris: str) -> "list[Store]":
    from snapshot_restore_py import register_after_restore

    from lastmile.store import Store

    opened = [Store.open(uri, environ=environ) for uri in uris]
    for store in opened:
        register_after_restore(store.reconnect)
    return opened


def tables(name: str) -> "tuple[Once, Records]":
    """What was done, and what is known of a conversation: both in one table."""
    from snapshot_restore_py import register_before_snapshot

    from functions.chat.once import Once
    from functions.chat.records import Records

    dynamodb = Client("dynamodb")
    once = Once(dynamodb, name)
    register_before_snapshot(once.warm_up)
    return once, Records(dynamodb, name)


def tickets(web: "Web", keys: "Keys", environment: WorkerEnvironment) -> "Sink":
    """The event bus gets each of them, and the services that have a secret."""
    from functions.chat.tickets import All, Announced, Webhook, Zendesk
    from lastmile.bus import Bus

    return All(
        (
            Announced(Bus(environment.bus, lambda: Client("events"))),
            Zendesk(web, lambda: keys.newest("zendesk"), groups=environment.groups),
            Webhook(web, lambda: keys.newest("tickets")),
        )
    )


def telling(logger: Logger) -> Callable[..., None]:
    def log(event: str, **facts: Any) -> None:
        logger.info(event, extra=facts)

    return log


class Client:
    """boto3's client of a service, made when it is first used: importing boto3 takes longer than all the rest."""

    def __init__(self, service: str) -> None:
        self._service = service

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)

    @cached_property
    def _made(self) -> Any:
        import boto3
        from botocore.config import Config

        retries: Any = {"mode": "standard", "total_max_attempts": 3}
        settings = Config(connect_timeout=1, read_timeout=3, retries=retries)
        return boto3.client(self._service, config=settings)  # type: ignore[call-overload]
