import os
from collections.abc import Callable
from pathlib import Path

import pytest

from cli import environment
from cli.environment import local_aws_python, uv
from cli.errors import CommandFailed

type FakeUv = Callable[[str], Path]


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / "uv.lock").write_text("locked")
    return checkout


@pytest.fixture
def fake_uv(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeUv:
    """A uv that notes how it was called, and does what it is told to do."""

    def write(script: str) -> Path:
        path = tmp_path / "uv"
        noted = f'echo "$UV_PROJECT_ENVIRONMENT $*" >> {tmp_path}/calls'
        path.write_text(f'#!/bin/sh\n[ "$1" = --version ] && exit 0\n{noted}\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setenv("UV", str(path))
        return tmp_path / "calls"

    return write


MAKES_ONE = 'mkdir -p "$UV_PROJECT_ENVIRONMENT/bin"; ln -sf "$0" "$UV_PROJECT_ENVIRONMENT/bin/python"'


def test_the_environment_is_made_once_and_again_when_the_lock_changes_or_its_python_is_gone(
    checkout: Path, fake_uv: FakeUv
) -> None:
    calls = fake_uv(MAKES_ONE)
    python = local_aws_python(checkout)
    assert python == checkout / ".local-aws/bin/python"
    local_aws_python(checkout)
    assert len(calls.read_text().splitlines()) == 1
    (checkout / "uv.lock").write_text("locked otherwise")
    local_aws_python(checkout)
    assert len(calls.read_text().splitlines()) == 2
    python.unlink()
    python.symlink_to("/usr/bin/python3.13.0-that-was-replaced")
    local_aws_python(checkout)
    assert len(calls.read_text().splitlines()) == 3


def test_it_holds_its_group_alone_for_the_functions_runtime(checkout: Path, fake_uv: FakeUv) -> None:
    calls = fake_uv(MAKES_ONE)
    local_aws_python(checkout)
    folder, _, words = calls.read_text().strip().partition(" ")
    assert folder == str(checkout / ".local-aws")
    assert "--only-group local-aws" in words
    assert "--python 3.13" in words
    assert "--no-install-project" in words
    assert "--frozen" in words


def test_a_failure_is_one_sentence_and_is_tried_again(checkout: Path, fake_uv: FakeUv) -> None:
    calls = fake_uv("echo 'No interpreter found for Python 3.13' >&2; exit 2")
    for _ in range(2):
        with pytest.raises(CommandFailed, match=r"could not be installed: No interpreter found for Python 3\.13"):
            local_aws_python(checkout)
    assert len(calls.read_text().splitlines()) == 2


def test_a_uv_that_does_not_run_is_passed_over(checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shim = tmp_path / "bin/uv"
    shim.parent.mkdir()
    shim.write_text("#!/bin/sh\necho 'pyenv: uv: command not found' >&2\nexit 127\n")
    shim.chmod(0o755)
    monkeypatch.delenv("UV", raising=False)
    monkeypatch.setenv("PATH", f"{shim.parent}{os.pathsep}{os.environ['PATH']}")
    own = checkout / ".tools/bin/uv"
    own.parent.mkdir(parents=True)
    own.write_text("#!/bin/sh\nexit 0\n")
    own.chmod(0o755)
    assert uv(checkout) == str(own)
    own.write_text("#!/bin/sh\nexit 1\n")
    monkeypatch.setattr(environment, "candidates", lambda _: iter([str(shim), str(own)]))
    with pytest.raises(CommandFailed, match="no working uv"):
        uv(checkout)
