import marshal
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from types import CodeType

import pytest

from layers.assets import ASSETS, PLATFORMS
from layers.build import every_target
from layers.uv import ROOT

EVERY_ASSET = [target.name for target in every_target()]
MACHINES = {"x86_64": 62, "arm64": 183}  # e_machine of the ELF header


def _files(folder: Path) -> dict[str, Path]:
    return {file.relative_to(folder).as_posix(): file for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.mark.parametrize("name", EVERY_ASSET)
def test_shared_objects_are_for_the_architecture_of_the_asset(assets: Path, name: str) -> None:
    machine = MACHINES[name.rpartition("-")[2]]
    objects = {path: file for path, file in _files(assets / name).items() if ".so" in file.suffixes}
    assert objects or not name.startswith("onnx-layer")
    for path, file in objects.items():
        with file.open("rb") as stream:
            header = stream.read(20)
        assert (header[:4], int.from_bytes(header[18:20], "little")) == (b"\x7fELF", machine), path


@pytest.mark.parametrize("name", EVERY_ASSET)
def test_every_module_has_bytecode_with_the_path_that_lambda_shows(assets: Path, name: str) -> None:
    mount = ASSETS[name.rpartition("-")[0]].mount
    files = _files(assets / name)
    sources = {path for path in files if path.endswith(".py")}
    compiled = {path for path in files if path.endswith(".pyc")}
    assert sources
    for source in sources:
        folder, _, module = source.rpartition("/")
        bytecode = f"{folder}/__pycache__/{module.removesuffix('.py')}.cpython-313.pyc".lstrip("/")
        compiled.remove(bytecode)
        code = marshal.loads(files[bytecode].read_bytes()[16:])
        assert isinstance(code, CodeType)
        assert code.co_filename == f"{mount}/{source}"
    assert not compiled


@pytest.mark.parametrize("name", EVERY_ASSET)
def test_nothing_tells_where_or_by_what_it_was_installed(assets: Path, name: str) -> None:
    leftovers = {"RECORD", "INSTALLER", "REQUESTED", "WHEEL", "direct_url.json", "uv_cache.json", ".lock"}
    places = (str(ROOT).encode(), str(Path.home()).encode() + b"/.", tempfile.gettempdir().encode() + b"/.building-")
    for path, file in _files(assets / name).items():
        assert file.name not in leftovers, path
        content = file.read_bytes() if file.suffix in (".pyc", ".py", "") else b""
        assert not [place for place in places if place in content], path


@pytest.mark.parametrize("architecture", PLATFORMS)
def test_two_builds_in_different_places_are_the_same_bytes(assets: Path, tmp_path: Path, architecture: str) -> None:
    (tmp_path / "tmp").mkdir()
    command = [sys.executable, "-m", "layers.build", "--arch", architecture, "--out", str(tmp_path / "again")]
    environment = {
        **os.environ,
        "PYTHONHASHSEED": "7",
        "TMPDIR": str(tmp_path / "tmp"),
        "TZ": "Asia/Tokyo",
        "LC_ALL": "C",
    }
    subprocess.run(command, cwd=ROOT, env=environment, umask=0o077, check=True, capture_output=True)
    for name in ASSETS:
        first, second = (_fingerprint(folder / f"{name}-{architecture}") for folder in (assets, tmp_path / "again"))
        assert not [path for path in first.keys() | second.keys() if first.get(path) != second.get(path)]


def _fingerprint(folder: Path) -> dict[str, tuple[int, float, bytes]]:
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*")}
    return {
        name: (path.stat().st_mode, path.stat().st_mtime, path.read_bytes() if path.is_file() else b"")
        for name, path in paths.items()
    }
