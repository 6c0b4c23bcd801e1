"""The process itself, over an empty registry."""

import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.emulator import HOST, Process
from cli.errors import CommandFailed
from cli.local_endpoint import LocalEndpoint
from cli.target import CHECKOUT


@pytest.fixture
def endpoint(tmp_path: Path) -> Iterator[LocalEndpoint]:
    endpoint = LocalEndpoint(tmp_path / "aws", CHECKOUT, guest=True)
    yield endpoint
    endpoint.stop()


@pytest.fixture
def settings(tmp_path: Path) -> dict[str, str]:
    return {"LASTMILE_ARTIFACTS": (tmp_path / "registry").as_uri(), "LASTMILE_STAGE": "dev"}


def is_open(process: Process) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, process.port)) == 0


def test_it_is_started_once_and_keeps_its_port(endpoint: LocalEndpoint, settings: dict[str, str]) -> None:
    assert not endpoint.stop()
    port, is_new = endpoint.reserve()
    assert is_new
    assert endpoint.reserve() == (port, False)
    process = endpoint.start(settings)
    assert process.port == port
    assert endpoint.start(settings) == endpoint.running() == process
    assert LocalEndpoint(endpoint.folder, CHECKOUT).running() == process
    assert endpoint.stop()
    assert endpoint.running() is None
    assert not is_open(process)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    again = endpoint.start(settings)
    assert (again.port, again.pid == process.pid) == (port, False)
    os.kill(again.pid, signal.SIGKILL)
    while endpoint.running() is not None:
        time.sleep(0.01)
    assert endpoint.reserve() == (port, False)


def test_a_port_that_is_lost_is_given_up(endpoint: LocalEndpoint, settings: dict[str, str]) -> None:
    port, _ = endpoint.reserve()
    with socket.create_server((HOST, port)):
        other, has_changed = endpoint.reserve()
        assert has_changed
        assert other != port


def test_one_that_cannot_start_says_where_to_read(endpoint: LocalEndpoint) -> None:
    endpoint.reserve()
    with pytest.raises(CommandFailed, match="did not start") as raised:
        endpoint.start({})
    assert str(endpoint.log) in str(raised.value.next_step)
    assert "LASTMILE_ARTIFACTS" in endpoint.log.read_text()
    assert endpoint.running() is None
