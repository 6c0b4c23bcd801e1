"""How long two sets of rows take to be compared, beside Evidently and Alibi Detect, and what it takes of memory.

Each contender is a fresh process that has the rows in memory in the form it likes best before its clock starts.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import BENCH, Environment, EnvironmentFailed, environment
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, ratios_table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.drift import compare
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec
from layers.uv import ROOT

TITLE = "Drift: speed"
RIVALS = Path(__file__).parent / "rivals"
NUMBERS, CATEGORIES = 20, (2, 10, 50, 200, 10)
FEW, MANY = 100_000, 1_000_000
MEMORY_LIMIT_MB = 512
CHECK_LIMIT_MS = 50
TRAFFIC = 2**30 * 5000  # rows in the profile of the check
COMMAND = "lastmile drift compare"

REQUIREMENTS = {
    "Evidently": ("evidently", ("evidently==0.7.21", "pandas<3"), "3.13", "evidently_drift"),
    # Alibi Detect's dependencies have no wheels for a newer Python.
    "Alibi Detect": ("alibi-detect", ("alibi-detect==0.13.0",), "3.11", "alibi_drift"),
}
TARGETS = {
    f"Lastmile / Evidently, {FEW:,} rows": Target(at_most=1 / 20),
    f"Lastmile / Alibi Detect, {FEW:,} rows": Target(at_most=1.0),
    f"Lastmile / Alibi Detect, {MANY:,} rows": Target(at_most=1.0),
    f"memory of the command, {MANY:,} rows / 512 MB": Target(at_most=1.0),
    "a check of profiles / 50 ms": Target(at_most=1.0),
}
PACKAGES = ("evidently", "alibi-detect", "pandas")


def run(quick: bool, tell: Tell = silence) -> Result:
    tell("the rivals' environments")
    rivals = installed(tell)
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    for rows, rounds in ((FEW, 2 if quick else 3), (MANY, 1)):
        tell(f"{rows:,} rows are written")
        folder = written(rows)
        peaks: dict[str, float] = {}
        contenders = {
            name: partial(in_process, command, name, peaks) for name, command in commands(folder, rivals).items()
        }
        samples = alternate(contenders, rounds=rounds, tell=partial(told, tell, rows))
        figures |= {f"{name}, {rows:,} rows": figure(seconds, "s") for name, seconds in samples.items()}
        figures |= {f"{name}, {rows:,} rows, memory": Figure.count(peak, "MB") for name, peak in peaks.items()}
        ratios |= {f"Lastmile / {name}, {rows:,} rows": ratio(samples["Lastmile"], samples[name]) for name in rivals}
        ratios[f"memory of the command, {rows:,} rows / 512 MB"] = Ratio.exact(peaks[COMMAND] / MEMORY_LIMIT_MB)
    tell("a check of profiles")
    checks = [1000 * seconds for seconds in check_of_profiles(20 if quick else 100)]
    figures["a check of profiles"] = figure(checks, "ms")
    ratios["a check of profiles / 50 ms"] = ratio(checks, [CHECK_LIMIT_MS] * len(checks))
    packages = {key: value for rival in rivals.values() for key, value in rival.versions().items() if key in PACKAGES}
    targets = {name: target for name, target in TARGETS.items() if name in ratios}
    return Result(figures, ratios, targets, versions("arro3-io") | packages)


def installed(tell: Tell) -> dict[str, Environment]:
    """Those rivals for which this machine has a Python; the others are left out of the page."""
    found = {}
    for name, (folder, requirements, python, _) in REQUIREMENTS.items():
        try:
            found[name] = environment(folder, requirements, python=python)
        except EnvironmentFailed as error:
            tell(f"{name} is left out: {error}")
    return found


def told(tell: Tell, rows: int, text: str) -> None:
    tell(f"{rows:,} rows: {text}")


def commands(folder: Path, rivals: dict[str, Environment]) -> dict[str, list[str]]:
    ours = [sys.executable, str(RIVALS / "lastmile_drift.py"), str(folder)]
    files = [str(folder / f"{side}.csv") for side in ("reference", "current")]
    line = "from cli.main import main; main()"
    return {
        "Lastmile": ours,
        COMMAND: [sys.executable, "-c", line, "drift", "compare", *files, "--json"],
        **{
            name: [str(rival.python), str(RIVALS / f"{REQUIREMENTS[name][3]}.py"), str(folder)]
            for name, rival in rivals.items()
        },
    }


def in_process(command: Sequence[str], name: str, peaks: dict[str, float]) -> float:
    """Seconds that the contender says it took; of the command, from its start to its end."""
    start = time.perf_counter()
    with (BENCH / "drift.out").open("w+") as out, (BENCH / "drift.err").open("w+") as error:
        process = subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=error, env=environ())
        _, status, used = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        error.seek(0)
        if process.returncode:
            raise RuntimeError(f"{name} failed: {error.read()[-2000:]}")
        said = out.read()
    peaks[name] = max(peaks.get(name, 0.0), used.ru_maxrss * 1024 / 1e6)
    return seconds if name == COMMAND else float(json.loads(said.splitlines()[-1])["seconds"])


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'layers/onnx/python'}", "PYTHONWARNINGS": "ignore"}


def written(rows: int) -> Path:
    """A folder with the rows as arrays and as CSV, made once."""
    folder = BENCH / f"drift-{rows}"
    if not (folder / "current.csv").is_file():
        script = [sys.executable, str(RIVALS / "drift_rows.py"), str(folder), str(rows)]
        subprocess.run(script, check=True)
        for side in ("reference", "current"):
            write_csv(folder, side)
    return folder


def write_csv(folder: Path, side: str) -> None:
    import arro3.io
    from arro3.core import Array as Arrow
    from arro3.core import DataType, Table

    numbers, codes = np.load(folder / f"{side}-numbers.npy"), np.load(folder / f"{side}-codes.npy")
    columns: dict[str, Any] = {
        f"n{index}": Arrow.from_numpy(np.ascontiguousarray(column)) for index, column in enumerate(numbers.T)
    }
    for index, column in enumerate(codes.T):
        columns[f"c{index}"] = Arrow([f"v{code}" for code in column.tolist()], DataType.utf8())
    arro3.io.write_csv(Table.from_pydict(columns), folder / f"{side}.csv")


def check_of_profiles(times: int) -> list[float]:
    """Seconds per comparison of a profile with ever so many rows."""
    random = np.random.default_rng(0)
    names = tuple(f"n{index}" for index in range(NUMBERS))
    signature = Signature(
        (
            TensorSpec("x", "FP32", (-1, NUMBERS), columns=names),
            *(TensorSpec(f"c{index}", "BYTES", (-1,)) for index in range(len(CATEGORIES))),
        ),
        (TensorSpec("value", "FP32", (-1,)),),
    )
    before = reference(signature, "regression", rows_of(random, 5000), {})
    now = Profile.of(before.layout, rows_of(random, 5000), {})
    while now.rows < TRAFFIC:
        now = now.merge(now)
    return [timed(lambda: compare(before, now, policy=Drift())) for _ in range(times)]


def timed(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def rows_of(random: np.random.Generator, rows: int) -> dict[str, Array]:
    found: dict[str, Array] = {"x": random.normal(size=(rows, NUMBERS)).astype(np.float32)}
    for index, categories in enumerate(CATEGORIES):
        names = np.array([f"v{code}" for code in range(categories)], dtype=object)
        found[f"c{index}"] = names[random.integers(0, categories, rows)]
    return found


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    shown = [
        Bar(name, figures[f"{name}, {FEW:,} rows"], is_ours=name.startswith("Lastmile"))
        for name in ("Lastmile", *REQUIREMENTS)
        if f"{name}, {FEW:,} rows" in figures
    ]
    text = (
        f"Two sets of 25 columns, {NUMBERS} of numbers and {len(CATEGORIES)} of categories, compared from memory: "
        "Lastmile from arrays, texts being texts, and the reference's profile included; Evidently's DataDriftPreset "
        "from data frames; Alibi Detect's TabularDrift from arrays of numbers only, on Python 3.11. "
        f"`{COMMAND}` reads both from CSV files: its seconds are from its start to its end. A check of profiles is "
        f"what the scheduled one computes, here of a profile with {TRAFFIC:,} rows.\n"
    )
    plot = bars("drift", f"Seconds to compare {FEW:,} rows", shown)
    return "\n".join((text, plot, ratios_table(document), figures_table(document)))
