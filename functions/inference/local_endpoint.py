"""SageMaker's runtime API on this machine, with the heavy sides of the registry behind it, and switches for everything
that can be wrong with an endpoint.

    POST /endpoints/<name>/invocations          as InvokeEndpoint has it
    POST /endpoints/<name>/async-invocations    as InvokeEndpointAsync has it; answers go to S3
    GET, PUT /_lastmile/switches                what is wrong, and how often it was asked

`python -m functions.inference.local_endpoint <fd>` serves on a listening socket that it inherits.
"""

import asyncio
import os
import re
import socket
import sys
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import orjson
import uvicorn

from functions.inference.asgi import Receive, Scope, Send, headers_of, send_response
from functions.inference.local_models import LocalModels
from functions.inference.local_triton import TritonError, run
from lastmile.errors import InvalidInput, LastmileError, NotFound
from lastmile.heavy import names
from lastmile.heavy.wire import BINARY, HEADER_SIZE, Payload
from lastmile.loaded import Loaded
from lastmile.protocols.messages import JSON, Response, json_response
from lastmile.registry import Registry
from lastmile.settings import Settings
from lastmile.store import Store
from lastmile.ulid import new_ulid

OUTPUTS = "pending/outputs"
OPERATION = re.compile(r"/endpoints/(?P<name>[^/]+)/(?P<later>async-)?invocations")
SWITCHES = "/_lastmile/switches"
NO_CAPACITY = (
    "Inference Component has no capacity to process this request. ApplicationAutoScaling may be in-progress (if "
    "configured) or try to increase the capacity by invoking UpdateInferenceComponentRuntimeConfig API."
)
GARBAGE = Payload(f"{BINARY};{HEADER_SIZE}7", b"garbage")
THREADS = 16
LOOKED_SECONDS = 0.02  # between two looks whether it is awake
GRACE_SECONDS = 1  # for calls under way: whoever stops this process does not wait long


@dataclass(frozen=True)
class Switches:
    """What is wrong. Asleep, it wakes `wake_seconds` after it was first asked, as an endpoint at zero copies does.
    `fail` is 500 (the service) or 424 (the model)."""

    asleep: bool = False
    wake_seconds: float = 0.0
    slow_seconds: float = 0.0
    fail: int = 0
    garbage: bool = False
    throttle: bool = False

    def changed(self, document: Any) -> "Switches":
        """Raises InvalidInput for what is no switch, or no position of it."""
        kinds = {field.name: field.type for field in fields(self)}
        if type(document) is not dict or not document.keys() <= kinds.keys():
            raise InvalidInput(f"the switches are {', '.join(kinds)}")
        for name, value in document.items():
            wanted = (int, float) if kinds[name] is float else kinds[name]
            if not isinstance(value, wanted) or value < 0:  # type: ignore[arg-type]
                raise InvalidInput(f"{name} is {value!r:.40}")
        return replace(self, **document)


class Refusal(Exception):
    """An error as the API words it."""

    def __init__(self, status: int, name: str, message: str, **more: Any) -> None:
        super().__init__(message)
        headers = {"content-type": JSON, "x-amzn-errortype": f"{name}:http://internal.amazon.com/coral/"}
        self.response = Response(status, headers, orjson.dumps({"Message": message, **more}))


class LocalEndpoint:
    """An ASGI application."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        settings = Settings.from_env(environ)
        self._environ = environ
        self._stage = settings.stage
        self._models = LocalModels(Registry(Store.open(settings.artifacts, environ=environ)), stage=settings.stage)
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="invocation")
        self._later = ThreadPoolExecutor(THREADS, thread_name_prefix="later")
        self._stores: dict[str, Store] = {}
        self._awake_at: float | None = 0.0  # None: nobody has asked since it fell asleep
        self._closing = threading.Event()
        self.switches = Switches()
        self.counts = {"invocations": 0, "asynchronous": 0, "answers": 0}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        pieces, message = [], await receive()
        while message.get("more_body"):
            pieces.append(message["body"])
            message = await receive()
        body = b"".join([*pieces, message.get("body", b"")])
        loop = asyncio.get_running_loop()
        response = await loop.run_in_executor(self._pool, self._answer, scope, headers_of(scope), body)
        await send_response(send, response)

    def set(self, document: Any) -> None:
        self.switches = self.switches.changed(document)
        self._awake_at = None if self.switches.asleep else 0.0

    def close(self) -> None:
        """Who waits for what is not answered by now is told that it failed, and may ask the next process."""
        self._closing.set()
        self._later.shutdown()
        self._pool.shutdown(cancel_futures=True)

    def _answer(self, scope: Scope, headers: Mapping[str, str], body: bytes) -> Response:
        try:
            return self._dispatched(scope["method"], scope["path"], headers, body)
        except Refusal as refusal:
            return refusal.response
        except (InvalidInput, orjson.JSONDecodeError) as error:
            return Refusal(400, "ValidationError", str(error)).response
        except Exception as error:  # noqa: BLE001 the one broad catch of this door
            sys.stderr.write(f"local endpoint: {type(error).__name__}: {error}\n")
            return Refusal(500, "InternalFailure", str(error)).response

    def _dispatched(self, method: str, path: str, headers: Mapping[str, str], body: bytes) -> Response:
        if path == SWITCHES and method in ("GET", "PUT"):
            if method == "PUT":
                self.set(orjson.loads(body))
            return json_response({**asdict(self.switches), **self.counts})
        if path == "/ping":
            return json_response({"status": "Healthy"})
        called = OPERATION.fullmatch(path)
        if method != "POST" or called is None:
            raise Refusal(404, "UnknownOperationException", f"there is no {method} {path:.100}")
        if not is_signed(headers.get("authorization", "")):
            raise Refusal(403, "MissingAuthenticationTokenException", "Missing Authentication Token")
        if called["later"]:
            return self._invoke_later(called["name"], headers)
        return self._invoke(called["name"], headers, body)

    def _invoke(self, endpoint: str, headers: Mapping[str, str], body: bytes) -> Response:
        self.counts["invocations"] += 1
        if endpoint != names.endpoint(self._stage):
            raise Refusal(400, "ValidationError", f"Endpoint {endpoint} of account 000000000000 not found.")
        self._check_throttle()
        if not self._is_awake():
            raise Refusal(400, "ValidationError", NO_CAPACITY)
        loaded = self._loaded(headers.get("x-amzn-sagemaker-inference-component", ""), asynchronous=False)
        self._closing.wait(self.switches.slow_seconds)
        if self.switches.fail == 500:
            raise Refusal(500, "InternalFailure", "An error occurred while processing the request.")
        payload = self._run(loaded, headers.get("content-type", ""), body)
        self.counts["answers"] += 1
        told = {"content-type": payload.content_type, "x-amzn-invoked-production-variant": "AllTraffic"}
        return Response(200, told, payload.body)

    def _invoke_later(self, endpoint: str, headers: Mapping[str, str]) -> Response:
        self.counts["asynchronous"] += 1
        self._check_throttle()
        if self.switches.fail == 500:
            raise Refusal(500, "InternalFailure", "An error occurred while processing the request.")
        loaded = self._loaded(endpoint, asynchronous=True)
        bucket, _, path = headers.get("x-amzn-sagemaker-inputlocation", "").removeprefix("s3://").partition("/")
        if not path:
            raise Refusal(400, "ValidationError", "Either Body or InputLocation must be provided.")
        inference_id = headers.get("x-amzn-sagemaker-inference-id") or new_ulid()
        name = f"{OUTPUTS}/{new_ulid().lower()}"
        content_type = headers.get("x-amzn-sagemaker-content-type", "")
        self._is_awake()  # asking wakes it
        self._later.submit(self._run_later, loaded, bucket, path, content_type, name)
        told = {
            "content-type": JSON,
            "x-amzn-sagemaker-outputlocation": f"s3://{bucket}/{name}.out",
            "x-amzn-sagemaker-failurelocation": f"s3://{bucket}/{name}-error.out",
        }
        return Response(202, told, orjson.dumps({"InferenceId": inference_id}))

    def _run_later(self, loaded: Loaded, bucket: str, path: str, content_type: str, name: str) -> None:
        store = self._stores.setdefault(bucket, Store.open(f"s3://{bucket}", environ=self._environ))
        try:
            self._wait_for_turn()
            payload = self._run(loaded, content_type, store.get(path).data)
        except Refusal as refusal:
            store.put(f"{name}-error.out", refusal.response.body)
        except LastmileError as error:
            store.put(f"{name}-error.out", str(error).encode())
        else:
            store.put(f"{name}.out", payload.body)
            self.counts["answers"] += 1

    def _wait_for_turn(self) -> None:
        """Until it is awake, and as long as it is slow; raises Refusal when it is closed."""
        while not self._is_awake() and not self._closing.is_set():
            self._closing.wait(LOOKED_SECONDS)
        if self._closing.wait(self.switches.slow_seconds):
            raise Refusal(503, "ServiceUnavailable", "The endpoint was stopped before it had answered.")

    def _run(self, loaded: Loaded, content_type: str, body: bytes) -> Payload:
        if self.switches.fail == 424:
            raise _model_error(500, "the model has crashed")
        if self.switches.garbage:
            return GARBAGE
        try:
            return run(loaded, content_type, body)
        except TritonError as error:
            raise _model_error(error.status, str(error)) from error
        except LastmileError as error:
            raise _model_error(500, str(error)) from error

    def _loaded(self, name: str, *, asynchronous: bool) -> Loaded:
        try:
            return self._models.asynchronous(name) if asynchronous else self._models.component(name)
        except NotFound as error:
            kind = "Endpoint" if asynchronous else "Inference Component Name"
            raise Refusal(400, "ValidationError", f"{kind} {error}") from error

    def _check_throttle(self) -> None:
        if self.switches.throttle:
            raise Refusal(400, "ThrottlingException", "Rate exceeded")

    def _is_awake(self) -> bool:
        if self._awake_at is None:
            self._awake_at = time.monotonic() + self.switches.wake_seconds
        return time.monotonic() >= self._awake_at

    async def _live(self, receive: Receive, send: Send) -> None:
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await asyncio.to_thread(self.close)
        await send({"type": "lifespan.shutdown.complete"})


def _model_error(status: int, message: str) -> Refusal:
    """`message` as Triton wraps it, and that as SageMaker does."""
    answer = orjson.dumps({"error": message}).decode()
    told = f'Received {"client" if status < 500 else "server"} error ({status}) from model with message "{answer}".'
    return Refusal(424, "ModelError", told, OriginalStatusCode=status, OriginalMessage=answer)


def is_signed(authorization: str) -> bool:
    return authorization.startswith("AWS4-HMAC-SHA256 Credential=") and "/sagemaker/aws4_request" in authorization


def main(arguments: list[str]) -> int:
    with socket.socket(fileno=int(arguments[0])) as listener:
        config = uvicorn.Config(
            LocalEndpoint(os.environ),
            lifespan="on",
            access_log=False,
            log_level="warning",
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
        uvicorn.Server(config).run(sockets=[listener])
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
