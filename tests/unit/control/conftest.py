"""The control function as API Gateway calls it, over a registry in memory."""

import asyncio
import json
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlencode

import pytest

from functions.control.door import LambdaDoor
from lastmile.registry import Registry
from lastmile.store import Store

EVENT: dict[str, Any] = json.loads((Path(__file__).parents[3] / "events/control-http.json").read_bytes())
ALL_SCOPES = "lastmile/feedback lastmile/read lastmile/operate lastmile/approve"


@dataclass(frozen=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: Any


type Call = Callable[..., Answer]


def event(
    method: str,
    path: str,
    body: object = None,
    *,
    scope: str | None = ALL_SCOPES,
    claims: Mapping[str, str] = MappingProxyType({}),
    headers: Mapping[str, str] = MappingProxyType({}),
    **query: object,
) -> dict[str, Any]:
    """The recorded event with another request in it; a body that is no text becomes JSON, no scope means no token."""
    made = deepcopy(EVENT)
    made["rawPath"] = made["requestContext"]["http"]["path"] = path
    made["requestContext"]["http"]["method"] = method
    made["rawQueryString"] = urlencode(query)
    made["headers"] |= headers
    if scope is None:
        del made["requestContext"]["authorizer"]
    else:
        made["requestContext"]["authorizer"]["jwt"]["claims"] |= {"scope": scope, **claims}
    if body is not None:
        made["headers"]["content-type"] = "application/json"
        made["body"] = body if isinstance(body, str) else json.dumps(body)
    return made


@pytest.fixture
def registry() -> Registry:
    return Registry(Store.open("memory://", environ={}))


@pytest.fixture
def data() -> Store:
    return Store.open("memory://", environ={})


@pytest.fixture
def call(registry: Registry, data: Store) -> Iterator[Call]:
    door = LambdaDoor(registry, data, token_url="https://auth.example.com/oauth2/token")

    def ask(method: str, path: str, body: object = None, **details: Any) -> Answer:
        answer = door(event(method, path, body, **details), None)
        assert answer["headers"]["content-type"] == "application/json"
        return Answer(answer["statusCode"], answer["headers"], json.loads(answer["body"]))

    yield ask
    asyncio.get_event_loop().close()  # the door's
