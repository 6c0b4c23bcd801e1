"""Rivals, each installed in a throwaway environment of its own under `.build/bench`, once per list of requirements."""

import hashlib
import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from layers.uv import ROOT, uv

BENCH = ROOT / ".build/bench"


class EnvironmentFailed(Exception):
    """A rival cannot be installed."""


@dataclass(frozen=True)
class Environment:
    """A folder made by `uv venv`."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin/python"

    @property
    def site_packages(self) -> Path:
        (found,) = self.folder.glob("lib/python3*/site-packages")
        return found

    @property
    def record(self) -> Path:
        """Written last: what was installed."""
        return self.folder / ".requirements"

    def versions(self) -> dict[str, str]:
        listed = _uv("pip", "list", "--format", "json", "--python", str(self.python))
        return {package["name"]: package["version"] for package in json.loads(listed)}


def environment(name: str, requirements: Sequence[str], *, python: str = "3.13") -> Environment:
    """The environment of a rival, installed on the first use; `requirements` should be exact."""
    if (there := installed(name, requirements, python=python)) is not None:
        return there
    found = Environment(BENCH / name)
    shutil.rmtree(found.folder, ignore_errors=True)
    _uv("venv", "--quiet", "--python", python, str(found.folder))
    _uv("pip", "install", "--quiet", "--python", str(found.python), *requirements)
    found.record.write_text(_digest(requirements, python))
    return found


def installed(name: str, requirements: Sequence[str], *, python: str = "3.13") -> Environment | None:
    """The environment if it is there, with these requirements."""
    found = Environment(BENCH / name)
    if found.record.is_file() and found.record.read_text() == _digest(requirements, python):
        return found
    return None


def bundle(name: str, requirements: Sequence[str], *, platform: str | None = None, alone: bool = False) -> Path:
    """A folder filled as `pip install -t` fills it, without bytecode; `platform` is one of uv's, default this one.
    `alone` leaves out what the requirements depend on."""
    folder = BENCH / name
    wanted = _digest(requirements, f"target {platform}")
    record = BENCH / f"{name}.requirements"
    if not record.is_file() or record.read_text() != wanted:
        shutil.rmtree(folder, ignore_errors=True)
        options = ["--target", str(folder), "--python", "3.13", "--link-mode", "copy"]
        if platform is not None:
            options += ["--python-platform", platform, "--only-binary", ":all:"]
        if alone:
            options.append("--no-deps")
        if requirements:  # some functions find all they need in the layer
            _uv("pip", "install", "--quiet", *options, *requirements)
        record.write_text(wanted)
    return folder


def locked(group: str) -> list[str]:
    """The requirements of a dependency group, as uv.lock fixes them."""
    options = ["--frozen", "--quiet", "--no-hashes", "--no-emit-project", "--no-header", "--no-annotate"]
    return _uv("export", *options, "--only-group", group, "--project", str(ROOT)).splitlines()


def _digest(requirements: Sequence[str], kind: str) -> str:
    return hashlib.sha256(json.dumps([kind, *requirements]).encode()).hexdigest()


def _uv(*arguments: str) -> str:
    BENCH.mkdir(parents=True, exist_ok=True)
    done = subprocess.run([uv(), *arguments], cwd=BENCH, env=_environ(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise EnvironmentFailed(f"uv {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def _environ() -> dict[str, str]:
    """Ours, with every Python of a pyenv to be found: otherwise only the one that the project selects answers."""
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    selected = ":".join(sorted(folder.name for folder in root.glob("versions/*")))
    return {**os.environ, "PYENV_VERSION": selected} if selected else {**os.environ}
