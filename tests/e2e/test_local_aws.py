"""The local AWS with everything deployed: up, up again, down, and up with what was there before."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from cli.errors import CommandFailed
from cli.first_model import FirstModel
from cli.local import LocalAws
from cli.local_process import HOST, Process
from cli.progress import Silence
from cli.summary import summarise
from cli.target import CHECKOUT, STACKS, Target

UP_AGAIN_SECONDS = 240
INTERRUPTED = 130


@pytest.fixture(scope="module")
def spare(local_aws: LocalAws, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalAws]:
    """Another one, to be stopped, killed and broken; each test leaves it down."""
    spare = replace(local_aws, folder=tmp_path_factory.mktemp("spare"))
    yield spare
    spare.erase()


def running(local: LocalAws) -> Process:
    process = local.emulator.running()
    assert process is not None
    return process


def is_open(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((HOST, port)) == 0


def processes_in(folder: Path) -> list[int]:
    """Whatever runs out of the folder. Dead ones that nobody has collected yet do not run."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            command, status = (process / "cmdline").read_bytes(), (process / "stat").read_text()
        except OSError:
            continue
        if str(folder).encode() in command and status.rpartition(") ")[2][0] != "Z":
            found.append(int(process.name))
    return found


def assert_nothing_is_left(local: LocalAws, process: Process) -> None:
    assert local.emulator.running() is None
    assert local.endpoint.running() is None
    assert not is_open(process.port)
    assert processes_in(local.folder) == []
    assert not (local.folder / "local.json").exists()
    assert not (local.folder / "tmp").exists()


def was_deployed(local: LocalAws) -> bool:
    """By the last `up`, which begins a log of its own."""
    log = local.folder / "deploy.log"
    return log.exists() and "cdk deploy " in log.read_text()


def test_the_deployment_is_healthy(stack: Target) -> None:
    formation = stack.client("cloudformation")
    for name in STACKS:
        described = formation.describe_stacks(StackName=f"Lastmile-dev-{name}")["Stacks"][0]
        assert described["StackStatus"] == "CREATE_COMPLETE"
    assert stack.call("GET", "/health").status == 200


def test_nothing_listens_beyond_this_machine(local_aws: LocalAws, stack: Target) -> None:
    process = running(local_aws)
    sockets = {str(link.readlink()) for link in Path(f"/proc/{process.pid}/fd").iterdir()}
    rows = [line.split() for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    listening = [row[1] for row in rows if row[3] == "0A" and f"socket:[{row[9]}]" in sockets]
    assert listening == [f"0100007F:{process.port:04X}"]


def test_the_summary_is_what_the_api_answers(
    stack: Target, local_aws: LocalAws, capsys: pytest.CaptureFixture[str]
) -> None:
    summary = summarise(stack, FirstModel(local_aws.checkout).images())
    assert len(summary.predictions) == 5
    assert sum(item.predicted == item.digit for item in summary.predictions) >= 4
    assert [item.kind for item in summary.versions] == ["fp32", "int8-static"]
    assert all(item.accuracy > 0.95 for item in summary.versions)
    assert summary.versions[1].bytes < summary.versions[0].bytes / 3
    summary.print()
    printed = capsys.readouterr().out
    for said in (stack.api_url, summary.curl, "true digit", "predicted", "fp32", "int8-static", "champion"):
        assert said in printed


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on this machine")
def test_the_curl_line_works_when_pasted(stack: Target, local_aws: LocalAws) -> None:
    summary = summarise(stack, FirstModel(local_aws.checkout).images())
    pasted = subprocess.run(["bash", "-c", summary.curl], capture_output=True, text=True, check=True, timeout=30)
    [prediction] = json.loads(pasted.stdout)["predictions"]
    assert prediction["label"] == summary.predictions[0].predicted


def test_up_again_reuses_what_is_up(stack: Target, local_aws: LocalAws) -> None:
    before = running(local_aws)
    started = time.monotonic()
    assert local_aws.up(Silence()) == stack
    assert time.monotonic() - started < UP_AGAIN_SECONDS
    assert running(local_aws) == before
    assert not was_deployed(local_aws)


def test_two_at_once_make_one_deployment(spare: LocalAws) -> None:
    lasting = replace(spare, guest=False)  # a guest would end with the thread that starts it
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(lambda _: lasting.up(Silence()), range(2))
    assert first == second
    assert [entry.action for entry in first.registry().audit("digits")].count("promote") == 2
    assert processes_in(spare.folder) != []
    process = running(spare)
    assert spare.down()
    assert_nothing_is_left(spare, process)
    assert not spare.down()


def test_state_survives_down_and_up(spare: LocalAws) -> None:
    before = spare.up(Silence())
    before.registry().promote("digits", 1, actor="a test", why="to be remembered")
    release, audit, token = before.registry().release("digits"), before.registry().audit("digits"), before.token()
    spare.down()
    started = time.monotonic()
    after = spare.up(Silence())
    assert time.monotonic() - started < UP_AGAIN_SECONDS
    assert not was_deployed(spare)
    assert after == before
    assert after.registry().release("digits") == release
    assert after.registry().audit("digits") == audit
    assert after.registry().verify_audit("digits") == []
    assert after.call("GET", "/v2/models/digits/ready", token=token).status == 200
    spare.down()


def test_state_survives_a_crash(spare: LocalAws) -> None:
    before = spare.up(Silence())
    before.registry().promote("digits", 2, actor="a test", why="to be remembered")
    release, process = before.registry().release("digits"), running(spare)
    os.kill(process.pid, signal.SIGKILL)
    after = spare.up(Silence())
    assert not was_deployed(spare)
    assert after == before
    assert after.registry().release("digits") == release
    assert spare.down()
    assert_nothing_is_left(spare, process)


def test_a_failed_deployment_leaves_what_was_there_before(spare: LocalAws, tmp_path: Path) -> None:
    (spare.folder / "deployed.json").unlink()
    with pytest.raises(CommandFailed, match="The stacks could not be deployed"):
        replace(spare, assembly=tmp_path).up(Silence())
    assert spare.emulator.running() is None
    assert processes_in(spare.folder) == []
    assert spare.up(Silence()).call("GET", "/health").status == 200
    spare.down()


@pytest.mark.parametrize("interruption", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_up_leaves_nothing(tmp_path: Path, assets: Path, interruption: signal.Signals) -> None:
    local = LocalAws(folder=tmp_path / "interrupted")
    command = [str(Path(sys.executable).with_name("lastmile")), "--local", str(local.folder), "up", "--bare"]
    with subprocess.Popen(command, cwd=CHECKOUT, stderr=subprocess.PIPE, text=True) as up:
        assert up.stderr is not None
        for line in up.stderr:
            if "Synthesising" in line:
                break
        process = running(local)
        up.send_signal(interruption)
        up.stderr.read()
    assert up.returncode == INTERRUPTED
    assert_nothing_is_left(local, process)
