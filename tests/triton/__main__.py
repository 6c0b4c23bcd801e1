"""`python -m tests.triton` installs a real Triton for the tests that ask one."""

import sys

from benchmarks.environments import EnvironmentFailed
from tests.triton.environment import install


def main() -> int:
    try:
        there = install()
    except EnvironmentFailed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    sys.stdout.write(f"Triton is in {there.folder}; `make test` asks it.\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
