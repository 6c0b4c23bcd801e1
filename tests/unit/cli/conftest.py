"""The command line as a user meets it: arguments in, exit code and two streams out."""

import asyncio
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import parse_qs

import httpx
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cli.main import main
from cli.push import check
from functions.control.app import create_app
from lastmile.predictor import Predictor
from lastmile.protocols.messages import Request, Response
from lastmile.protocols.routes import Protocols
from lastmile.registry import Registry
from lastmile.store import Store

SPEC = """
name = "iris"
task = "classification"
description = "Three measurements, two scores and the higher one's index."

[[inputs]]
name = "x"
datatype = "FP32"
shape = [-1, 3]
columns = ["length", "width", "height"]

[[outputs]]
name = "label"
datatype = "INT64"
shape = [-1]

[[outputs]]
name = "y"
datatype = "FP32"
shape = [-1, 2]
"""


@dataclass(frozen=True)
class Outcome:
    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


type Lastmile = Callable[..., Outcome]


@pytest.fixture
def lastmile(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Lastmile:
    """Run the command with these words; `stdin` is what is piped into it."""

    def run(*words: object, stdin: str = "") -> Outcome:
        monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
        capsys.readouterr()
        with pytest.raises(SystemExit) as exit_:
            main([str(word) for word in words])
        out, err = capsys.readouterr()
        return Outcome(int(exit_.value.code or 0), out, err)

    return run


def linear_graph(factor: float, *, rows: int | str = "n") -> onnx.ModelProto:
    """y = factor * (first two of x), and label the index of its higher column."""
    weights = np.array([[factor, 0], [0, factor], [0, 0]], dtype=np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("MatMul", ["x", "w"], ["y"]),
            helper.make_node("ArgMax", ["y"], ["label"], axis=1, keepdims=0),
        ],
        "linear",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [rows, 3])],
        [
            helper.make_tensor_value_info("label", TensorProto.INT64, [rows]),
            helper.make_tensor_value_info("y", TensorProto.FLOAT, [rows, 2]),
        ],
        [numpy_helper.from_array(weights, "w")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@dataclass(frozen=True)
class Workspace:
    """A folder with a spec and models, and a registry in another folder."""

    root: Path

    @property
    def spec(self) -> Path:
        return self.root / "spec.toml"

    @property
    def registry_folder(self) -> Path:
        return self.root / "registry"

    @property
    def registry(self) -> Registry:
        return Registry(Store.open(self.registry_folder.as_uri(), environ={}))

    def model(self, factor: float = 1.0) -> Path:
        path = self.root / f"model-{factor:g}.onnx"
        path.write_bytes(linear_graph(factor).SerializeToString())
        return path

    def write(self, name: str, text: str) -> Path:
        path = self.root / name
        path.write_text(text)
        return path


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    found = Workspace(tmp_path)
    found.spec.write_text(SPEC)
    return found


@pytest.fixture(scope="session")
def pushed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A registry with three versions of one model, the first one champion; made once, copied for each test."""
    made = Workspace(tmp_path_factory.mktemp("pushed"))
    made.spec.write_text(SPEC)
    for number in (1, 2, 3):
        candidate = check(made.model(number), made.spec)
        made.registry.push(
            candidate.spec,
            candidate.data,
            signature=candidate.signature,
            actor="ann@lab",
            why=f"push {number}",
            metrics={"accuracy": 0.9 + number / 100, "note": "text"},
            lineage={},
            compression={},
        )
    made.registry.promote("iris", 1, actor="ann@lab", why="first")
    return made.registry_folder


@pytest.fixture
def iris(workspace: Workspace, pushed: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    """A workspace whose registry, the one of every command, holds `pushed`."""
    shutil.copytree(pushed, workspace.registry_folder)
    monkeypatch.setenv("LASTMILE_REGISTRY", str(workspace.registry_folder))
    return workspace


type Endpoint = Callable[[Request], Response | None]


@dataclass
class Api:
    """An API on this machine, over real HTTP: tokens by client credentials, and for each endpoint its scope.

    `calls` are the requests that came with a good token. `most_bytes` is the limit of a body, as API Gateway has one.
    """

    endpoints: list[tuple[str, str, Endpoint]]  # path prefix, scope or "" for any, what answers
    calls: list[Request] = field(default_factory=list)
    most_bytes: int = 6_000_000

    def answer(self, request: Request) -> Response:
        if request.path == "/oauth2/token":
            scope = parse_qs(request.body.decode())["scope"][0]
            return Response(200, {}, json.dumps({"access_token": scope}).encode())
        granted = request.headers.get("authorization", "").removeprefix("Bearer ").split()
        for prefix, scope, endpoint in self.endpoints:
            if request.path.startswith(prefix) and (found := self._ask(endpoint, request, scope, granted)):
                return found
        return Response(404, {}, b'{"message": "Not Found"}')

    def _ask(self, endpoint: Endpoint, request: Request, scope: str, granted: list[str]) -> Response | None:
        if not granted or (scope and f"lastmile/{scope}" not in granted):
            return Response(403, {}, b'{"message": "Forbidden"}')
        if len(request.body) > self.most_bytes:
            return Response(413, {}, b'{"message": "Request Entity Too Large"}')
        self.calls.append(request)
        return endpoint(request)


def handler_of(api: Api) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            path, _, query = self.path.partition("?")
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            found = api.answer(Request(self.command, path, query, headers, body))
            self.send_response(found.status)
            for name, value in (found.headers | {"content-length": str(len(found.body))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(found.body)

        do_GET = do_POST = answer

        def log_message(self, *arguments: Any) -> None:
            pass

    return Handler


@pytest.fixture
def serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Api], Api]]:
    """Put an API where the command line finds it: a server, and the `local.json` of a stack."""
    servers: list[ThreadingHTTPServer] = []

    def start(api: Api) -> Api:
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler_of(api))
        servers.append(server)
        Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        url = f"http://127.0.0.1:{server.server_port}"
        folder = tmp_path / "stack"
        folder.mkdir(exist_ok=True)
        (folder / "local.json").write_text(json.dumps(stack(url)))
        monkeypatch.setenv("LASTMILE_LOCAL", str(folder))
        return api

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def stack(url: str) -> dict[str, Any]:
    return {
        "stage": "dev",
        "region": "eu-west-1",
        "aws_endpoint_url": url,
        "aws_access_key_id": "testing",
        "aws_secret_access_key": "testing",
        "ca_bundle": None,
        "api_url": url,
        "api_id": "api",
        "token_url": f"{url}/oauth2/token",
        "user_pool_id": "pool",
        "client_id": "client",
        "client_secret": "secret",
        "artifacts_bucket": "artifacts",
        "data_bucket": "data",
        "log_group_prefix": "/aws/lambda/lastmile-dev-",
        "functions": {"inference": "lastmile-dev-inference", "control": "lastmile-dev-control"},
    }


def control_of(registry: Registry) -> Endpoint:
    """The control function's app, told what API Gateway found in the token."""
    app = create_app(registry, Store.open("memory://", environ={}), token_url="/oauth2/token")

    async def ask(request: Request) -> Response:
        claims = {"client_id": "client", "scope": request.headers["authorization"].removeprefix("Bearer ")}
        event = {"requestContext": {"authorizer": {"jwt": {"claims": claims}}}}

        async def behind_gateway(scope: Any, receive: Any, send: Any) -> None:
            await app(scope | {"aws.event": event}, receive, send)

        transport = httpx.ASGITransport(app=behind_gateway)
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            url = f"{request.path}?{request.query}"
            found = await client.request(request.method, url, headers=request.headers, content=request.body)
        return Response(found.status_code, {}, found.content)

    return lambda request: asyncio.run(ask(request))


@pytest.fixture
def api(iris: Workspace, serve: Callable[[Api], Api], monkeypatch: pytest.MonkeyPatch) -> Api:
    """The control routes over the registry of `iris`, each behind its scope."""
    monkeypatch.delenv("LASTMILE_REGISTRY")
    return serve(Api([("/control", "", control_of(iris.registry))]))


@pytest.fixture
def inference(iris: Workspace, serve: Callable[[Api], Api], monkeypatch: pytest.MonkeyPatch) -> Api:
    """The prediction routes as the function answers them, over the registry of `iris`."""
    monkeypatch.delenv("LASTMILE_REGISTRY")
    protocols = Protocols(Predictor(iris.registry, threads=1, release_seconds=0))
    return serve(Api([("/", "infer", protocols.answer)]))
