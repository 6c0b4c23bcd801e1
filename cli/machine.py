"""What this machine needs, and whether it has it."""

import os
import platform
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable

from cli.errors import CommandFailed
from cli.target import CHECKOUT

PYTHON = (3, 13)
NEEDED_GB = 3  # environments, assets, and a deployment with its state


def python() -> str:
    if sys.version_info[:2] != PYTHON:
        wanted = ".".join(map(str, PYTHON))
        raise CommandFailed(f"This is Python {platform.python_version()}.", next_step=f"Install Python {wanted}.")
    return f"{platform.python_version()} at {sys.executable}"


def uv() -> str:
    from cli.environment import uv as find

    found = find(CHECKOUT)
    return f"{version_of([found, '--version'])} at {found}"


def node() -> str:
    from cli.deployment import node as find

    return version_of([str(find()), "--version"])


def cdk() -> str:
    from cli.deployment import cdk as find

    return version_of([*find(CHECKOUT), "--version"])


def processor() -> str:
    from cli.local import host_architecture

    return f"{host_architecture()}, {os.cpu_count()} cores"


def ports() -> str:
    from cli.local_process import HOST, free_port

    try:
        port = free_port()
        with socket.create_server((HOST, port)), socket.create_connection((HOST, port), timeout=2):
            return f"{HOST}:{port} could be opened"
    except OSError as error:
        raise CommandFailed(f"No port of {HOST} can be opened: {error}.", next_step="Look at your firewall.") from None


def disk() -> str:
    free = shutil.disk_usage(CHECKOUT).free / 1e9
    if free < NEEDED_GB:
        raise CommandFailed(f"{free:.1f} GB are free.", next_step=f"Free {NEEDED_GB} GB on the disk of {CHECKOUT}.")
    return f"{free:.0f} GB free"


CHECKS: dict[str, Callable[[], str]] = {
    "python": python,
    "uv": uv,
    "node": node,
    "cdk": cdk,
    "processor": processor,
    "ports": ports,
    "disk": disk,
}


def version_of(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise CommandFailed(f"{command[0]} does not run: {done.stderr.strip()}", next_step="Run `make clean up`.")
    return done.stdout.strip()
