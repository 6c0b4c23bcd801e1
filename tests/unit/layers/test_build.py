import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from unittest.mock import Mock

import pytest

from layers.assets import Asset
from layers.build import BuildFailed, Target, ensure, main, size
from layers.uv import ROOT


@pytest.fixture
def target(tmp_path: Path) -> Target:
    """An asset of one small source folder and no third-party package."""
    source = tmp_path / "source"
    source.mkdir()
    (source / "door.py").write_text("open = True\n")
    (tmp_path / "requirements.txt").write_text("")
    asset = Asset(
        name="small",
        group="small",
        requirements=str(tmp_path / "requirements.txt"),
        sources={str(source): "functions/small"},
        mount="/var/task",
    )
    return Target(asset, "x86_64", tmp_path / "assets")


def _source(target: Target) -> Path:
    return Path(next(iter(target.asset.sources)))


def _files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_an_asset_holds_its_source_and_its_bytecode(target: Target) -> None:
    ensure([target])
    assert target.folder.name == "small-x86_64"
    assert _files(target.folder) == {"functions/small/door.py", "functions/small/__pycache__/door.cpython-313.pyc"}
    assert size(target.folder) == sum((target.folder / path).stat().st_size for path in _files(target.folder))


def test_what_is_not_for_lambda_stays_out(target: Target) -> None:
    for name in ("Dockerfile", "kubernetes.yaml", "README.md", "requirements.txt", ".door.py.swp"):
        (_source(target) / name).write_text("")
    (_source(target) / "page.html").write_text("")
    ensure([target])
    assert {Path(path).name for path in _files(target.folder)} == {"door.py", "door.cpython-313.pyc", "page.html"}


def test_what_runs_elsewhere_stays_out(target: Target) -> None:
    (_source(target) / "server.py").write_text("")
    asset = replace(target.asset, elsewhere=("functions/small/server.py",))
    ensure([replace(target, asset=asset)])
    assert _files(target.folder) == {"functions/small/door.py", "functions/small/__pycache__/door.cpython-313.pyc"}


def test_modes_and_times_are_the_same_everywhere(target: Target) -> None:
    (_source(target) / "door.py").chmod(0o700)
    ensure([target])
    paths = [target.folder, *target.folder.rglob("*")]
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_dir()} == {0o755}
    assert {path.stat().st_mode & 0o777 for path in paths if path.is_file()} == {0o644}
    assert len({path.stat().st_mtime for path in paths}) == 1


def test_an_asset_that_is_up_to_date_is_left_alone(target: Target) -> None:
    ensure([target])
    before = target.folder.stat().st_ino
    ensure([target])
    assert target.folder.stat().st_ino == before


@pytest.mark.parametrize("change", ["source", "new file", "requirements", "deleted asset"])
def test_a_changed_input_is_built_again(target: Target, change: str, tmp_path: Path) -> None:
    ensure([target])
    before = target.folder.stat().st_ino
    match change:
        case "source":
            (_source(target) / "door.py").write_text("open = False\n")
        case "new file":
            (_source(target) / "window.py").write_text("")
        case "requirements":
            (tmp_path / "requirements.txt").write_text("# changed\n")
        case "deleted asset":
            target.folder.rename(tmp_path / "gone")
    assert not target.is_current()
    ensure([target])
    assert target.is_current()
    assert target.folder.stat().st_ino != before


def test_an_architecture_has_an_asset_of_its_own(target: Target) -> None:
    other = replace(target, architecture="arm64")
    ensure([target, other])
    assert other.folder.name == "small-arm64"
    assert other.digest() != target.digest()


def test_a_failed_build_names_the_cause_and_leaves_the_old_asset(target: Target) -> None:
    ensure([target])
    (_source(target) / "door.py").write_text("def open(:\n")
    with pytest.raises(BuildFailed, match="^small-x86_64 cannot be built: .*/var/task/functions/small/door.py"):
        ensure([target])
    assert (target.folder / "functions/small/door.py").read_text() == "open = True\n"
    assert not list(target.out.glob(".building-*"))


def test_a_killed_build_leaves_nothing_behind_for_long(target: Target) -> None:
    (target.out / ".building-killed/asset").mkdir(parents=True)
    ensure([target])
    assert not list(target.out.glob(".building-*"))


def test_a_build_killed_before_its_record_is_not_taken_for_the_one_before(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    ensure([target])
    (_source(target) / "door.py").write_text("open = False\n")
    with monkeypatch.context() as killed:
        killed.setattr(Path, "write_text", Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ensure([target])
    (_source(target) / "door.py").write_text("open = True\n")
    ensure([target])
    assert (target.folder / "functions/small/door.py").read_text() == "open = True\n"


def test_builds_at_once_take_turns(target: Target, capsys: pytest.CaptureFixture[str]) -> None:
    builds = [threading.Thread(target=ensure, args=([target],)) for _ in range(4)]
    for build in builds:
        build.start()
    for build in builds:
        build.join()
    assert target.is_current()
    assert capsys.readouterr().out.count("built in") == 1


def test_an_unknown_asset_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["nonsense"])
    said = capsys.readouterr().err
    assert "There is no asset nonsense; there are onnx-layer, training-layer, inference, control" in said


def test_a_check_builds_nothing_and_names_what_is_out_of_date(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"Out of date: control-arm64\."):
        main(["control", "--arch", "arm64", "--check", "--out", str(tmp_path)])
    assert list(tmp_path.iterdir()) == []


def test_an_unlocked_requirement_is_refused(target: Target, tmp_path: Path) -> None:
    (tmp_path / "requirements.txt").write_text("idna==3.11\n")
    with pytest.raises(BuildFailed, match="hash"):
        ensure([target])


def test_another_python_is_refused() -> None:
    code = "import sys; sys.version_info = (3, 12, 0); from layers.build import main; main(['control'])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("The assets are compiled for Python 3.13")
