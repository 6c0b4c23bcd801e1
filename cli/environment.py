"""The Python environment the local AWS runs in, apart from our own: its interpreter is also the handlers'."""

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from cli.emulator import alone
from cli.errors import CommandFailed

GROUP = "local-aws"


def local_aws_python(checkout: Path) -> Path:
    """The interpreter of `.local-aws`, which is made on first use, and again when it is gone or the lock changes."""
    folder = checkout / ".local-aws"
    with alone(checkout / ".build/local-aws.lock", waiting="Waiting for another command that installs the local AWS."):
        wanted = hashlib.sha256((checkout / "uv.lock").read_bytes()).hexdigest()
        made_from, python = folder / ".made-from", folder / "bin/python"
        # The interpreter it was made with, to which it leads, may be gone: versions are replaced by newer ones.
        if not python.exists() or not made_from.exists() or made_from.read_text() != wanted:
            install(checkout, folder)
            made_from.write_text(wanted)
    return python


def install(checkout: Path, folder: Path) -> None:
    version = f"{sys.version_info.major}.{sys.version_info.minor}"  # the handlers' runtime, as .python-version says
    command = [uv(checkout), "sync", "--frozen", "--quiet", "--no-install-project", "--only-group", GROUP]
    command += ["--python", version]
    environ = os.environ | {"UV_PROJECT_ENVIRONMENT": str(folder)}
    done = subprocess.run(command, cwd=checkout, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr or done.stdout).strip()
        raise CommandFailed(f"The local AWS could not be installed: {reason}", next_step="Run `lastmile doctor`.")


def uv(checkout: Path) -> str:
    """The first uv that answers: a version manager's shim can be on the path and yet have nothing behind it."""
    for candidate in candidates(checkout):
        if subprocess.run([candidate, "--version"], capture_output=True, check=False).returncode == 0:
            return candidate
    raise CommandFailed("There is no working uv on this machine.", next_step="Run `make up`, which brings its own.")


def candidates(checkout: Path) -> Iterator[str]:
    for candidate in (os.environ.get("UV"), str(checkout / ".tools/bin/uv"), "uv"):
        if candidate and (found := shutil.which(candidate)):
            yield found
