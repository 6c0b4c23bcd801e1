"""Standard streams as they are found: closed, full, left by their reader, or of a small alphabet."""

import io
import os
import sys
from pathlib import Path
from typing import TextIO

from cli.errors import CommandFailed


def prepare() -> None:
    """What is closed goes nowhere, and not where something else is printed; what an alphabet lacks is spelt out."""
    sys.stdout, sys.stderr = sys.stdout or nowhere(), sys.stderr or nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def nowhere() -> TextIO:
    return Path(os.devnull).open("w", encoding="utf-8")


def read() -> str:
    """All of standard input as UTF-8, as files are, whatever the locale; raises UnicodeDecodeError."""
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8", errors="strict")
    return sys.stdin.read() if sys.stdin else ""


def flush() -> None:
    """What is still buffered is written while an error can be told; a reader that has left is told nothing."""
    try:
        sys.stdout.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or Python's own end tries it again
        if isinstance(error, BrokenPipeError):
            sys.exit(1)
        raise CommandFailed(f"Standard output cannot be written: {error.strerror}.") from None
