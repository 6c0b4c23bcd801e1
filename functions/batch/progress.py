"""The parts of a result on this machine, and the small object that says what they are parts of.

A part is written whole or not at all. Whoever starts the same again finds those that are there.
"""

import fcntl
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import orjson

from lastmile.errors import InvalidInput

RECORD = "progress.json"


@dataclass(frozen=True, slots=True)
class Progress:
    """`prefix` begins the prediction ids. What was asked for must be asked for again; the rest is remembered."""

    model: str
    registry: str
    version: int
    prefix: str
    batch_rows: int
    input: str
    size: int
    modified: int
    asked_version: int | None
    keep: tuple[str, ...]
    decides: bool

    @classmethod
    def from_bytes(cls, data: bytes) -> "Progress":
        document: dict[str, Any] = orjson.loads(data)
        return cls(**document | {"keep": tuple(document["keep"])})

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self), option=orjson.OPT_INDENT_2)

    def differs(self, asked: "Progress") -> str | None:
        """What of it is not what is asked for now."""
        remembered = ("version", "prefix", "batch_rows")
        for field in fields(self):
            before, now = getattr(self, field.name), getattr(asked, field.name)
            if field.name not in remembered and before != now:
                return f"{field.name.replace('_', ' ')}: {before} then, {now} now"
        return None


@dataclass(frozen=True, slots=True)
class Parts:
    """A folder beside the output."""

    folder: Path

    @classmethod
    def beside(cls, output: Path) -> "Parts":
        return cls(output.with_name(f"{output.name}.parts"))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Raises InvalidInput while another process is at work on them."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder.with_name(f"{self.folder.name}.lock")).open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise InvalidInput(f"another process is at work on {self.folder}") from None
            try:
                yield
            finally:
                Path(lock.name).unlink()
                with suppress(OSError):  # it holds parts, or is gone
                    self.folder.rmdir()

    def begun(self) -> Progress | None:
        """What is there, if it is whole enough to go on; leftovers of an end or a beginning are cleared away."""
        try:
            return Progress.from_bytes((self.folder / RECORD).read_bytes())
        except FileNotFoundError:
            shutil.rmtree(self.folder, ignore_errors=True)
            self.folder.mkdir(parents=True)
            return None

    def begin(self, progress: Progress) -> None:
        whole(self.folder / RECORD, lambda new: new.write_bytes(progress.to_bytes()))

    def part(self, number: int) -> Path:
        return self.folder / f"{number:06d}.arrow"

    def errors(self, number: int) -> Path:
        return self.folder / f"{number:06d}.errors.jsonl"

    def write(self, number: int, store: Callable[[Path], object], errors: bytes) -> None:
        """`store` writes the part to the path that it is given."""
        if errors:
            whole(self.errors(number), lambda new: new.write_bytes(errors))
        whole(self.part(number), store)

    def clear(self) -> None:
        (self.folder / RECORD).unlink()  # from here on they are leftovers
        shutil.rmtree(self.folder)


def whole(path: Path, store: Callable[[Path], object]) -> None:
    """Written whole or not at all, whenever the process is killed."""
    new = path.with_name(f"{path.name}.new")
    store(new)
    new.replace(path)
