"""An endpoint that takes requests over real sockets; what it writes is written by the tests."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import pytest

from lastmile.errors import NotFound
from lastmile.heavy.client import Runtime
from lastmile.heavy.pending import LOST_SECONDS, RETRY_SECONDS, Failed, Meta, Pending, Waiting
from lastmile.heavy.wire import Payload, decode
from lastmile.store import Store
from lastmile.tensors import Array, TensorSpec
from tests.unit.lastmile.heavy.conftest import Host

URI = "s3://bucket"
OUTPUTS = {"y": TensorSpec("y", "INT64", (-1,))}
CLOUDWATCH = "See https://eu-west-1.console.aws.amazon.com/cloudwatch/…/account/123456789012"


def read(content_type: str, body: bytes, rows: int) -> list[Array]:
    return decode(content_type, body, OUTPUTS, OUTPUTS, rows)


def answer(*values: int) -> bytes:
    output = {"name": "y", "datatype": "INT64", "shape": [len(values)], "data": values}
    return json.dumps({"outputs": [output]}).encode()


@dataclass
class World:
    host: Host
    store: Store
    runtime: Runtime
    now: float = 1.79e9
    meta: Meta = field(init=False)
    pending: Pending = field(init=False)

    def __post_init__(self) -> None:
        self.pending = Pending(self.store, URI, self.runtime, clock=lambda: self.now)

    def accept(self, *rows: int) -> None:
        parts = [(count, "application/json") for count in rows]
        self.meta = Meta("01KAJ4Y5N8V3W6Q2T9XZ7RMBDC", "m", 1, "champion", self.now, "asleep", "e", None, parts, {})
        self.pending.accept(self.meta, b"asked", [Payload("application/json", b"in")] * len(rows))

    @property
    def attempts(self) -> int:
        return len(self.host.requests)

    def write(self, number: int, body: bytes, *, failure: bool = False) -> None:
        """Of the request that was handed over as the n-th."""
        self.store.put(f"pending/{'failure' if failure else 'output'}-{number}", body)

    def look(self) -> list[list[Array]] | Failed | Waiting:
        return self.pending.answers(self.pending.meta(self.meta.id), read)


@pytest.fixture
def world(host: Host) -> Iterator[World]:
    def place(host: Host) -> tuple[int, dict[str, str], bytes]:
        where = {
            "X-Amzn-SageMaker-OutputLocation": f"{URI}/pending/output-{len(host.requests)}",
            "X-Amzn-SageMaker-FailureLocation": f"{URI}/pending/failure-{len(host.requests)}",
        }
        return 202, where, b"{}"

    host.answer = place
    runtime = Runtime(host.environ)
    yield World(host, Store.open("memory://", environ={}), runtime)
    runtime.reconnect()


def test_an_answer_is_waited_for_and_found(world: World) -> None:
    world.accept(2)
    assert world.look() == Waiting(RETRY_SECONDS)
    world.write(1, answer(3, 4))
    np.testing.assert_equal(world.look(), [[np.array([3, 4])]])
    assert world.attempts == 1


@pytest.mark.parametrize("body", [b"garbage", b"[" * 200_000, answer(1, 2, 3)], ids=lambda body: body[:9])
def test_garbage_is_asked_for_again_after_a_pause_and_then_after_a_longer_one(world: World, body: bytes) -> None:
    world.accept(2)
    began = world.now
    for number, pause in ((1, 30.0), (2, 300.0)):
        world.write(number, body)
        for _ in range(10):
            assert world.look() == Waiting(pause)
        assert world.attempts == number
        world.now += pause - 1
        assert world.look() == Waiting(1.0)
        world.now += 1
        assert world.look() == Waiting(RETRY_SECONDS)
        assert world.attempts == number + 1
    world.write(3, body)
    found = world.look()
    assert isinstance(found, Failed)
    assert (found.reason, world.attempts, world.now - began) == ("garbage", 3, 330.0)


def test_one_part_that_fails_for_a_moment_is_asked_for_again_alone(world: World) -> None:
    world.accept(2, 1)
    world.write(1, b"broken", failure=True)
    assert world.look() == Waiting(30.0)  # longer than what the other part is waited for
    world.write(2, answer(5))
    world.now += 30
    assert world.look() == Waiting(RETRY_SECONDS)
    world.write(3, answer(3, 4))
    np.testing.assert_equal(world.look(), [[np.array([3, 4])], [np.array([5])]])
    assert world.attempts == 3


def test_what_is_lost_is_asked_for_again_at_once(world: World) -> None:
    world.accept(2)
    world.now += LOST_SECONDS + 1
    assert world.look() == Waiting(RETRY_SECONDS)
    assert world.attempts == 2
    world.write(2, answer(3, 4))
    np.testing.assert_equal(world.look(), [[np.array([3, 4])]])


def test_what_an_endpoint_says_of_its_failure_is_logged_and_not_told(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.accept(2)
    for number, pause in ((1, 30.0), (2, 300.0), (3, 0.0)):
        world.write(number, f"Received server error (500) from model. {CLOUDWATCH}\n".encode(), failure=True)
        world.now += pause
        found = world.look()
    assert isinstance(found, Failed)
    assert (found.reason, found.error) == ("failing", "the endpoint failed")
    logged = capsys.readouterr().err.splitlines()
    assert len(logged) == 3
    assert all(world.meta.id in line and CLOUDWATCH in line for line in logged)


def test_what_the_model_refuses_is_told_and_not_asked_for_again(world: World) -> None:
    world.accept(2)
    said = {"Message": CLOUDWATCH, "OriginalStatusCode": 400, "OriginalMessage": '{"error":"unexpected shape"}'}
    world.write(1, json.dumps(said).encode(), failure=True)
    found = world.look()
    assert isinstance(found, Failed)
    assert found[:2] == ("refused", 'the model refuses the request: {"error":"unexpected shape"}')
    assert world.attempts == 1


def test_what_has_expired_in_part_is_not_found(world: World) -> None:
    world.accept(2)
    other = world.meta._replace(id="01KAJ4Y5N8V3W6Q2T9XZ7RMBDD")
    assert world.pending.asked(world.meta) == b"asked"
    with pytest.raises(NotFound) as raised:
        world.pending.asked(other)
    assert str(raised.value) == f"there is no prediction '{other.id}' whose answer is waited for"
