"""The server door: predictions go from ASGI straight to the protocols, everything else to the app."""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter, thread_time

from functions.inference.app import create_app, unexpected
from functions.inference.asgi import Receive, Scope, Send, read_request, request_of, send_response
from functions.inference.background import Background
from functions.inference.metrics import Metrics
from functions.inference.outbox import Outbox
from functions.inference.pace import Pace
from functions.inference.serving import Serving
from lastmile.errors import LastmileError
from lastmile.protocols.messages import Request, Response, json_response
from lastmile.protocols.routes import Route
from lastmile.protocols.scoring import model_of

THREADS = 16
STATE_SECONDS = 1.0  # how old the state of things may be that workers tell each other of
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
READY = "/v2/health/ready"
MOST_HEADS = 1024
LONGEST_HEAD = 4096
SLOW = 1e4  # milliseconds
PACKED = ""  # the key of heads whose bodies are packed: how large these are is known when they are unpacked


class ServerDoor:
    """An ASGI application.

    A short prediction runs on the event loop, where it costs least; one that has been measured as long, or is large,
    or has not been measured, runs in a thread and leaves the loop free, as does all that may wait for an endpoint.
    """

    def __init__(self, serving: Serving, *, metrics: Metrics, background: Background) -> None:
        self._serving = serving
        self._protocols = serving.protocols
        self._cors = serving.cors
        self._metrics = metrics
        self._background = background
        self._app = create_app(serving)
        self._pace = Pace()
        self._heavy_models = serving.predictor.heavy_models
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prediction")
        self._tasks: list[asyncio.Task[None]] = []
        self._default_headers: list[tuple[bytes, bytes]] = []
        self._default_lines = b""
        self.heads: dict[bytes, tuple[Head, int]] = {}
        self.outbox = Outbox()
        self.ready = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        found = self._protocols.match(scope["method"], scope["path"])
        if found is None:
            await self._other(scope, receive, send)
            return
        started = perf_counter()
        request = await read_request(scope, receive)
        if request is None:
            return
        head = Head(*found, request)
        if self._pace.is_quick(head.key, len(request.body)) and not (self._heavy_models and self._is_heavy(head)):
            answered = self._answer(head, request)
        else:
            answered = await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, head, request)
        await send_response(send, self._finish(head, answered, started))

    def head(self, scope: Scope) -> "Head | None":
        """The head of a request to one of the protocols' routes."""
        found = self._protocols.match(scope["method"], scope["path"])
        return None if found is None else Head(*found, request_of(scope, b""))

    def answer_now(self, head: "Head", body: bytes) -> Response | None:
        """The response to a prediction that is known to be short; whatever else it is has to come as ASGI."""
        started = perf_counter()
        if not self._pace.is_quick(head.key, len(body)) or (self._heavy_models and self._is_heavy(head)):
            return None
        given = head.request
        request = Request(given.method, given.path, given.query, given.headers, body)
        return self._finish(head, self._answer(head, request), started)

    def remember(self, data: bytes, head: "Head", body_bytes: int) -> None:
        """The next request that begins with exactly this data has this head."""
        if len(data) <= LONGEST_HEAD:
            if len(self.heads) >= MOST_HEADS:
                self.heads.clear()  # heads come from clients: start afresh rather than grow
            self.heads[data] = (head, body_bytes)

    def default_lines(self, headers: list[tuple[bytes, bytes]]) -> bytes:
        """Header lines of every answer, of which uvicorn makes a new list each second."""
        if headers is not self._default_headers:
            self._default_headers = headers
            self._default_lines = b"".join(b"%s: %s\r\n" % header for header in headers)
        return self._default_lines

    def _is_heavy(self, head: "Head") -> bool:
        """Whether the model predicts with versions that wait for an endpoint, whichever answers this request."""
        if head.route.method != "POST":
            return False
        model = head.parameters.get("model") or model_of(head.request, self._serving.settings.default_model)
        return model in self._heavy_models

    def _answer(self, head: "Head", request: Request) -> tuple[Response, float]:
        """The response, and the milliseconds of work it took: waiting for other threads says nothing of the model."""
        if not self.ready and head.route.template == READY:
            return json_response({"ready": False}, status=503), 0.0
        started = thread_time()
        try:
            response = self._protocols.call(head.route, request, head.parameters)
        except Exception as error:  # noqa: BLE001 the one broad catch of this door
            response = unexpected(error, f"{request.method} {request.path}")
        return response, (thread_time() - started) * 1e3

    def _finish(self, head: "Head", answered: tuple[Response, float], started: float) -> Response:
        response, milliseconds = answered
        if response.status == 200:
            # What asks an endpoint, or the store for its answer, is never short, however little it does meanwhile.
            waits = "lastmile-tier" in response.headers or "lastmile-state" in response.headers
            self._pace.record(head.key, SLOW if waits or head.key == PACKED else milliseconds)
        elif response.status == 202:
            self._pace.record(head.key, SLOW)
        if self._cors is not None:
            response.headers.update(self._cors.headers(head.request.headers.get("origin")))
        self._metrics.count(head.route.template, response, perf_counter() - started)
        return response

    async def _other(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["path"] == "/metrics" and scope["method"] == "GET":
            self._tell_state()
            loop = asyncio.get_running_loop()
            await send_response(send, await loop.run_in_executor(self._pool, self._metrics.response))
            return
        if not self.ready and scope["path"] == READY:
            await send_response(send, json_response({"ready": False}, status=503), head=True)
            return
        await self._app(scope, receive, send)

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            message = await receive()
            if message["type"] == "lifespan.startup":
                self._tasks = [asyncio.create_task(self._become_ready()), asyncio.create_task(self._keep_telling())]
                await send({"type": "lifespan.startup.complete"})
            else:
                await self._stop()
                await send({"type": "lifespan.shutdown.complete"})
                return

    async def _become_ready(self) -> None:
        """Load the champions; until the store has answered, ask it again and again. Requests are answered meanwhile."""
        wait = FIRST_RETRY_SECONDS
        while not await asyncio.get_running_loop().run_in_executor(self._pool, self._preload):
            await asyncio.sleep(wait)
            wait = min(2 * wait, LAST_RETRY_SECONDS)
        self.ready = True

    def _preload(self) -> bool:
        try:
            self._serving.predictor.preload()
        except LastmileError as error:
            sys.stderr.write(f"lastmile: not ready: {error}\n")
            return False
        return True

    async def _keep_telling(self) -> None:
        while True:
            self._tell_state()
            await asyncio.sleep(STATE_SECONDS)

    def _tell_state(self) -> None:
        background = self._background
        self._metrics.follow(self._serving.predictor, dropped=background.dropped, captures=background.captures)

    async def _stop(self) -> None:
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._background.close)
        self._metrics.close()


class Head:
    """The head of a request, and the route that it found. `key` is under what its pace is known; what is packed is
    never taken for short."""

    __slots__ = ("key", "parameters", "request", "route")

    def __init__(self, route: Route, parameters: dict[str, str], request: Request) -> None:
        self.route = route
        self.parameters = parameters
        self.request = request
        self.key = request.path
        if not parameters:  # /invocations names its model elsewhere
            self.key = f"{request.path}?{model_of(request, '')}"
        if "content-encoding" in request.headers:
            self.key = PACKED
