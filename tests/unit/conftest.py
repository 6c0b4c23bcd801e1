"""Stores of every kind, and a store that watches, counts and kills."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any
from uuid import uuid4

import boto3
import pytest
from moto.server import ThreadedMotoServer

from lastmile.errors import LastmileError
from lastmile.manifest import Manifest
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec

METHODS = ("get", "get_if_changed", "pieces", "create", "replace", "put", "exists", "list", "list_folders")


class KilledError(Exception):
    """The process ended here."""


class WatchedStore(Store):
    """Another store, with a list of the calls it got; the call number `kill_at` kills, before or after its effect."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.calls: list[tuple[str, str]] = []
        self.kill_at = 0
        self.kill_after_effect = False
        self.before: Callable[[str, str], None] = lambda method, path: None

    def _call(self, method: str, path: str, *rest: Any) -> Any:
        self.calls.append((method, path))
        self.before(method, path)
        act = getattr(self.inner, method)
        if len(self.calls) != self.kill_at:
            return act(path, *rest)
        if self.kill_after_effect:
            with suppress(LastmileError):
                act(path, *rest)
        raise KilledError(f"{method} {path}")


for _method in METHODS:
    setattr(WatchedStore, _method, lambda self, *arguments, _method=_method: self._call(_method, *arguments))


@pytest.fixture(scope="session")
def watched() -> type[WatchedStore]:
    return WatchedStore


@pytest.fixture(scope="session")
def killed() -> type[KilledError]:
    return KilledError


@pytest.fixture(scope="session")
def s3_environ() -> Iterator[dict[str, str]]:
    """The environment in which S3 is a server on this machine."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    one_at_a_time(server)
    host, port = server.get_host_and_port()
    yield {
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_REGION": "eu-west-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
    }
    server.stop()


def one_at_a_time(server: ThreadedMotoServer) -> None:
    """It looks at If-Match first and writes then, so that of two threads both can win; S3 lets one."""
    assert server._server is not None
    answer, lock = server._server.app, Lock()

    def answer_alone(*request: Any) -> Any:
        with lock:
            return answer(*request)

    server._server.app = answer_alone


@pytest.fixture
def s3_uri(s3_environ: dict[str, str]) -> str:
    """A new bucket, and a folder in it."""
    bucket = f"bucket-{uuid4()}"
    client = boto3.client(
        "s3",
        endpoint_url=s3_environ["AWS_ENDPOINT_URL"],
        region_name=s3_environ["AWS_REGION"],
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
    )
    client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-west-1"})
    client.close()
    return f"s3://{bucket}/some/folder"


@pytest.fixture(params=["memory", "file", "s3"])
def uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a store is, one of each kind in turn."""
    if request.param == "s3":
        found: str = request.getfixturevalue("s3_uri")
        return found
    return "memory://" if request.param == "memory" else (tmp_path / "a store").as_uri()


@pytest.fixture
def store(uri: str, s3_environ: dict[str, str]) -> Store:
    return Store.open(uri, environ=s3_environ)


X = TensorSpec("x", "FP32", (-1, 2), ("age", "income"))
Y = TensorSpec("y", "FP32", (-1,))


def push(
    registry: Registry, data: bytes = b"a model", *, name: str = "fraud", actor: str = "ann", **details: Any
) -> Manifest:
    """A version of a small model; the registry does not look into the file."""
    facts: dict[str, Any] = {"metrics": {"auc": 0.9}, "lineage": {"commit": "abc"}, "compression": {}} | details
    return registry.push(
        ModelSpec(name, "classification", "Is it a fraud?", (X,), (Y,)),
        data,
        signature=Signature((X,), (Y,)),
        actor=actor,
        why="retrained",
        **facts,
    )


type Push = Callable[..., Manifest]


@pytest.fixture(scope="session", name="push")
def push_fixture() -> Push:
    return push


@pytest.fixture
def registry(store: Store) -> Registry:
    return Registry(store)
