"""Load on an HTTP server from a process of its own: each connection sends its next request when the answer is there.

`python -m benchmarks.load` reads one order as JSON from standard input and writes one report as JSON.
"""

import asyncio
import gc
import math
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count, cycle
from typing import Any, cast

import httptools
import orjson
import uvloop

TOLERANCE = 1e-6


@dataclass(frozen=True, slots=True)
class Order:
    """What to send where. `answers` belong to `bodies`: the numbers that must stand in the answer's JSON at `place`,
    a path of keys and indices. Latencies are taken after `warm_seconds`. With `new_heads` each request has a header
    of its own, as behind a proxy that numbers them."""

    port: int
    path: str
    headers: dict[str, str]
    bodies: list[str]
    answers: list[list[float]]
    place: list[str | int]
    connections: int
    warm_seconds: float
    seconds: float
    new_heads: bool = False


@dataclass(frozen=True, slots=True)
class Report:
    """`busy` is the share of the time in which this process computed: near 1 it is the one that is measured."""

    requests: int
    per_second: float
    p50_ms: float
    p99_ms: float
    busy: float


class WrongAnswer(Exception):
    """The server said something else than the model does."""


class Run:
    """What the connections share."""

    def __init__(self, order: Order) -> None:
        self.order = order
        self.requests = [_request(order, body.encode()) for body in order.bodies]
        self.turn: Iterator[int] = cycle(range(len(self.requests)))
        self.number = count()
        self.ended: list[float] = []
        self.latencies: list[float] = []
        self.stopping = False
        self.failure: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def fail(self, error: Exception) -> None:
        if not self.failure.done():
            self.failure.set_exception(error)

    def check(self, index: int, status: int, body: bytes) -> None:
        found: Any = None
        if status == 200:
            found = orjson.loads(body)
            for key in self.order.place:
                found = found[key]
        wanted = self.order.answers[index]
        if status != 200 or not _close(found, wanted):
            self.fail(WrongAnswer(f"status {status}, {body[:300]!r}; wanted {wanted} at {self.order.place}"))


class Connection(asyncio.Protocol):
    """One keep-alive connection with one request under way."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self._parser = httptools.HttpResponseParser(self)
        self._body = b""
        self._index = 0
        self._started = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own class, which is no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_body(self, body: bytes) -> None:
        self._body += body

    def on_message_complete(self) -> None:
        run = self._run
        now = time.perf_counter()
        run.ended.append(now)
        run.latencies.append(now - self._started)
        try:
            run.check(self._index, self._parser.get_status_code(), self._body)
        except (KeyError, IndexError, TypeError, ValueError) as error:
            run.fail(WrongAnswer(f"{error!r} in {self._body[:300]!r}"))
        if run.stopping or run.failure.done():
            self._transport.close()
            return
        if not self._parser.should_keep_alive():
            run.fail(WrongAnswer("the server closes the connection after one answer"))
            return
        self._send()

    def connection_lost(self, error: Exception | None) -> None:
        if not self._run.stopping:
            self._run.fail(error or ConnectionError("the server closed the connection"))

    def _send(self) -> None:
        self._body = b""
        self._index = next(self._run.turn)
        self._started = time.perf_counter()
        request = self._run.requests[self._index]
        if self._run.order.new_heads:
            start, line, rest = request.partition(b"\r\n")
            request = b"%s%sx-request-id: %020d\r\n%s" % (start, line, next(self._run.number), rest)
        self._transport.write(request)


async def load(order: Order) -> Report:
    run = Run(order)
    loop = asyncio.get_running_loop()
    for _ in range(order.connections):
        await loop.create_connection(lambda: Connection(run), "127.0.0.1", order.port)
    await _pass(order.warm_seconds, run)
    start, computed = time.perf_counter(), time.process_time()
    await _pass(order.seconds, run)
    end = time.perf_counter()
    computed = time.process_time() - computed
    run.stopping = True
    counted = [took for took, at in zip(run.latencies, run.ended, strict=True) if start <= at <= end]
    if not counted:
        raise WrongAnswer(f"no answer within {order.seconds} seconds")
    counted.sort()
    return Report(
        requests=len(counted),
        per_second=len(counted) / (end - start),
        p50_ms=_quantile(counted, 0.5) * 1e3,
        p99_ms=_quantile(counted, 0.99) * 1e3,
        busy=computed / (end - start),
    )


async def _pass(seconds: float, run: Run) -> None:
    """Let the connections work, and stop at the first failure."""
    done, _ = await asyncio.wait([run.failure], timeout=seconds)
    for failure in done:
        failure.result()


def _request(order: Order, body: bytes) -> bytes:
    headers = {"host": f"127.0.0.1:{order.port}", "content-length": str(len(body)), **order.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"POST {order.path} HTTP/1.1\r\n{head}\r\n".encode() + body


def _close(found: Any, wanted: list[float]) -> bool:
    while type(found) is list and len(found) == 1 and type(found[0]) is list:
        found = found[0]
    return len(found) == len(wanted) and all(map(_same, found, wanted))


def _same(one: float, other: float) -> bool:
    return abs(one - other) <= TOLERANCE


def _quantile(ordered: list[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, math.ceil(share * len(ordered)) - 1)]


def main() -> None:
    order = Order(**orjson.loads(sys.stdin.buffer.read()))
    gc.disable()  # nothing here makes circles, and a collection would look like the server's
    report = uvloop.run(load(order))
    sys.stdout.buffer.write(orjson.dumps(asdict(report)))


if __name__ == "__main__":
    main()
