"""What this process may use of the machine: a container's limits, as cgroup v2 tells them.

https://docs.kernel.org/admin-guide/cgroup-v2.html
"""

import math
import os
from pathlib import Path

from functions.inference.serving import CACHE_SHARE, SERVER_CACHE_BYTES, Capacity

CGROUP = Path("/sys/fs/cgroup")


def capacity(*, workers: int, cgroup: Path = CGROUP) -> Capacity:
    """The share of one worker process of so many."""
    memory = _memory_limit(cgroup)
    cache = SERVER_CACHE_BYTES if memory is None else int(memory * CACHE_SHARE)
    return Capacity(threads=max(1, _cores(cgroup) // workers), cache_bytes=cache // workers)


def _cores(cgroup: Path) -> int:
    """A limit of half a core still needs one thread; a machine may show 64 cores to a container that may use two."""
    cores = os.process_cpu_count() or 1
    quota, _, period = _read(cgroup / "cpu.max").partition(" ")
    return min(cores, math.ceil(int(quota) / int(period))) if quota.isdigit() else cores


def _memory_limit(cgroup: Path) -> int | None:
    limit = _read(cgroup / "memory.max")
    return int(limit) if limit.isdigit() else None


def _read(file: Path) -> str:
    try:
        return file.read_text().strip()
    except OSError:
        return ""  # the root group has no limits
