"""Finds a uv that works."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent


class UvMissing(Exception):
    """No uv answers on this machine."""


@cache
def uv() -> str:
    """Path of the first uv that answers: the one in $UV, the Makefile's own, the one on the path."""
    for candidate in _candidates():
        # A version manager's shim can be on the path and yet have nothing behind it.
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise UvMissing("There is no working uv on this machine; `make build` brings one into .tools.")


def _candidates() -> Iterator[str]:
    for candidate in (os.environ.get("UV"), str(ROOT / ".tools/bin/uv"), "uv"):
        if candidate and (found := shutil.which(candidate)):
            yield found
