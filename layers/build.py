"""Builds the folders that Lambda mounts, without Docker: `python -m layers.build [--arch x86_64|arm64|all] [names…]`.

The same inputs give the same bytes on every machine, so that the hash CDK makes of an asset, and with it a
deployment, changes only when an input did.
"""

import argparse
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory

from layers.assets import ASSETS, PLATFORMS, Asset
from layers.pruning import StaleRule, prune
from layers.uv import ROOT, UvMissing, uv

OUT = ROOT / ".build/assets"
PYTHON = (3, 13)
BUILT_AT = 1577836800  # 2020-01-01: the time on every file, after 1980, where zip's calendar begins

# Files of a source folder that no function reads: packaging, texts for people, leftovers of tools.
LEFT_OUT = ("*/__pycache__/*", "*/.*", "*.pyc", "*/requirements.txt", "*/Dockerfile", "*.md", "*.yaml")


class BuildFailed(Exception):
    """One sentence that says which asset failed and why."""


@dataclass(frozen=True)
class Target:
    """One asset for one architecture, in one folder."""

    asset: Asset
    architecture: str
    out: Path

    @property
    def name(self) -> str:
        return f"{self.asset.name}-{self.architecture}"

    @property
    def folder(self) -> Path:
        return self.out / self.name

    @property
    def record(self) -> Path:
        """Beside the folder, not in it: says from which inputs the folder was built."""
        return self.out / f"{self.name}.digest"

    def is_current(self) -> bool:
        return self.folder.is_dir() and self.record.is_file() and self.record.read_text() == self.digest()

    def digest(self) -> str:
        inputs = hashlib.sha256(f"{self.name} {sys.version}".encode())
        for path, file in (*_builder(), ("requirements", ROOT / self.asset.requirements), *_sources(self.asset)):
            inputs.update(f"\n{path} {hashlib.sha256(file.read_bytes()).hexdigest()}".encode())
        return inputs.hexdigest()


def build(target: Target) -> None:
    """Builds in a temporary folder beside the target and renames into place, so that a reader never sees half of it."""
    started = time.monotonic()
    digest = target.digest()
    with TemporaryDirectory(prefix=".building-", dir=target.out) as temporary:
        folder = Path(temporary) / "asset"
        packages = folder / target.asset.packages
        packages.mkdir(parents=True)
        _install(target, packages)
        _copy_sources(target.asset, folder)
        _say(target, "compiling")
        _compile(target, folder)
        _normalise(folder)
        target.record.unlink(missing_ok=True)  # or, killed now, it would say that the new folder is the old one
        _replace(target.folder, folder, Path(temporary) / "old")
    target.record.write_text(digest)
    _say(target, f"{size(target.folder) / 1e6:.1f} MB, built in {time.monotonic() - started:.1f} s")


def size(folder: Path) -> int:
    """Bytes of all files, as Lambda counts them."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def every_target(out: Path = OUT) -> list[Target]:
    return [Target(asset, architecture, out) for architecture in PLATFORMS for asset in ASSETS.values()]


def ensure(targets: list[Target]) -> None:
    """Builds what is missing or out of date; several processes may call it at once."""
    if all(target.is_current() for target in targets):
        return
    out = targets[0].out
    out.mkdir(parents=True, exist_ok=True)
    with _lock(out / ".lock"):
        for leftover in out.glob(".building-*"):  # of a killed build: nobody else builds while the lock is held
            shutil.rmtree(leftover)
        for target in targets:
            if not target.is_current():
                build(target)


def _install(target: Target, packages: Path) -> None:
    requirements = ROOT / target.asset.requirements
    count = requirements.read_text().count("==")
    if not count:
        return
    _say(target, f"installing {count} packages")
    command = [uv(), "pip", "install", "--quiet", "--target", str(packages), "--requirements", str(requirements)]
    command += ["--require-hashes", "--no-deps", "--only-binary", ":all:", "--python", sys.executable]
    command += ["--python-platform", PLATFORMS[target.architecture], "--python-version", "{}.{}".format(*PYTHON)]
    command += ["--link-mode", "copy"]  # a linked file would be shared with uv's cache
    # The hashes say it all: when uv's cache holds every wheel, no registry has to be asked.
    if subprocess.run([*command, "--offline"], cwd=ROOT, capture_output=True, check=False).returncode:
        _run(target, command)
    prune(packages, target.asset.pruned)


def _copy_sources(asset: Asset, folder: Path) -> None:
    for path, file in _sources(asset):
        copy = folder / path
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _sources(asset: Asset) -> Iterator[tuple[str, Path]]:
    """(path in the asset, file here), in a fixed order."""
    for here, there in asset.sources.items():
        source = ROOT / here
        for file in sorted(source.rglob("*")) if source.is_dir() else [source]:
            path = (Path(there) / file.relative_to(source)).as_posix()
            if file.is_file() and not any(fnmatchcase(path, pattern) for pattern in (*LEFT_OUT, *asset.elsewhere)):
                yield path, file


def _builder() -> Iterator[tuple[str, Path]]:
    for file in sorted(Path(__file__).parent.glob("*.py")):
        yield file.name, file


def _compile(target: Target, folder: Path) -> None:
    script = str(Path(__file__).with_name("bytecode.py"))
    level = "2" if target.asset.undocumented else "0"
    _run(target, [sys.executable, "-I", "-S", script, str(folder), target.asset.mount, level])


def _run(target: Target, command: list[str]) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BuildFailed(f"{target.name} cannot be built: {(done.stderr or done.stdout).strip()}")


def _normalise(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        os.utime(path, (BUILT_AT, BUILT_AT))


def _replace(folder: Path, new: Path, old: Path) -> None:
    if folder.exists():
        folder.rename(old)
    new.rename(folder)


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("Waiting for another build in this checkout.", flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _say(target: Target, text: str) -> None:
    print(f"{target.name:<18} {text}", flush=True)


def _options(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m layers.build", description="Builds the folders that Lambda mounts."
    )
    parser.add_argument("names", nargs="*", metavar="name", help=f"one of {', '.join(ASSETS)}; all when none is given")
    parser.add_argument("--arch", choices=(*PLATFORMS, "all"), default="all", help="default: all")
    parser.add_argument("--out", type=Path, default=OUT, help="folder for the assets (default: .build/assets)")
    parser.add_argument("--check", action="store_true", help="build nothing; fail, naming what is out of date")
    options = parser.parse_args(arguments)
    if unknown := [name for name in options.names if name not in ASSETS]:
        parser.error(f"There is no asset {unknown[0]}; there are {', '.join(ASSETS)}.")
    return options


def _targets(options: argparse.Namespace) -> list[Target]:
    names = options.names or list(ASSETS)
    return [
        target
        for target in every_target(options.out.resolve())
        if target.asset.name in names and options.arch in (target.architecture, "all")
    ]


def main(arguments: list[str]) -> None:
    options = _options(arguments)
    targets = _targets(options)
    if sys.version_info[:2] != PYTHON:
        sys.exit("The assets are compiled for Python {}.{}; run `make build`.".format(*PYTHON))
    if options.check:
        stale = [target.name for target in targets if not target.is_current()]
        sys.exit(f"Out of date: {', '.join(stale)}." if stale else 0)
    try:
        ensure(targets)
    except (BuildFailed, StaleRule, UvMissing) as failure:
        sys.exit(str(failure))


if __name__ == "__main__":
    main(sys.argv[1:])
