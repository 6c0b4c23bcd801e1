"""The platforms' secrets, from Secrets Manager: kept for a while, and rotated without a deployment."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import orjson

from lastmile.errors import LastmileError

KEEP_SECONDS = 300  # a secret is read again at most this often while requests are authentic
DOUBT_SECONDS = 15  # and this often when one is not, or an answer is refused: the secret may just have been rotated
GRACE_SECONDS = 24 * 3600  # how long the secret before the newest one is accepted too

type Document = Mapping[str, str]


class SecretsUnavailable(LastmileError):
    """Secrets Manager does not answer, or what it holds cannot be read."""


class Client(Protocol):
    """What is used of boto3's `secretsmanager` client."""

    def get_secret_value(self, *, SecretId: str, VersionStage: str) -> Mapping[str, Any]: ...  # noqa: N803


@dataclass(frozen=True, slots=True)
class Held:
    """The newest document and, while it is accepted, the one before; `read_at` by the clock."""

    documents: tuple[Document, ...]
    read_at: float


class Secrets:
    """One secret per platform, `<prefix>/<platform>`: a JSON object of texts.

    The version before (stage AWSPREVIOUS) is accepted for `GRACE_SECONDS` after the newest one was made.
    """

    def __init__(
        self, client: Client, prefix: str, *, clock: Callable[[], float] = time.time, names: frozenset[str]
    ) -> None:
        self._client = client
        self._prefix = prefix
        self._clock = clock
        self._names = names
        self._held: dict[str, Held] = {}
        self._lock = threading.Lock()

    def of(self, platform: str, *, doubted: bool = False) -> tuple[Document, ...]:
        """Newest first; empty where the platform is not set up. `doubted` after a signature that did not fit."""
        if platform not in self._names:
            return ()
        held = self._held.get(platform)
        keep = DOUBT_SECONDS if doubted else KEEP_SECONDS
        if held is None or self._clock() - held.read_at > keep:
            with self._lock:
                held = self._held.get(platform)
                if held is None or self._clock() - held.read_at > keep:
                    held = self._held[platform] = self._read(platform)
        return held.documents

    def again(self, platform: str) -> tuple[Document, ...]:
        """`of`, doubted."""
        return self.of(platform, doubted=True)

    def forget(self) -> None:
        """Read all of them again when they are asked for: a snapshot may be restored long after it was taken, and holds
        no secret."""
        self._held.clear()

    def _read(self, platform: str) -> Held:
        newest = self._version(platform, "AWSCURRENT")
        if newest is None:
            return Held((), self._clock())
        documents = [_document(newest)]
        made = newest["CreatedDate"].timestamp()
        if self._clock() - made < GRACE_SECONDS:
            before = self._version(platform, "AWSPREVIOUS")
            documents += [] if before is None else [_document(before)]
        return Held(tuple(documents), self._clock())

    def _version(self, platform: str, stage: str) -> Mapping[str, Any] | None:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return self._client.get_secret_value(SecretId=f"{self._prefix}/{platform}", VersionStage=stage)
        except ClientError as error:
            if error.response["Error"]["Code"] == "ResourceNotFoundException":
                return None
            raise SecretsUnavailable(f"the secret of {platform} cannot be read") from error
        except BotoCoreError as error:
            raise SecretsUnavailable(f"the secret of {platform} cannot be read") from error


def _document(version: Mapping[str, Any]) -> Document:
    try:
        document = orjson.loads(version["SecretString"])
    except (KeyError, orjson.JSONDecodeError):
        raise SecretsUnavailable("a secret is not JSON") from None
    if not isinstance(document, dict):
        raise SecretsUnavailable("a secret is no JSON object")
    return {name: value for name, value in document.items() if isinstance(value, str) and value}
