import json
import socket
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import pytest

from functions.inference.segments import Segments
from functions.inference.serving import recorder
from lastmile.capture import Recording
from lastmile.settings import Settings
from tests.unit.watching import manifest, spec

HEADER = "Root=1-68d0c1f2-0a1b2c3d4e5f60718293a4b5;Parent=53995c3f42cd8ad8;Sampled={};Lineage=1:a87bd80c:0"
FACTS: dict[str, Any] = {
    "role": "champion",
    "milliseconds": 2.0,
    "recording": Recording.of(manifest(spec(), 3)),
    "error": None,
}


@contextmanager
def opened(address: str, environment: dict[bytes, bytes], told: list[dict[str, Any]]) -> Iterator[Segments]:
    segments = Segments(address, environment, lambda **facts: told.append(facts))
    with closing(segments.socket):
        yield segments


def test_a_sampled_call_has_the_time_in_the_model_in_its_trace() -> None:
    environment: dict[bytes, bytes] = {}
    told: list[dict[str, Any]] = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as daemon:
        daemon.bind(("127.0.0.1", 0))
        daemon.settimeout(10)
        with opened(f"127.0.0.1:{daemon.getsockname()[1]}", environment, told) as segments:
            for sampled in (0, 1):
                environment[b"_X_AMZN_TRACE_ID"] = HEADER.format(sampled).encode()
                segments(**FACTS)
        head, body = daemon.recv(65536).splitlines()
    found = json.loads(body)
    assert json.loads(head) == {"format": "json", "version": 1}
    assert (found["trace_id"], found["parent_id"]) == ("1-68d0c1f2-0a1b2c3d4e5f60718293a4b5", "53995c3f42cd8ad8")
    assert found["annotations"] == {"model": "fraud", "version": 3, "role": "champion"}
    assert 0.001 < found["end_time"] - found["start_time"] < 0.003
    assert abs(found["end_time"] - time.time()) < 60
    assert told == [FACTS, FACTS]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "192.0.2.1:2000"])
def test_a_daemon_that_is_not_there_costs_no_answer(address: str) -> None:
    told: list[dict[str, Any]] = []
    with opened(address, {b"_X_AMZN_TRACE_ID": HEADER.format(1).encode()}, told) as segments:
        for _ in range(3):
            segments(**FACTS)
    assert told == [FACTS] * 3


def test_the_function_sends_segments_where_lambda_has_a_daemon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_XRAY_DAEMON_ADDRESS", "127.0.0.1:2000")
    in_lambda = {"LASTMILE_ARTIFACTS": "memory://", "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769"}
    for capture in ("on", "off"):
        record = recorder(Settings.from_env(in_lambda | {"LASTMILE_CAPTURE": capture}))
        assert isinstance(record, Segments)
        record.socket.close()
    assert recorder(Settings.from_env({"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_CAPTURE": "off"})) is None
