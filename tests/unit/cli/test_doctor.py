import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from botocore.exceptions import EndpointConnectionError

from cli import machine
from cli.doctor import Check
from cli.errors import CommandFailed


def raises(error: Exception) -> Callable[[], str]:
    def look() -> str:
        raise error

    return look


def test_a_check_says_what_it_found() -> None:
    assert vars(Check("disk", lambda: "7 GB free").run()) == {
        "check": "disk",
        "state": "ok",
        "found": "7 GB free",
        "mend": None,
    }


def test_a_failed_check_says_how_to_mend_it() -> None:
    finding = Check("disk", raises(CommandFailed("It is full.", next_step="Empty it."))).run()
    assert (finding.state, finding.found, finding.mend) == ("wrong", "It is full.", "Empty it.")


def test_what_aws_says_is_a_finding_and_no_crash() -> None:
    finding = Check("stacks", raises(EndpointConnectionError(endpoint_url="http://127.0.0.1:9"))).run()
    assert finding.state == "wrong"
    assert "http://127.0.0.1:9" in finding.found
    assert finding.mend == "Check the network, the region, and the credentials (--profile)."


@pytest.fixture(autouse=True)
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a fresh clone nothing has installed the local AWS yet, which is another finding than these tests are about."""
    monkeypatch.setattr("cli.health.Local.installed", lambda _: ".local-aws")


def test_after_something_wrong_the_rest_of_the_stack_is_skipped(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("doctor", "--local", tmp_path, "--json")
    findings = {item["check"]: item["state"] for item in outcome.json}
    assert outcome.code == 1
    assert findings["running"] == "wrong"
    assert {findings[name] for name in ("stacks", "API", "token", "first model")} == {"skipped"}


def test_the_table_names_every_check(lastmile: Any, tmp_path: Path) -> None:
    outcome = lastmile("doctor", "--local", tmp_path)
    assert outcome.code == 1
    for name in machine.CHECKS:
        assert f"  {name} " in outcome.out
    assert "✗  running" in outcome.out
    assert "Run `make up`." in outcome.out


def test_another_python_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "PYTHON", (3, 99))
    with pytest.raises(CommandFailed) as failure:
        machine.python()
    assert failure.value.next_step == "Install Python 3.99."


def test_a_full_disk_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine, "NEEDED_GB", 10**9)
    with pytest.raises(CommandFailed, match="GB are free"):
        machine.disk()


def test_closed_ports_are_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("socket.create_server", lambda *_: raises(OSError("not permitted"))())
    with pytest.raises(CommandFailed, match="not permitted"):
        machine.ports()


def test_a_program_that_does_not_run_is_wrong(tmp_path: Path) -> None:
    broken = tmp_path / "node"
    broken.write_text("#!/bin/sh\necho cannot execute >&2\nexit 1\n")
    broken.chmod(0o755)
    with pytest.raises(CommandFailed, match="cannot execute"):
        machine.version_of([str(broken), "--version"])


def test_json_is_one_document(lastmile: Any, tmp_path: Path) -> None:
    assert isinstance(json.loads(lastmile("doctor", "--local", tmp_path, "--json").out), list)
