import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cli.deployment import Deployment, cdk, started
from cli.errors import CommandFailed

QUIET = lambda _: None  # noqa: E731


@pytest.fixture
def deployment(tmp_path: Path) -> Deployment:
    """Of a checkout whose builder and CDK are scripts that a test writes."""
    checkout = tmp_path / "checkout"
    for file in ("infra/app.py", "infra/config.py", "cdk.json", "package-lock.json", "uv.lock"):
        (checkout / file).parent.mkdir(parents=True, exist_ok=True)
        (checkout / file).write_text(file)
    assets = checkout / ".build/assets"
    assets.mkdir(parents=True)
    for name in ("inference-x86_64", "inference-arm64"):
        (assets / f"{name}.digest").write_text(name)
    return Deployment(
        checkout=checkout, stage="dev", environ=dict(os.environ), log=tmp_path / "log", architecture="x86_64"
    )


def say(deployment: Deployment, script: str) -> None:
    python = deployment.checkout / ".venv/bin/python"
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)


def test_a_digest_stays_while_nothing_changes(deployment: Deployment) -> None:
    before = deployment.digest()
    (deployment.checkout / "README.md").write_text("new")
    (deployment.checkout / ".build/assets/inference-arm64.digest").write_text("another architecture's")
    assert deployment.digest() == before


@pytest.mark.parametrize(
    "file",
    [
        "infra/app.py",
        "infra/new.py",
        "cdk.json",
        "package-lock.json",
        "uv.lock",
        ".build/assets/inference-x86_64.digest",
    ],
)
def test_a_digest_changes_with_every_input(deployment: Deployment, file: str) -> None:
    before = deployment.digest()
    (deployment.checkout / file).write_text("changed")
    assert deployment.digest() != before


def test_a_digest_tells_stages_and_architectures_apart(deployment: Deployment) -> None:
    others = [replace(deployment, stage="prod"), replace(deployment, architecture="arm64")]
    others.append(replace(deployment, context={"gpu": "true"}))
    assert len({deployment.digest(), *(other.digest() for other in others)}) == 4


def test_a_digest_of_two_files_knows_which_is_which(deployment: Deployment) -> None:
    before = deployment.digest()
    app, config = deployment.checkout / "infra/app.py", deployment.checkout / "infra/config.py"
    swapped = app.read_text(), config.read_text()
    config.write_text(swapped[0])
    app.write_text(swapped[1])
    assert deployment.digest() != before


def test_what_a_command_says_is_told_and_logged(deployment: Deployment) -> None:
    say(deployment, 'echo "$@"; echo; echo second >&2')
    told: list[str] = []
    deployment.build(told.append)
    assert told == ["-m layers.build --arch x86_64", "second"]
    log = deployment.log.read_text().splitlines()
    assert log[0].startswith("$ ")
    assert log[1:] == ["-m layers.build --arch x86_64", "", "second"]


def test_both_architectures_are_built_where_none_is_named(deployment: Deployment) -> None:
    say(deployment, 'echo "$@"')
    told: list[str] = []
    replace(deployment, architecture=None).build(told.append)
    assert told == ["-m layers.build --arch all"]


@pytest.mark.parametrize(
    "words",
    [
        "echo first; echo no space left on device",
        "echo no space left on device; echo .venv/bin/python -m infra.app: Subprocess exited with error 1",
        r"printf '\033[1;35mno space\033[0m left on device\n'",
    ],
    ids=["last", "the app's, not the CDK's about it", "in colours"],
)
def test_a_failure_says_the_last_words_and_where_the_rest_is(deployment: Deployment, words: str) -> None:
    say(deployment, f"{words}; exit 1")
    with pytest.raises(CommandFailed, match=r"^The assets could not be built: no space left on device$") as failure:
        deployment.build(QUIET)
    assert str(deployment.log) in str(failure.value.next_step)


def test_an_exception_in_the_body_ends_the_process_and_what_it_started(tmp_path: Path) -> None:
    script = "import subprocess, sys; print(subprocess.Popen(['sleep', '600']).pid, flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", f"{script}; import time; time.sleep(600)"]
    with pytest.raises(KeyboardInterrupt), started(command, folder=tmp_path, environ=dict(os.environ)) as process:
        assert process.stdout is not None
        grandchild = int(process.stdout.readline())
        raise KeyboardInterrupt
    assert process.returncode == -signal.SIGKILL
    assert_ended(grandchild)


def assert_ended(pid: int) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
        except FileNotFoundError:
            return
        if state == "Z":
            return
        time.sleep(0.02)
    pytest.fail(f"process {pid} is still running")


def test_the_difference_is_no_part_of_the_answer(deployment: Deployment, capfd: pytest.CaptureFixture[str]) -> None:
    """In CI the CDK writes it to standard output, where a program reads JSON."""
    command = deployment.checkout / "node_modules/aws-cdk/bin/cdk"
    command.parent.mkdir(parents=True)
    command.write_text("console.log('a bucket'); process.exit(process.argv.includes('broken') ? 1 : 0)")
    deployment.show_difference(Path("assembly"))
    assert capfd.readouterr() == ("", "a bucket\n")
    with pytest.raises(CommandFailed, match="could not be found"):
        deployment.show_difference(Path("broken"))


def test_a_missing_cdk_is_one_sentence_with_a_next_step(tmp_path: Path) -> None:
    with pytest.raises(CommandFailed, match="CDK command line is not installed") as failure:
        cdk(tmp_path)
    assert failure.value.next_step == "Run `make up`."
