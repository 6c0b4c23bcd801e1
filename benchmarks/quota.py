"""A share of the processor for one process: by cgroup v2 where it can be written, else by cgroup v1.

Both are the bandwidth control of Linux's scheduler: a quota of run time, all threads together, in each period.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PERIOD_US = 20_000  # a fifth of the default, so that a short measurement spans many
VERSION_2 = Path("/sys/fs/cgroup")
VERSION_1 = Path("/sys/fs/cgroup/cpu")


class NoQuota(Exception):
    """This machine lets nobody like us set a quota."""


class Quota:
    """A group of processes that share `cores` of run time per second, and go before those outside."""

    def __init__(self, folder: Path, kind: str) -> None:
        self._folder = folder
        self.kind = kind
        self._write(*(("cpu.weight", "10000") if kind == "cgroup v2" else ("cpu.shares", "262144")))

    def set(self, cores: float) -> None:
        run = int(cores * PERIOD_US)
        if self.kind == "cgroup v2":
            self._write("cpu.max", f"{run} {PERIOD_US}")
        else:
            self._write("cpu.cfs_period_us", str(PERIOD_US))
            self._write("cpu.cfs_quota_us", str(run))

    def add(self, pid: int) -> None:
        self._write("cgroup.procs", str(pid))

    def _write(self, name: str, text: str) -> None:
        (self._folder / name).write_text(text)


@contextmanager
def quota() -> Iterator[Quota]:
    """A new group, removed at the end, when its processes must have ended. Raises NoQuota."""
    for root, kind, control in ((VERSION_2, "cgroup v2", "cpu.max"), (VERSION_1, "cgroup v1", "cpu.cfs_quota_us")):
        folder = root / f"lastmile-bench-{os.getpid()}"
        try:
            folder.mkdir()
        except OSError:
            continue
        try:
            if (folder / control).exists():
                yield Quota(folder, kind)
                return
        finally:
            folder.rmdir()
    raise NoQuota("a quota needs a cgroup that can be written, and here is none: run this section as root")
