from pathlib import Path

import pytest

from layers.pruning import StaleRule, prune


def _tree(folder: Path, *paths: str) -> None:
    for path in paths:
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(path)


def _paths(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def test_what_running_code_never_reads_is_deleted(tmp_path: Path) -> None:
    _tree(tmp_path, "a/module.py", "a/tests/test_module.py", "a/deep/tests/data/x.csv", "a/stub.pyi", "bin/a", ".lock")
    prune(tmp_path, ())
    assert _paths(tmp_path) == {"a", "a/module.py"}


def test_package_metadata_and_licences_stay(tmp_path: Path) -> None:
    kept = {"a-1.dist-info/METADATA", "a-1.dist-info/entry_points.txt", "a-1.dist-info/licenses/LICENSE"}
    _tree(tmp_path, *kept, "a-1.dist-info/RECORD", "a-1.dist-info/INSTALLER", "a-1.dist-info/direct_url.json")
    prune(tmp_path, ())
    assert _paths(tmp_path) == kept | {"a-1.dist-info", "a-1.dist-info/licenses"}


def test_a_rule_deletes_its_folder(tmp_path: Path) -> None:
    _tree(tmp_path, "a/module.py", "a/tools/one.py", "a/tools/deep/two.py", "b/tools/three.py")
    prune(tmp_path, ("a/tools/*",))
    assert _paths(tmp_path) == {"a", "a/module.py", "b", "b/tools", "b/tools/three.py"}


def test_a_rule_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    _tree(tmp_path, "a/module.py")
    with pytest.raises(StaleRule, match="a/gone/\\*"):
        prune(tmp_path, ("a/gone/*",))
