import gzip
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest

from functions.inference.examples import TWO
from functions.inference.server import main
from lastmile.profiles import ProfileStore
from lastmile.registry import Registry
from lastmile.store import Store
from tests.unit.inference.doors import WHO, Door, Sent, fill, open_serving, push, through_socket
from tests.unit.inference.graphs import slow
from tests.unit.inference.test_doors import INFER, ONE, post, rows_answer, tensor, v2, v2_answer


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("store")
    serving = fill(open_serving({"LASTMILE_ARTIFACTS": folder.as_uri()}))
    push(serving, "slow", slow())
    Registry(serving.store).promote("slow", 1, **WHO)
    return folder.as_uri()


def environment(store: str, port: int, **settings: str) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "ORT_DISABLE_TELEMETRY": "1",
        "PYTHONWARNINGS": "error",
        "LASTMILE_ARTIFACTS": store,
        "LASTMILE_PORT": str(port),
        **settings,
    }


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def server(environ: Mapping[str, str], folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], Door]]:
    """As a container starts it. Output goes to files in `folder`: out and err."""
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        command = [sys.executable, "-m", "functions.inference.server", "serve"]
        process = subprocess.Popen(command, env=dict(environ), stdout=out, stderr=err, cwd=folder)
    try:
        ask = through_socket(int(environ["LASTMILE_PORT"]))
        wait_for(process, lambda: ask(Sent("GET", "/v2/health/ready")).status == 200, folder)
        yield process, ask
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(process: subprocess.Popen[bytes], ready: Callable[[], bool], folder: Path) -> None:
    end = time.monotonic() + 60
    while True:
        assert process.poll() is None, (folder / "err").read_text()
        assert time.monotonic() < end, (folder / "err").read_text()
        try:
            if ready():
                return
        except OSError:
            pass
        time.sleep(0.05)


def test_a_container_serves_every_protocol_writes_captures_and_ends_well(store: str, tmp_path: Path) -> None:
    environ = environment(store, free_port(), LASTMILE_DEFAULT_MODEL="digits")
    with server(environ, tmp_path) as (process, ask):
        assert ask(Sent("GET", "/ping")).status == 200  # SageMaker's two routes
        rows_answer("predictions", ONE)(ask(post("/invocations", {"instances": [TWO]})))
        v2_answer(ONE)(ask(post(INFER, v2(tensor()))))
        assert ask(Sent("GET", "/docs")).status == 200
        assert b"lastmile_requests_total" in ask(Sent("GET", "/metrics")).body
        row = {"name": "x", "datatype": "FP32", "shape": [64, 1024], "data": [0] * 64 * 1024}
        body = v2(row)
        head = f"POST /v2/models/slow/infer HTTP/1.1\r\nhost: here\r\ncontent-length: {len(body)}\r\n"
        with socket.create_connection(("127.0.0.1", int(environ["LASTMILE_PORT"])), timeout=60) as link:
            stream = link.makefile("rb")
            link.sendall(f"{head}expect: 100-continue\r\n\r\n".encode())
            assert stream.readline().split()[1] == b"100"  # it is under way
            process.send_signal(signal.SIGTERM)
            link.sendall(body)
            stream.readline()
            assert stream.readline().split()[1] == b"200"
        assert process.wait(60) == -signal.SIGTERM
    errors = (tmp_path / "err").read_text()
    assert "Traceback" not in errors, errors
    assert "Finished server process" in errors
    lines = [json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]
    assert [line["model"] for line in lines] == ["digits", "digits", "slow"]
    assert {line["marker"] for line in lines} == {"lastmile.capture"}


def test_captures_may_go_to_a_store_of_their_own(store: str, tmp_path: Path) -> None:
    data = tmp_path / "data"
    environ = environment(store, free_port(), LASTMILE_DATA=data.as_uri(), LASTMILE_WORKERS="2")
    with server(environ, tmp_path) as (_, ask):
        for _ in range(20):
            assert ask(post(INFER, v2(tensor()))).status == 200
        assert b"lastmile_captures_waiting" in ask(Sent("GET", "/metrics")).body
    kept = [line for path in data.glob("captures/**/*.gz") for line in gzip.decompress(path.read_bytes()).splitlines()]
    assert len({json.loads(line)["id"] for line in kept}) == len(kept) == 20
    found = ProfileStore(Store.open(data.as_uri(), environ={})).read("digits", 1, time.time() - 7200, time.time() + 1)
    assert found is not None
    assert found.requests == 20
    assert (tmp_path / "out").read_text() == ""


def test_workers_share_a_port_and_their_metrics(store: str, tmp_path: Path) -> None:
    environ = environment(store, free_port(), LASTMILE_WORKERS="2", LASTMILE_CAPTURE="off")
    with server(environ, tmp_path) as (_, ask):
        for _ in range(20):
            assert ask(post(INFER, v2(tensor()))).status == 200
        deadline = time.monotonic() + 60
        while (counted := counted_in(ask(Sent("GET", "/metrics")).body.decode())) != [20.0]:
            assert time.monotonic() < deadline, counted
            time.sleep(0.1)  # a worker tells the others once a second


def counted_in(scraped: str) -> list[float]:
    return [
        float(line.split()[-1])
        for line in scraped.splitlines()
        if f'route="{INFER.replace("digits", "{model}")}"' in line and line.startswith("lastmile_requests_total")
    ]


@pytest.mark.parametrize(
    ("settings", "arguments", "said"),
    [
        ({"LASTMILE_ARTIFACTS": ""}, [], "missing environment variables: LASTMILE_ARTIFACTS"),
        ({"LASTMILE_PORT": "http"}, [], "LASTMILE_PORT is 'http'"),
        ({"LASTMILE_RELEASE_SECOND": "5"}, [], "is LASTMILE_RELEASE_SECONDS meant?"),
        ({"LASTMILE_CORS_ORIGINS": "app.example"}, [], "names 'app.example', an origin like https://"),
        ({"LASTMILE_CORS_ORIGINS": "https://app.example/"}, [], "names 'https://app.example/'"),
        ({"LASTMILE_TOKEN_URL": "id.example"}, ["serve"], "LASTMILE_TOKEN_URL is 'id.example'"),
        ({"LASTMILE_ARTIFACTS": "/srv/lastmile"}, [], "'/srv/lastmile' is no store; give s3://bucket"),
        ({"LASTMILE_DATA": "captures"}, [], "'captures' is no store"),
        ({}, ["train"], "unknown arguments: train"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    settings: dict[str, str],
    arguments: list[str],
    said: str,
) -> None:
    for name, value in {"LASTMILE_ARTIFACTS": "memory://", **settings}.items():
        monkeypatch.setenv(name, value)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
