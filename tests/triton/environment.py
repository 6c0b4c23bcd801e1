"""Where the real Triton is: the one that the Python package `nvidia-pytriton` carries, in an environment of its own.

Its Python backend starts an interpreter out of a shared libpython, which Debian's Python has and most others lack.
"""

import ctypes
from pathlib import Path

from benchmarks.environments import Environment, EnvironmentFailed, environment, installed

NAME = "triton"
PYTHON = "/usr/bin/python3.11"
LIBRARY = "libpython3.11.so.1.0"
REQUIREMENTS = ("nvidia-pytriton==0.7.0", "numpy==1.26.4", "onnxruntime==1.23.2")  # with numpy 2 shapes break
COMMAND = "make triton"


def install() -> Environment:
    """Takes half a minute the first time; raises EnvironmentFailed with what is missing."""
    if (lack := lacking()) is not None:
        raise EnvironmentFailed(lack)
    return environment(NAME, REQUIREMENTS, python=PYTHON)


def found() -> Environment:
    """As it was installed; raises EnvironmentFailed with what to do."""
    if (lack := lacking()) is not None:
        raise EnvironmentFailed(lack)
    there = installed(NAME, REQUIREMENTS, python=PYTHON)
    if there is None:
        raise EnvironmentFailed(f"no real Triton is installed here; `{COMMAND}` does that")
    return there


def lacking() -> str | None:
    try:
        ctypes.CDLL(LIBRARY)
        is_there = Path(PYTHON).is_file()
    except OSError:
        is_there = False
    if is_there:
        return None
    return f"Triton needs {PYTHON} and {LIBRARY} (Debian 12: apt-get install python3.11 libpython3.11)"
