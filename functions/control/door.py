"""The Lambda door: an API Gateway event in, its response out."""

import asyncio
from collections.abc import Mapping
from typing import Any

from mangum import Mangum
from snapshot_restore_py import register_after_restore

from functions.control.app import create_app
from functions.control.environment import Environment
from lastmile.registry import Registry
from lastmile.store import Store

type Event = dict[str, Any]


class LambdaDoor:
    """The app behind API Gateway. Lifespan would run on every call, so it is off."""

    def __init__(self, registry: Registry, data: Store, *, token_url: str) -> None:
        asyncio.set_event_loop(asyncio.new_event_loop())  # Mangum takes it, and Python no longer makes one
        self._adapter = Mangum(create_app(registry, data, token_url=token_url), lifespan="off")

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> "LambdaDoor":
        environment = Environment.from_env(environ)
        artifacts = Store.open(environment.artifacts, environ=environ)
        data = Store.open(environment.data, environ=environ)
        register_after_restore(artifacts.reconnect)
        register_after_restore(data.reconnect)
        return cls(Registry(artifacts), data, token_url=environment.token_url)

    def __call__(self, event: Event, context: Any) -> Event:
        answer: Event = self._adapter(event, context)
        return answer
