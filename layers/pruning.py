"""Takes out of an installed folder what only development, compilers and installers read."""

from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from pathlib import Path

EVERYWHERE = (
    "bin/*",
    ".lock",
    "*/tests/*",
    "*/conftest.py",
    "*.pyi",
    "*.pxd",
    "*.a",
    "*.h",
    "*/py.typed",
    "*.dist-info/*",
)

# importlib.metadata answers from these two; the licences travel with what they cover.
KEPT = ("*.dist-info/METADATA", "*.dist-info/entry_points.txt", "*.dist-info/licenses/*", "*.dist-info/LICENSE*")


class StaleRule(Exception):
    """A rule that takes nothing out: the package changed, and the rule has to be looked at again."""


def prune(packages: Path, rules: Iterable[str]) -> None:
    """Deletes what EVERYWHERE and `rules` match (paths relative to `packages`, `*` crosses folders)."""
    for rule in rules:
        if not _delete(packages, (rule,)):
            raise StaleRule(f"The pruning rule {rule} matches nothing any more; correct layers/assets.py.")
    _delete(packages, EVERYWHERE)
    _drop_empty_folders(packages)


def _delete(packages: Path, rules: tuple[str, ...]) -> int:
    doomed = list(_matching(packages, rules))
    for file in doomed:
        file.unlink()
    return len(doomed)


def _matching(packages: Path, rules: tuple[str, ...]) -> Iterator[Path]:
    for file in packages.rglob("*"):
        path = file.relative_to(packages).as_posix()
        if file.is_file() and _any(path, rules) and not _any(path, KEPT):
            yield file


def _any(path: str, rules: tuple[str, ...]) -> bool:
    return any(fnmatchcase(path, rule) for rule in rules)


def _drop_empty_folders(packages: Path) -> None:
    for folder in sorted((path for path in packages.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()
