"""Objects as files of a directory, which appear whole or not at all; writers of one are threads and processes."""

import errno
import fcntl
import hashlib
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from lastmile.errors import NotFound, StoreUnavailable
from lastmile.store import BY_ETAG, AlreadyExists, Conflict, Names, Stat, Store, Stored, checked, is_path
from lastmile.ulid import new_ulid, ulid_milliseconds

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable
    from io import BufferedReader

PRIVATE = ".lastmile"  # the lock and what is being written; never listed
LEFT_SECONDS = 86_400.0  # no write takes so long


class Directory(Store):
    """Etags are digests of the content: times and inodes repeat when a file is replaced twice within a clock tick."""

    def __init__(self, root: str) -> None:
        self._root = Path(root)  # and no client: every method is its own

    def get(self, path: str) -> Stored:
        with self._errors(path):
            data = (self._root / checked(path)).read_bytes()
            return Stored(data, _digest(data))

    def get_if_changed(self, path: str, etag: str) -> Stored | None:
        stored = self.get(path)
        return None if stored.etag == etag else stored

    def pieces(self, path: str, size: int | None = None) -> "Iterator[Buffer]":
        with self._errors(path):
            yield (self._root / checked(path)).read_bytes()

    def part(self, path: str, start: int, end: int) -> "Buffer":
        with self._errors(path), (self._root / checked(path)).open("rb") as file:
            file.seek(start)
            return file.read(end - start)

    def create(self, path: str, data: bytes) -> str:
        target = self._root / checked(path)
        with self._errors(path), _staged(self._root, lambda file: file.write(data)) as prepared, _locked(self._root):
            if target.exists():
                raise AlreadyExists(f"{path} exists already")
            _put(target, prepared)
        return _digest(data)

    def replace(self, path: str, data: bytes, etag: str) -> str:
        target = self._root / checked(path)
        with self._errors(path), _staged(self._root, lambda file: file.write(data)) as prepared, _locked(self._root):
            if not target.is_file() or _digest(target.read_bytes()) != etag:
                raise Conflict(f"{path} was changed by somebody else")
            _put(target, prepared)
        return _digest(data)

    def put(self, path: str, data: bytes) -> str:
        target = self._root / checked(path)
        with self._errors(path), _staged(self._root, lambda file: file.write(data)) as prepared:
            _put(target, prepared)
        return _digest(data)

    def stat(self, path: str, *, version: str | None = None) -> Stat:
        with self._errors(path), (self._root / checked(path)).open("rb") as file:
            return self._seen(path, file, version)

    def copy(self, path: str, to: str) -> None:
        from shutil import copyfileobj  # 3 ms, which no cold start need spend

        target = self._root / checked(to)
        with (
            self._errors(path),
            (self._root / checked(path)).open("rb") as source,
            _staged(self._root, lambda file: copyfileobj(source, file)) as prepared,
        ):
            _put(target, prepared)

    def fetch(self, path: str, file: BinaryIO, *, version: str | None = None) -> None:
        from shutil import copyfileobj

        with self._errors(path), (self._root / checked(path)).open("rb") as source:
            if version is not None:
                self._seen(path, source, version)
                source.seek(0)
            copyfileobj(source, file)

    def exists(self, path: str) -> bool:
        return (self._root / checked(path)).is_file()

    def list(self, prefix: str) -> Iterator[str]:
        with self._errors(prefix):
            yield from _files(self._root, checked(prefix))

    def list_folders(self, prefix: str) -> Names:
        with self._errors(prefix):
            return _folders(self._root, checked(prefix))

    def _seen(self, path: str, file: "BufferedReader", version: str | None) -> Stat:
        """Of a file that stays the one that it was when it was opened, whatever is renamed into its place."""
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        found = os.fstat(file.fileno())
        if version not in (None, BY_ETAG + digest):
            raise NotFound(f"{path} has no version {version} in {self._root}")
        return Stat(found.st_size, found.st_mtime, BY_ETAG + digest, digest)

    @contextmanager
    def _errors(self, path: str) -> Iterator[None]:
        try:
            yield
        except (FileNotFoundError, IsADirectoryError, NotADirectoryError) as error:
            if self._root.exists() and not self._root.is_dir():
                raise StoreUnavailable(f"{self._root} cannot be used: it is no directory") from error
            raise NotFound(f"{path} does not exist in {self._root}") from error
        except OSError as error:
            where = "" if error.filename is None else f" ({error.filename})"
            raise StoreUnavailable(f"{self._root} cannot be used: {error.strerror}{where}") from error


@contextmanager
def _staged(root: Path, write: "Callable[[BinaryIO], object]") -> Iterator[Path]:
    """A complete, synced file inside `root`, to be renamed into place; removed if it was not.

    What writers that were killed have left is removed by those after them, a day later.
    """
    folder = root / PRIVATE
    folder.mkdir(parents=True, exist_ok=True)
    _remove_before(folder, time.time() - LEFT_SECONDS)
    path = folder / new_ulid()
    try:
        with path.open("xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        yield path
    finally:
        path.unlink(missing_ok=True)


def _remove_before(folder: Path, at: float) -> None:
    """What bears a name from before that time; other names are none of ours."""
    for left in folder.iterdir():
        with suppress(ValueError):
            if ulid_milliseconds(left.name) < at * 1000:
                left.unlink(missing_ok=True)  # renamed into place, or removed, meanwhile


@contextmanager
def _locked(root: Path) -> Iterator[None]:
    """One writer at a time: each entry opens the lock file anew, so threads exclude each other as processes do."""
    with (root / PRIVATE / "lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _put(path: Path, prepared: Path) -> None:
    """Rename into place, and sync the folder so that the name survives a power cut too."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        prepared.replace(path)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        _put_across(path, prepared)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _put_across(path: Path, prepared: Path) -> None:
    """Where another disk is mounted below the store: what is renamed must lie on it already."""
    from shutil import copyfileobj

    near = path.with_name(f".{prepared.name}")
    try:
        with prepared.open("rb") as source, near.open("xb") as file:
            copyfileobj(source, file)
            file.flush()
            os.fsync(file.fileno())
        near.replace(path)
    finally:
        near.unlink(missing_ok=True)


def _files(root: Path, prefix: str) -> Iterator[str]:
    """Paths below `prefix` relative to `root`, sorted within each folder; links are followed, and none in a circle."""
    for folder, names, found in (root / prefix).walk(on_error=_refuse, follow_symlinks=True):
        names[:] = sorted(name for name in names if is_path(name) and not _leads_back(folder / name))
        for name in sorted(filter(is_path, found)):
            if (folder / name).is_file():
                yield (folder / name).relative_to(root).as_posix()


def _refuse(error: OSError) -> None:
    """A folder that is not there holds nothing; one that may not be read is another matter."""
    if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
        raise error


def _leads_back(folder: Path) -> bool:
    return folder.is_symlink() and folder.resolve() in [above.resolve() for above in folder.parents]


def _folders(root: Path, prefix: str) -> list[str]:
    try:
        return sorted(path.name for path in (root / prefix).iterdir() if path.is_dir() and is_path(path.name))
    except FileNotFoundError:
        return []


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
