"""The doors of the inference function, each as one callable from request to answer."""

import asyncio
import base64
import http.client
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import numpy as np
import onnxruntime as ort
import uvicorn

from functions.inference.app import create_app, lambda_adapter
from functions.inference.asgi import App
from functions.inference.background import Background
from functions.inference.connection import Connection
from functions.inference.door import LambdaDoor
from functions.inference.metrics import Metrics
from functions.inference.server_door import ServerDoor
from functions.inference.serving import Serving
from lastmile.model import OnnxModel
from lastmile.policies import Decision
from lastmile.registry import Registry
from lastmile.settings import Settings
from lastmile.spec import ModelSpec
from lastmile.tensors import Signature, TensorSpec
from tests.unit.inference.graphs import classifier, echo, pair_only

WHO: Any = {"actor": "test", "why": "test"}
PIXELS = tuple(f"pixel_{row}_{column}" for row in range(8) for column in range(8))
DIGITS = Signature(
    (TensorSpec("image", "FP32", (-1, 64), columns=PIXELS),),
    (
        TensorSpec("label", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 10), columns=tuple("0123456789")),
    ),
)


READ = Decision("route", {"sure_from": 0.15, "unsure": "person", "review": ["person"]})


@dataclass(frozen=True)
class Sent:
    """`path` decoded, as a person would say it."""

    method: str
    path: str
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    query: str = ""


@dataclass(frozen=True)
class Answer:
    """`headers` are those of ours: what transports add is left out."""

    status: int
    headers: Mapping[str, str]
    body: bytes


type Door = Callable[[Sent], Answer]

OWN_HEADERS = (
    "allow",
    "cache-control",
    "content-type",
    "inference-header-content-length",
    "location",
    "retry-after",
    "vary",
)
OWN_PREFIXES = ("access-control-", "content-security", "lastmile-", "x-content-type")


def answer(status: int, headers: Mapping[str, str], body: bytes) -> Answer:
    own = {
        name.lower(): value
        for name, value in headers.items()
        if name.lower() in OWN_HEADERS or name.lower().startswith(OWN_PREFIXES)
    }
    return Answer(status, own, body)


def push(
    serving: Serving, name: str, data: bytes, signature: Signature | None = None, decision: Decision | None = None
) -> int:
    signature = signature or OnnxModel.open(data, threads=1).signature
    tensors: Any = {"inputs": signature.inputs, "outputs": signature.outputs}
    spec = ModelSpec(name=name, task="classification", description="", decision=decision, **tensors)
    registry = Registry(serving.store)
    return registry.push(spec, data, signature=signature, metrics={}, lineage={}, compression={}, **WHO).version


def open_serving(environ: Mapping[str, str] | None = None, **options: Any) -> Serving:
    """An empty registry in memory."""
    settings = {"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_CAPTURE": "off", **(environ or {})}
    return Serving.open(Settings.from_env(settings), settings, **options)


def fill(serving: Serving) -> Serving:
    """digits: 1 is champion, 2 was rejected, 3 is there; echo takes text; pair fails at run time."""
    registry = Registry(serving.store)
    for seed in (1, 2, 3):
        push(serving, "digits", classifier(seed), DIGITS, READ)
    push(serving, "echo", echo())
    push(serving, "pair", pair_only())
    registry.reject("digits", 2, **WHO)
    for model in ("digits", "echo", "pair"):
        registry.promote(model, 1, **WHO)
    return serving


def session(seed: int) -> Callable[[Any], tuple[Any, Any]]:
    """What ONNX Runtime itself says of an image, label and probabilities."""
    opened = ort.InferenceSession(classifier(seed), providers=["CPUExecutionProvider"])
    return lambda images: tuple(opened.run(None, {"image": np.asarray(images, np.float32)}))


def event_of(sent: Sent) -> dict[str, Any]:
    """As API Gateway makes it from a request, payload format 2.0."""
    try:
        text, is_base64 = sent.body.decode(), False
    except UnicodeDecodeError:
        text, is_base64 = base64.b64encode(sent.body).decode(), True
    return {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": quote(sent.path, safe="/:"),
        "rawQueryString": sent.query,
        "headers": {name.lower(): value for name, value in sent.headers.items()},
        "requestContext": {
            "http": {"method": sent.method, "path": quote(sent.path, safe="/:"), "sourceIp": "192.0.2.1"}
        },
        "body": text,
        "isBase64Encoded": is_base64,
    }


def through_event(handler: Callable[[dict[str, Any], Any], dict[str, Any]]) -> Door:
    def ask(sent: Sent) -> Answer:
        result = handler(event_of(sent), None)
        body = base64.b64decode(result["body"]) if result["isBase64Encoded"] else result["body"].encode()
        return answer(result["statusCode"], result["headers"], body)

    return ask


def through_asgi(app: App, *, piece: int = 65536) -> Door:
    """The body comes in pieces, as a server reads it."""

    async def cycle(sent: Sent) -> Answer:
        pieces = [sent.body[at : at + piece] for at in range(0, len(sent.body), piece)] or [b""]
        said: list[Any] = []

        async def receive() -> Any:
            return {"type": "http.request", "body": pieces.pop(0), "more_body": bool(pieces)}

        async def send(message: Any) -> None:
            said.append(message)

        headers = [(name.lower().encode(), value.encode()) for name, value in sent.headers.items()]
        await app(
            {
                "type": "http",
                "asgi": {"version": "3.0"},
                "http_version": "1.1",
                "method": sent.method,
                "scheme": "http",
                "path": sent.path,
                "raw_path": quote(sent.path).encode(),
                "query_string": sent.query.encode(),
                "root_path": "",
                "headers": headers,
                "client": ("192.0.2.1", 1),
                "server": ("127.0.0.1", 8080),
            },
            receive,
            send,
        )
        start, *bodies = said
        headers_back = {name.decode(): value.decode() for name, value in start["headers"]}
        body = b"".join(message["body"] for message in bodies)
        return answer(start["status"], headers_back, body)

    def ask(sent: Sent) -> Answer:
        with asyncio.Runner() as runner:
            return runner.run(cycle(sent))

    return ask


def through_socket(port: int) -> Door:
    def ask(sent: Sent) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        try:
            target = quote(sent.path, safe="/:") + (f"?{sent.query}" if sent.query else "")
            connection.request(sent.method, target, sent.body or None, dict(sent.headers))
            response = connection.getresponse()
            return answer(response.status, dict(response.headers), response.read())
        finally:
            connection.close()

    return ask


@contextmanager
def listening(app: Any, *, http: Any = Connection, timeout_keep_alive: int = 5) -> Iterator[int]:
    """The port at which uvicorn serves `app`, until the end of the block."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        config = uvicorn.Config(
            app,
            loop="uvloop",
            http=http,
            proxy_headers=False,
            ws="none",
            lifespan="on",
            access_log=False,
            log_level="warning",
            timeout_keep_alive=timeout_keep_alive,
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started:
                assert thread.is_alive()
                time.sleep(0.01)
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join()


def server_door(serving: Serving, *, quick: bool = False) -> ServerDoor:
    """With `quick` every prediction is taken for a short one."""
    door = ServerDoor(serving, metrics=Metrics(), background=Background())
    door.ready = True
    if quick:
        door._pace.is_quick = lambda key, body_bytes: True  # type: ignore[method-assign]
    return door


@contextmanager
def every_door(serving: Serving) -> Iterator[dict[str, Door]]:
    """All doors over one serving: which of them answers must make no difference."""
    adapter = lambda_adapter(serving)
    lambda_door = LambdaDoor(serving)
    lambda_door._adapter = adapter  # one event loop to close is enough
    try:
        with (
            listening(server_door(serving), http="httptools") as port,
            listening(server_door(serving, quick=True)) as quick_port,
        ):
            yield {
                "lambda": through_event(lambda_door),
                "mangum": through_event(adapter),
                "fastapi": through_asgi(create_app(serving)),
                "raw asgi": through_asgi(server_door(serving)),
                "uvicorn": through_socket(port),
                "connection": through_socket(quick_port),
            }
    finally:
        adapter.loop.close()
        asyncio.set_event_loop(None)
