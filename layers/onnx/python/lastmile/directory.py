"""Files that appear whole or not at all, and a lock that holds between threads and between processes."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lastmile.ulid import new_ulid

PRIVATE = ".lastmile"  # the lock and what is being written; never listed


@contextmanager
def staged(root: Path, data: bytes) -> Iterator[Path]:
    """A complete, synced file inside `root`, to be renamed into place; removed if it was not."""
    folder = root / PRIVATE
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / new_ulid()
    try:
        with path.open("xb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def locked(root: Path) -> Iterator[None]:
    """One writer at a time: each entry opens the lock file anew, so threads exclude each other as processes do."""
    with (root / PRIVATE / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def put(path: Path, prepared: Path) -> None:
    """Rename into place, and sync the folder so that the name survives a power cut too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    prepared.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def files(root: Path, prefix: str) -> Iterator[str]:
    """Paths below `prefix` relative to `root`, sorted within each folder."""
    for folder, names, found in (root / prefix).walk():
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in sorted(found):
            yield (folder / name).relative_to(root).as_posix()


def folders(root: Path, prefix: str) -> list[str]:
    try:
        return sorted(path.name for path in (root / prefix).iterdir() if path.is_dir() and path.name[0] != ".")
    except FileNotFoundError:
        return []
