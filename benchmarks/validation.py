"""An upload of a million rows of thirty columns: how long it takes to read and check it, and in how much memory."""

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.environments import BENCH
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, ratios_table
from benchmarks.result import Figure, Ratio, Result, Target
from layers.uv import ROOT

TITLE = "Validating an upload"
ROWS, BLOCK = 1_000_000, 50_000
NUMBERS = [f"x{number}" for number in range(24)]
TEXTS = ["t_country", "t_channel", "t_device", "t_plan"]
COLUMNS = [*NUMBERS, *TEXTS, "at", "label"]
CHOICES = (("DE", "FR", "IT", "ES"), ("web", "app"), ("ios", "android", "pc"), ("free", "plus", "pro"))
LIMIT = 2_000_000_000
TIMEOUT = 600
CSV, JSON_LINES, PARQUET, BARE = "CSV", "JSON lines", "Parquet", "csv module alone"


@dataclass(frozen=True)
class Reading:
    """CPU seconds of one reading in a fresh process, because the machine is shared; keeps the peaks of memory."""

    kind: str
    path: Path
    peaks: list[float] = field(default_factory=list)

    def __call__(self) -> float:
        script = ROOT / "benchmarks/workers/validated.py"
        command = [sys.executable, str(script), self.kind, str(self.path), ",".join(COLUMNS)]
        environment = {"PYTHONPATH": f"{ROOT}:{ROOT / 'layers/onnx/python'}", "OPENBLAS_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=TIMEOUT, env=environment)
        said = json.loads(done.stdout)
        assert said["rows"] == ROWS
        self.peaks.append(said["bytes"])
        return float(said["seconds"])


def run(quick: bool, tell: Tell = silence) -> Result:
    files = {form: _file(form, tell) for form in (CSV, JSON_LINES, PARQUET)}
    readings = {form: Reading("ours", path) for form, path in files.items()}
    readings[BARE] = Reading("bare", files[CSV])
    samples = alternate(readings, rounds=2 if quick else 5, tell=tell)
    against = f"{CSV}, read and checked / {BARE}"
    memory = {f"{form}, memory / 2 GB": Ratio.exact(max(readings[form].peaks) / LIMIT) for form in files}
    return Result(
        figures={
            **{name: figure(values, "s") for name, values in samples.items()},
            **{f"{form}, memory": Figure.count(max(readings[form].peaks) / 1e6, "MB") for form in files},
            **{f"{form}, size": Figure.count(path.stat().st_size / 1e6, "MB") for form, path in files.items()},
        },
        ratios={against: ratio(samples[CSV], samples[BARE]), **memory},
        targets=dict.fromkeys(memory, Target(at_most=1.0)),
        versions=versions("cramjam"),
    )


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    shown = [Bar(name, figures[name], is_ours=name != BARE) for name in (CSV, JSON_LINES, PARQUET, BARE)]
    return "\n".join(
        (
            f"A file of {ROWS:,} rows and {len(COLUMNS)} columns (24 numbers, 4 texts, a time, a label; one number in "
            "fifty is missing) becomes a table, with every check (types, ranges, categories, duplicates, classes, "
            "leaks) and the report's page, in a fresh process on one core. Seconds are of the CPU. Beside it, Python's "
            "csv module splitting the same file's lines and doing nothing else.\n",
            bars("validation", "CPU seconds for a million rows", shown),
            ratios_table(document),
            figures_table(document),
        )
    )


def _file(form: str, tell: Tell) -> Path:
    """Made once; seeded."""
    path = BENCH / f"validation-{ROWS}.{ {CSV: 'csv', JSON_LINES: 'jsonl', PARQUET: 'parquet'}[form] }"
    if not path.is_file():
        tell(f"writing {path.name}")
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(".unfinished")
        _WRITERS[form](unfinished)
        unfinished.rename(path)
    return path


def _blocks() -> Iterator[list[list[str]]]:
    """Columns of texts, block by block; an empty one is missing."""
    random = np.random.default_rng(0)
    for start in range(0, ROWS, BLOCK):
        x = random.normal(size=(BLOCK, len(NUMBERS)))
        label = (x[:, 0] + random.normal(size=BLOCK) > 1).astype(int)
        numbers = [np.char.mod("%.4f", x[:, place]) for place in range(len(NUMBERS))]
        for column in numbers:
            column[random.random(BLOCK) < 0.02] = ""
        texts = [random.choice(choices, BLOCK) for choices in CHOICES]
        seconds = (start + np.arange(BLOCK)).astype("timedelta64[s]")
        at = (np.datetime64("2025-01-01T00:00:00") + seconds).astype(str)
        yield [column.tolist() for column in (*numbers, *texts, at, label.astype(str))]


def _write_csv(path: Path) -> None:
    with path.open("w") as file:
        file.write(",".join(COLUMNS) + "\n")
        for columns in _blocks():
            file.writelines(",".join(row) + "\n" for row in zip(*columns, strict=True))


def _write_json_lines(path: Path) -> None:
    texts = {*TEXTS, "at"}
    with path.open("w") as file:
        for columns in _blocks():
            for row in zip(*columns, strict=True):
                parts = (
                    f'"{name}":"{value}"' if name in texts else f'"{name}":{value or "null"}'
                    for name, value in zip(COLUMNS, row, strict=True)
                )
                file.write("{" + ",".join(parts) + "}\n")


def _write_parquet(path: Path) -> None:
    from arro3.core import Array, ChunkedArray, DataType, Table
    from arro3.io import write_parquet

    parts: dict[str, list[Any]] = {name: [] for name in COLUMNS}
    for columns in _blocks():
        for name, column in zip(COLUMNS, columns, strict=True):
            if name in NUMBERS:
                values = [float(text) if text else None for text in column]
                parts[name].append(Array(values, type=DataType.float64()))
            elif name == "at":
                micros = np.array(column, "datetime64[us]").astype(np.int64)
                parts[name].append(Array(micros).cast(DataType.timestamp("us")))
            else:
                whole = name == "label"
                parts[name].append(Array(np.array(column, int)) if whole else Array(column, type=DataType.utf8()))
    write_parquet(Table.from_pydict({name: ChunkedArray(of) for name, of in parts.items()}), path, compression="snappy")


_WRITERS = {CSV: _write_csv, JSON_LINES: _write_json_lines, PARQUET: _write_parquet}
