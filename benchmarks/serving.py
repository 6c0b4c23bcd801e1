"""Servers to be measured: how each is started, asked and stopped."""

import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from urllib.error import URLError
from urllib.request import Request, urlopen

import orjson

from benchmarks.load import Order, Report
from benchmarks.model import Array, Trained
from layers.uv import ROOT

RIVALS = Path(__file__).parent / "rivals"
JSON = {"content-type": "application/json"}
START_SECONDS = 60.0
STOP_SECONDS = 10.0
ROWS = 64  # as many different requests


class ServerFailed(Exception):
    """A server does not start, or its load generator found a wrong answer."""


@dataclass(frozen=True)
class Server:
    """`{port}` in the command and in the environment becomes a free port. `body` makes a request from one row; in the
    answer's JSON the probabilities stand at `place`."""

    name: str
    command: Sequence[str | Path]
    path: str
    body: Callable[[Array], bytes]
    place: Sequence[str | int]
    environ: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Running:
    """A server that has given its first answer."""

    server: Server
    order: Order

    def load(self, *, connections: int, seconds: float, warm_seconds: float) -> Report:
        """What a load generator in a process of its own reports."""
        order = replace(self.order, connections=connections, seconds=seconds, warm_seconds=warm_seconds)
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.load"],
            cwd=ROOT,
            input=json.dumps(asdict(order)).encode(),
            capture_output=True,
            check=False,
        )
        if done.returncode:
            raise ServerFailed(f"{self.server.name}: {_last_line(done.stderr.decode())}")
        return Report(**json.loads(done.stdout))


def tensor(rows: Array) -> bytes:
    """A request of the Open Inference Protocol."""
    data = {"name": "features", "shape": rows.shape, "datatype": "FP32", "data": rows.reshape(-1)}
    return orjson.dumps({"inputs": [data]}, option=orjson.OPT_SERIALIZE_NUMPY)


def nested(rows: Array) -> bytes:
    return orjson.dumps({"rows": rows}, option=orjson.OPT_SERIALIZE_NUMPY)


@contextmanager
def running(server: Server, model: Trained) -> Iterator[Running]:
    """Start the server in a folder and a process group of its own, wait for its first answer, and end it."""
    rows = model.rows[:ROWS]
    _, answers = model.answers(rows)
    port = _free_port()
    order = Order(
        port=port,
        path=server.path,
        headers=JSON,
        bodies=[server.body(row[None]).decode() for row in rows],
        answers=answers.tolist(),
        place=list(server.place),
        connections=1,
        warm_seconds=0.0,
        seconds=0.0,
    )
    with tempfile.TemporaryDirectory(prefix="lastmile-bench-") as folder:
        output = Path(folder, "output")
        environ = {"MODEL": str(model.path), "HOME": folder, **server.environ}
        with output.open("wb") as file:
            process = subprocess.Popen(
                [str(part).replace("{port}", str(port)) for part in server.command],
                cwd=folder,
                env=_environ() | {name: value.replace("{port}", str(port)) for name, value in environ.items()},
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            _wait(process, order, server.name, output)
            yield Running(server, order)
        finally:
            _stop(process)


def _environ() -> dict[str, str]:
    """Ours, without what belongs to our interpreter."""
    return {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }


def _wait(process: subprocess.Popen[bytes], order: Order, name: str, output: Path) -> None:
    request = Request(f"http://127.0.0.1:{order.port}{order.path}", order.bodies[0].encode(), order.headers)
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(request, timeout=5):
                return
        except (URLError, OSError):
            time.sleep(0.1)
    said = output.read_text(errors="replace")
    raise ServerFailed(f"{name} does not answer: {_last_line(said)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Its whole group: some servers have several processes, and not all of them end their own."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(STOP_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _last_line(text: str) -> str:
    return next((line for line in reversed(text.splitlines()) if line.strip()), "no output")
