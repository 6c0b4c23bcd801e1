"""Writes the hash-locked requirements of every asset from uv.lock: `python -m layers.requirements`."""

import re
import subprocess
from pathlib import Path

from layers.assets import ASSETS, Asset
from layers.uv import ROOT, uv

HEADER = "# Made from uv.lock by `make lock`.\n"


def locked(asset: Asset) -> str:
    """The requirements file of `asset`: its dependency group without what its layers hold and what nothing imports."""
    excluded = [
        *asset.unneeded,
        *(name for layer in (*asset.layers, *asset.beside) for name in packages(ASSETS[layer])),
    ]
    command = [uv(), "export", "--frozen", "--quiet", "--no-emit-project", "--no-header", "--no-annotate"]
    command += ["--only-group", asset.group]
    for name in excluded:
        command += ["--no-emit-package", name]
    export = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return HEADER + export.stdout


def packages(asset: Asset) -> list[str]:
    """Names of the third-party packages that `asset` holds."""
    return re.findall(r"^([\w.-]+)==", _file(asset).read_text(), re.MULTILINE)


def main() -> None:
    # Layers first: what they hold decides what the functions leave out.
    for asset in sorted(ASSETS.values(), key=lambda asset: len(asset.layers) + len(asset.beside)):
        _file(asset).write_text(locked(asset))


def _file(asset: Asset) -> Path:
    return ROOT / asset.requirements


if __name__ == "__main__":
    main()
