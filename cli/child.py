"""A process of a checkout that tells how it gets on in JSON lines."""

import json
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any

LAST_BYTES = 10_000

type Document = dict[str, Any]


@dataclass(frozen=True)
class Child:
    """`errors` is a file, since a pipe that nobody reads stops whoever writes much to it."""

    process: "subprocess.Popen[bytes]"
    errors: IO[bytes]
    marker: str

    def said(self) -> Iterator[Document]:
        """Its lines that bear the marker, until it ends."""
        for line in self.process.stdout or ():
            try:
                said = json.loads(line)
            except ValueError:
                continue
            if isinstance(said, dict) and said.get("marker") == self.marker:
                yield said

    def last_words(self) -> str:
        """The last line that it complained with; empty where there is none."""
        self.process.wait()
        self.errors.seek(max(0, self.errors.seek(0, 2) - LAST_BYTES))
        return self.errors.read().decode(errors="replace").strip().rpartition("\n")[2]

    def terminate(self) -> None:
        self.process.terminate()


@contextmanager
def running(module: str, argument: str, *, checkout: Path, environ: Mapping[str, str], marker: str) -> Iterator[Child]:
    command = [sys.executable, "-m", module, argument]
    with (
        TemporaryFile() as errors,
        subprocess.Popen(command, cwd=checkout, env=dict(environ), stdout=subprocess.PIPE, stderr=errors) as process,
    ):
        yield Child(process, errors, marker)
