"""A hook door with secrets and a queue of its own, and the recorded requests of every platform."""

import base64
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from nacl.signing import SigningKey

from cli.webhooks import SIGN
from functions.chat.hook import HookDoor
from functions.chat.message import Incoming
from functions.chat.platforms import PLATFORMS
from functions.chat.queues import QueueUnavailable
from functions.chat.secrets import Secrets

EVENTS = Path(__file__).parents[3] / "events/chat"
RECORDED = sorted(path.relative_to(EVENTS).with_suffix("").as_posix() for path in EVENTS.glob("*/*.json"))
FORMS = tuple(f"slack/{name}" for name in ("button", "command", "reject", "unexplained", "block", "reason", "rollback"))
NOW = 1_800_000_000.0


def seed(number: int) -> str:
    return f"{number:02x}" * 32


def private(platform: str, number: int = 1) -> str:
    """What the platform signs with."""
    match platform:
        case "teams" | "standard":
            return base64.b64encode(bytes.fromhex(seed(number))).decode()
        case "discord":
            return seed(number)
        case _:
            return f"{platform}-secret-{number}"


def known(platform: str, number: int = 1) -> str:
    """What the hook knows of it."""
    if platform == "discord":
        return bytes(SigningKey(bytes.fromhex(private(platform, number))).verify_key).hex()
    return private(platform, number)


@dataclass
class SecretsManager:
    """As boto3's client: the versions of each secret, newest first, and when the newest was made."""

    versions: dict[str, list[str]] = field(default_factory=dict)
    made: float = 0.0
    reads: int = 0

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> Mapping[str, Any]:
        self.reads += 1
        found = self.versions.get(SecretId.rpartition("/")[2], [])
        index = ("AWSCURRENT", "AWSPREVIOUS").index(VersionStage)
        if index >= len(found):
            raise ClientError({"Error": {"Code": "ResourceNotFoundException"}}, "GetSecretValue")
        return {"SecretString": found[index], "CreatedDate": datetime.fromtimestamp(self.made, UTC)}

    def keep(self, platform: str, *numbers: int) -> None:
        name = PLATFORMS[platform].secret
        self.versions[platform] = [json.dumps({name: known(platform, number)}) for number in numbers]


@dataclass
class Messages:
    """A queue in memory."""

    taken: list[Incoming] = field(default_factory=list)
    broken: bool = False

    def put(self, message: Incoming) -> None:
        if self.broken:
            raise QueueUnavailable("the queue does not answer")
        self.taken.append(message)


@dataclass
class Hook:
    """The door as API Gateway calls it; `clock` is the time it sees."""

    manager: SecretsManager = field(default_factory=SecretsManager)
    queue: Messages = field(default_factory=Messages)
    clock: float = NOW

    def __post_init__(self) -> None:
        for platform in PLATFORMS:
            self.manager.keep(platform, 1)
        secrets = Secrets(self.manager, "lastmile/dev/chat", clock=lambda: self.clock, names=frozenset(PLATFORMS))
        self.door = HookDoor(secrets, self.queue, clock=lambda: self.clock)

    def send(
        self, platform: str, body: bytes, headers: Mapping[str, str] | None = None, *, key: int = 1, at: float = NOW
    ) -> tuple[int, str]:
        """Signed by the key, unless headers are given."""
        signed = SIGN[platform](body, private(platform, key), at) if headers is None else {}
        kind = "application/json" if body[:1] in b"{[" else "application/x-www-form-urlencoded"
        event = {
            "rawPath": f"/hooks/{platform}",
            "headers": {"content-type": kind} | signed | dict(headers or {}),
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }
        answer = self.door(event, None)
        return answer["statusCode"], answer["body"]

    def recorded(self, name: str) -> tuple[int, str]:
        return self.send(name.partition("/")[0], body_of(name))


def document_of(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EVENTS / f"{name}.json").read_bytes())
    return document


def body_of(name: str) -> bytes:
    """As the platform sends it."""
    document = document_of(name)
    return urlencode(document).encode() if name in FORMS else json.dumps(document).encode()


@pytest.fixture
def hook() -> Hook:
    return Hook()


@pytest.fixture
def dynamodb() -> Iterator[Any]:
    with mock_aws():
        client = boto3.client(
            "dynamodb", region_name="eu-west-1", aws_access_key_id="testing", aws_secret_access_key="testing"
        )
        client.create_table(
            TableName="chat",
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
            BillingMode="PAY_PER_REQUEST",
        )
        yield client
