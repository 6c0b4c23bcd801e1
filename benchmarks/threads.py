"""The rule for a session's threads against ONNX Runtime's default and against one thread, at Lambda's sizes."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.isolated import WORKERS
from benchmarks.machine import versions
from benchmarks.matmul import perceptron
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.model import trained
from benchmarks.progress import Tell, silence, within
from benchmarks.quota import NoQuota, Quota, quota
from benchmarks.report import number, table
from benchmarks.result import Figure, Ratio, Result, Target

TITLE = "Threads"
SIZES_MB = (512, 1024, 1769, 2048, 2500, 3008, 3538, 5307, 7076, 8845, 10240)  # the last ones need six cores
QUICK_SIZES_MB = (1024, 3008, 3538)
MEMORY_PER_CORE_MB = 1769  # https://docs.aws.amazon.com/lambda/latest/dg/configuration-memory.html
OURS, DEFAULT, ONE = "Lastmile", "ONNX Runtime's default", "one thread"
LIMIT = Target(at_most=1.05)


@dataclass(frozen=True)
class Work:
    """A model and the rows of one run."""

    name: str
    path: Path
    rows: int


def run(quick: bool, tell: Tell = silence) -> Result:
    """Each size is a quota of run time; back-to-back runs, so that what the quota holds up is in the figure."""
    rounds, seconds = (3, 0.1) if quick else (7, 0.25)
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    try:
        with quota() as share:
            for work in _works(quick):
                for size in _sizes(quick):
                    share.set(size / MEMORY_PER_CORE_MB)
                    label = f"{work.name}, {size:,} MB"
                    contenders = {
                        name: partial(_microseconds, work, threads, share, seconds)
                        for name, threads in ((OURS, f"{size}MB"), (DEFAULT, "default"), (ONE, "1"))
                    }
                    samples = alternate(contenders, rounds=rounds, tell=within(tell, label))
                    for name, microseconds in samples.items():
                        figures[f"{label}: {name}"] = figure(microseconds, "µs")
                    best = min((DEFAULT, ONE), key=lambda name: figures[f"{label}: {name}"].median)
                    ratios[f"{label}: ours / best"] = ratio(samples[OURS], samples[best])
            how = share.kind
    except NoQuota as error:
        how = f"not measured: {error}"
    return Result(figures, ratios, dict.fromkeys(ratios, LIMIT), versions() | {"quota": how})


def describe(document: dict[str, Any]) -> str:
    figures, ratios = document["figures"], document["ratios"]
    text = (
        "Lambda pays out a core per 1,769 MB, whatever number of cores it shows. Here each size is a quota of the "
        f"processor's time ({document['versions']['quota']}, periods of 20 ms). Microseconds per run, back to back, in "
        "processes of their own: our rule, a session with ONNX Runtime's default options, and one with one thread.\n\n"
    )
    rows = [
        (
            label,
            *(number(figures[f"{label}: {name}"]["median"]) for name in (OURS, DEFAULT, ONE)),
            number(ratio["value"]),
        )
        for label, ratio in ((name.partition(": ours")[0], ratio) for name, ratio in ratios.items())
    ]
    text += table(("µs per run", OURS, DEFAULT, ONE, "ours / best"), rows)
    cores = document["machine"]["cores"]
    left_out = ", ".join(f"{size:,}" for size in SIZES_MB if size / MEMORY_PER_CORE_MB > cores)
    if left_out:
        text += f"\nNot shown: {left_out} MB, which get more than the {cores} cores of this machine.\n"
    if all(target["reached"] for target in document["targets"].values()):
        return text
    return text + (
        "\n**What is not reached, and why.** Where the interval reaches from below 1 to far above it, other work on "
        "the machine decided: a run on two threads lasts as long as the slower of them, so whoever takes one of two "
        "cores for a while doubles it, and ONNX Runtime's default, with as many threads, suffers alike. With the "
        "machine to itself a perceptron of 100 MB took 2.1 ms a row on two threads and 4.3 on one. In a Lambda "
        "function nobody else wants the cores that are paid for.\n"
    )


def _works(quick: bool) -> list[Work]:
    heavy = perceptron((2048, 2048, 2048, 2048))
    works = [Work("trees, 1 row", trained().path, 1), Work("perceptron of 50 MB, 32 rows", heavy, 32)]
    return works if quick else [*works, Work("perceptron of 50 MB, 1 row", heavy, 1)]


def _sizes(quick: bool) -> list[int]:
    """Those that this machine has the cores for."""
    cores = os.process_cpu_count() or 1
    return [size for size in (QUICK_SIZES_MB if quick else SIZES_MB) if size / MEMORY_PER_CORE_MB <= cores]


def _microseconds(work: Work, threads: str, share: Quota, seconds: float) -> float:
    """Of a run, in a fresh process: where its memory lies makes a process faster or slower for all of its life."""
    with _repeated(work, threads, share) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{seconds}\n")
        process.stdin.flush()
        return float(process.stdout.readline())


@contextmanager
def _repeated(work: Work, threads: str, share: Quota) -> Iterator[subprocess.Popen[str]]:
    """A process that is ready, loaded outside the quota, and waits."""
    command = [sys.executable, str(WORKERS / "repeated.py"), str(work.path), threads, str(work.rows)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdout.readline()
            share.add(process.pid)
            yield process
        finally:
            process.stdin.close()
            process.wait()
