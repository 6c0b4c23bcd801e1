"""Compiles every module of a folder, in an interpreter of its own: `python -I -S bytecode.py FOLDER MOUNT [LEVEL]`.

A fresh interpreter and a fixed order, because what marshal writes may depend on what the interpreter did before.
"""

import py_compile
import sys
import warnings
from importlib.util import cache_from_source
from pathlib import Path


def main(folder: str, mount: str, level: str = "0") -> None:
    """Writes `__pycache__` whose tracebacks name the file under `mount`, and which Python trusts without looking
    at the source: /opt and /var/task are read-only, so it can neither be stale nor be renewed there. With `level` 2 it
    is without docstrings and assertions, as from `python -OO`."""
    warnings.simplefilter("ignore", SyntaxWarning)
    root = Path(folder)
    for source in sorted(root.rglob("*.py")):
        shown = f"{mount}/{source.relative_to(root).as_posix()}"
        mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
        cache = cache_from_source(source, optimization="")
        py_compile.compile(str(source), cache, shown, True, int(level), mode)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except py_compile.PyCompileError as error:
        sys.exit(error.msg)
