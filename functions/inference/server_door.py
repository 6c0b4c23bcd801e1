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
from lastmile.protocols.scoring import TARGET_MODEL

THREADS = 16
STATE_SECONDS = 5.0  # how old the state of things may be that workers tell each other of
FIRST_RETRY_SECONDS = 1.0
LAST_RETRY_SECONDS = 30.0
READY = "/v2/health/ready"


class ServerDoor:
    """An ASGI application.

    A short prediction runs on the event loop, where it costs least; one that has been measured as long, or is large,
    or has not been measured, runs in a thread and leaves the loop free.
    """

    def __init__(self, serving: Serving, *, metrics: Metrics, background: Background) -> None:
        self._serving = serving
        self._protocols = serving.protocols
        self._cors = serving.cors
        self._metrics = metrics
        self._background = background
        self._app = create_app(serving)
        self._pace = Pace()
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="prediction")
        self._tasks: list[asyncio.Task[None]] = []
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
        call = _Call(*found, request)
        if self._pace.is_quick(call.key, len(request.body)):
            answered = self._answer(call)
        else:
            answered = await asyncio.get_running_loop().run_in_executor(self._pool, self._answer, call)
        await send_response(send, self._finish(call, answered, started))

    def answer_now(self, scope: Scope, body: bytes) -> Response | None:
        """The response to a prediction that is known to be short; whatever else it is has to come as ASGI."""
        found = self._protocols.match(scope["method"], scope["path"])
        if found is None:
            return None
        started = perf_counter()
        call = _Call(*found, request_of(scope, body))
        if not self._pace.is_quick(call.key, len(body)):
            return None
        return self._finish(call, self._answer(call), started)

    def _answer(self, call: "_Call") -> tuple[Response, float]:
        """The response, and the milliseconds of work it took: waiting for other threads says nothing of the model."""
        if not self.ready and call.route.template == READY:
            return json_response({"ready": False}, status=503), 0.0
        started = thread_time()
        try:
            response = self._protocols.call(call.route, call.request, call.parameters)
        except Exception as error:  # noqa: BLE001 the one broad catch of this door
            response = unexpected(error, f"{call.request.method} {call.request.path}")
        return response, (thread_time() - started) * 1e3

    def _finish(self, call: "_Call", answered: tuple[Response, float], started: float) -> Response:
        response, milliseconds = answered
        if response.status == 200:
            self._pace.record(call.key, milliseconds)
        if self._cors is not None:
            response.headers.update(self._cors.headers(call.request.headers.get("origin")))
        self._metrics.count(call.route.template, response, perf_counter() - started)
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
        self._metrics.follow(self._serving.predictor, dropped=self._background.dropped)

    async def _stop(self) -> None:
        self.ready = False
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.to_thread(self._pool.shutdown)
        await asyncio.to_thread(self._background.close)
        self._metrics.close()


class _Call:
    """A request, and the route that it found. `key` is under what its pace is known."""

    __slots__ = ("key", "parameters", "request", "route")

    def __init__(self, route: Route, parameters: dict[str, str], request: Request) -> None:
        self.route = route
        self.parameters = parameters
        self.request = request
        self.key = request.path
        if not parameters:  # /invocations names its model elsewhere
            self.key = f"{request.path}?{request.query}&{request.headers.get(TARGET_MODEL, '')}"
