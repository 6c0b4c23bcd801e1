"""What of a request goes to the endpoint, and how often."""

from collections.abc import Iterator

import numpy as np
import pytest

from lastmile.errors import EndpointUnavailable
from lastmile.heavy.backend import BESIDE_FAILURES, SageMakerBackend
from lastmile.heavy.breaker import FAILURES
from lastmile.heavy.client import RETRIES, Runtime
from lastmile.tensors import TensorSpec
from tests.unit.lastmile.heavy.conftest import Host

ROW = {"x": np.ones((1, 2), np.float32)}
THROTTLED = (429, {"x-amzn-ErrorType": "ThrottlingException"}, b'{"Message": "Rate exceeded"}')


@pytest.fixture
def backend(host: Host) -> Iterator[SageMakerBackend]:
    runtime = Runtime(host.environ, pause=lambda _: None)
    specs = {"x": TensorSpec("x", "FP32", (-1, 2))}
    yield SageMakerBackend(
        runtime, endpoint="e", component="c", inputs=specs, outputs=specs, max_batch=8, deadline_seconds=10.0
    )
    runtime.reconnect()


def asked(host: Host, backend: SageMakerBackend, seconds: float | None) -> int:
    """How many requests one run took that failed."""
    before = len(host.requests)
    with pytest.raises(EndpointUnavailable, match="Rate exceeded"):
        backend.run(None, ROW, seconds=seconds)
    return len(host.requests) - before


def test_what_an_answer_waits_for_is_asked_once(host: Host, backend: SageMakerBackend) -> None:
    host.answer = lambda _: THROTTLED
    assert asked(host, backend, None) == RETRIES + 1
    assert asked(host, backend, 1.0) == 1


def test_what_failed_beside_an_answer_rests_alone(host: Host, backend: SageMakerBackend) -> None:
    host.answer = lambda _: THROTTLED
    for _ in range(BESIDE_FAILURES):
        assert asked(host, backend, 1.0) == 1
    assert [asked(host, backend, 1.0) for _ in range(FAILURES)] == [0] * FAILURES
    assert asked(host, backend, None) == RETRIES + 1  # nobody else is told
