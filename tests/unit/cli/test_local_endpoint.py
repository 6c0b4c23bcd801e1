"""The process itself, over an empty registry."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.errors import CommandFailed
from cli.local_endpoint import LocalEndpoint, Place
from cli.local_process import HOST, Process
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
    with endpoint.reserved() as place:
        assert place.is_new
        process = endpoint.start(settings, place)
    assert process.port == place.port
    with endpoint.reserved() as again:
        assert again == Place(process.port, False, None)
        assert endpoint.start(settings, again) == endpoint.running() == process
    assert LocalEndpoint(endpoint.folder, CHECKOUT).running() == process
    assert endpoint.stop()
    assert endpoint.running() is None
    assert not is_open(process)
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)


def test_nobody_else_gets_its_port_until_it_is_started(endpoint: LocalEndpoint) -> None:
    with endpoint.reserved() as place, socket.socket() as other, pytest.raises(OSError, match="in use"):
        other.bind((HOST, place.port))


def test_a_port_that_is_lost_is_given_up(endpoint: LocalEndpoint) -> None:
    with endpoint.reserved() as place:
        pass
    with socket.create_server((HOST, place.port)), endpoint.reserved() as other:
        assert other.is_new
        assert other.port != place.port


def test_one_that_cannot_start_says_where_to_read(endpoint: LocalEndpoint) -> None:
    with endpoint.reserved() as place, pytest.raises(CommandFailed, match="did not start") as raised:
        endpoint.start({}, place)
    assert str(endpoint.log) in str(raised.value.next_step)
    assert "LASTMILE_ARTIFACTS" in endpoint.log.read_text()
    assert endpoint.running() is None
