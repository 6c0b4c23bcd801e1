import os
from pathlib import Path

import pytest

from functions.inference.container import capacity
from functions.inference.serving import SERVER_CACHE_BYTES


def cgroup(folder: Path, *, cpu: str, memory: str) -> Path:
    (folder / "cpu.max").write_text(f"{cpu}\n")
    (folder / "memory.max").write_text(f"{memory}\n")
    return folder


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "process_cpu_count", lambda: 8)


@pytest.mark.parametrize(
    ("cpu", "threads"),
    [("max 100000", 8), ("200000 100000", 2), ("50000 100000", 1), ("150000 100000", 2), ("3200000 100000", 8)],
)
def test_threads_follow_the_quota_not_the_machine(tmp_path: Path, cpu: str, threads: int) -> None:
    assert capacity(workers=1, cgroup=cgroup(tmp_path, cpu=cpu, memory="max")).threads == threads


def test_sessions_get_half_of_the_memory_limit(tmp_path: Path) -> None:
    limited = capacity(workers=1, cgroup=cgroup(tmp_path, cpu="max 100000", memory=str(2 << 30)))
    assert limited.cache_bytes == 1 << 30
    free = capacity(workers=1, cgroup=cgroup(tmp_path, cpu="max 100000", memory="max"))
    assert free.cache_bytes == SERVER_CACHE_BYTES


def test_workers_share(tmp_path: Path) -> None:
    shared = capacity(workers=4, cgroup=cgroup(tmp_path, cpu="max 100000", memory=str(8 << 30)))
    assert (shared.threads, shared.cache_bytes) == (2, 1 << 30)


def test_without_cgroups_the_machine_counts(tmp_path: Path) -> None:
    free = capacity(workers=1, cgroup=tmp_path / "nowhere")
    assert (free.threads, free.cache_bytes) == (8, SERVER_CACHE_BYTES)
