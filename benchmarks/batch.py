"""A million rows: `lastmile batch` over a file beside a bare loop over the same rows in memory."""

import json
import os
import random
import shutil
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv as pc
import pyarrow.parquet as pq

from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.model import NAME, Trained, trained
from benchmarks.progress import Tell, silence
from benchmarks.report import number, ratios_table, table
from benchmarks.result import Figure, Ratio, Result, Target
from cli.batch import MEMORY
from lastmile.model import OnnxModel
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from layers.uv import ROOT

TITLE = "Batch: a million rows"
WORKER = Path(__file__).parent / "workers/batch.py"
SIZES = (64, 256, 1024, 4096, 16_384, 65_536)
GROUP_ROWS = 131_072
FEW = 100_000
KILLS = 5
SEED = 0
ENVIRON = {"ORT_DISABLE_TELEMETRY": "1", "OPENBLAS_NUM_THREADS": "1", **MEMORY}  # as the command line sets it
COLUMNS = [f"f{place}" for place in range(30)]

type Array = np.ndarray[Any, Any]


def run(quick: bool, tell: Tell = silence) -> Result:
    rows = 300_000 if quick else 1_000_000
    with TemporaryDirectory(prefix="lastmile-batch-") as folder:
        return measured(World.made(Path(folder), rows, tell), rounds=3 if quick else 9, tell=tell)


class World:
    """The rows as an array, as a CSV and as a Parquet file, and a registry with the model."""

    def __init__(self, folder: Path, rows: int) -> None:
        self.folder, self.rows = folder, rows
        self.trained: Trained = trained()
        self.registry = (folder / "registry").as_uri()

    @classmethod
    def made(cls, folder: Path, rows: int, tell: Tell) -> "World":
        world = cls(folder, rows)
        tell("making the files")
        world.push()
        known = world.trained.rows
        noise = np.random.default_rng(SEED)
        x = known[noise.integers(0, len(known), rows)] * noise.uniform(0.9, 1.1, (rows, 30)).astype(np.float32)
        np.save(folder / "rows.npy", x)
        for count in (FEW, rows):
            found = pa.table({name: x[:count, place] for place, name in enumerate(COLUMNS)})
            # A dictionary of values that are all different only makes the file a half larger.
            pq.write_table(found, folder / f"{count}.parquet", row_group_size=GROUP_ROWS, use_dictionary=False)
            pc.write_csv(found, folder / f"{count}.csv")
        return world

    def push(self) -> None:
        (self.folder / "registry").mkdir()
        registry = Registry(Store.open(self.registry, environ={}))
        data = self.trained.path.read_bytes()
        spec = self.folder / "spec.toml"
        spec.write_text(SPEC.format(name=NAME, columns=json.dumps(COLUMNS)))
        version = registry.push(
            ModelSpec.from_toml(spec),
            data,
            signature=OnnxModel.open(data, threads=1).signature,
            actor="benchmark",
            why="benchmark",
            metrics={},
            lineage={},
            compression={},
        ).version
        registry.promote(NAME, version, actor="benchmark", why="benchmark")

    def worker(self, what: str, **asked: Any) -> Any:
        done = subprocess.run(
            [sys.executable, str(WORKER), json.dumps({"what": what, **asked})],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": f"{ROOT}", **ENVIRON},
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"{what}: {done.stderr.strip()}")
        return json.loads(done.stdout.splitlines()[-1])

    def bare(self, best: dict[str, int]) -> float:
        """Rows per second."""
        found = self.worker("bare", model=str(self.trained.path), rows=str(self.folder / "rows.npy"), **best)
        return float(self.rows / found["seconds"])

    def bare_file(self, best: dict[str, int]) -> float:
        data = str(self.folder / f"{self.rows}.parquet")
        found = self.worker("bare_file", model=str(self.trained.path), rows=data, **best)
        return float(self.rows / found["seconds"])

    def ours(self, kind: str, count: int | None = None) -> Any:
        output = self.folder / f"out.{kind}"
        output.unlink(missing_ok=True)
        data = self.folder / f"{count or self.rows}.{kind}"
        return self.worker("ours", registry=self.registry, data=str(data), output=str(output))

    def speed(self, kind: str) -> float:
        return float(self.rows / self.ours(kind)["seconds"])


SPEC = """
name = "{name}"
task = "classification"
description = "Breast cancer, benign or not"
[[inputs]]
name = "features"
datatype = "FP32"
shape = [-1, 30]
columns = {columns}
[[outputs]]
name = "label"
datatype = "INT64"
shape = [-1]
[[outputs]]
name = "probabilities"
datatype = "FP32"
shape = [-1, 2]
"""


def measured(world: World, *, rounds: int, tell: Tell) -> Result:
    tell("looking for the bare loop's best batch size")
    cores = os.cpu_count() or 1
    asked = {"model": str(world.trained.path), "rows": str(world.folder / "rows.npy")}
    best = world.worker("search", **asked, sizes=SIZES, threads=sorted({1, cores}))
    contenders = {"bare": partial(world.bare, best), "file": partial(world.bare_file, best),
                  "parquet": partial(world.speed, "parquet"), "csv": partial(world.speed, "csv")}  # fmt: skip
    samples = alternate(contenders, rounds=rounds, tell=tell)
    figures = {
        "bare loop, rows in memory": figure(samples["bare"], "rows/s"),
        "bare loop, the Parquet file": figure(samples["file"], "rows/s"),
        "lastmile batch, Parquet": figure(samples["parquet"], "rows/s"),
        "lastmile batch, CSV": figure(samples["csv"], "rows/s"),
        "rows": Figure.count(world.rows, "rows"),
        "bare loop: batch size": Figure.count(best["size"], "rows"),
        "bare loop: threads": Figure.count(best["threads"], "threads"),
        "lastmile batch: threads": Figure.count(cores + 1, "threads"),
    }
    ratios = {
        "throughput, Parquet / bare loop over the file": ratio(samples["parquet"], samples["file"], better="higher"),
        "throughput, Parquet / bare loop in memory": ratio(samples["parquet"], samples["bare"], better="higher"),
        "throughput, CSV / bare loop in memory": ratio(samples["csv"], samples["bare"], better="higher"),
    }
    for kind in ("parquet", "csv"):
        tell(f"memory, {kind}")
        peaks = {count: [world.ours(kind, count)["peak"] / 1e6 for _ in range(3)] for count in (FEW, world.rows)}
        for count, found in peaks.items():
            figures[f"peak memory, {kind}, {count:,} rows"] = figure(found, "MB")
        ratios[f"peak memory, {kind}, {world.rows:,} / {FEW:,} rows"] = ratio(peaks[world.rows], peaks[FEW])
    tell("killing")
    kills, wrong = killed(world)
    figures["killed and started again"] = Figure.count(kills, "times")
    ratios["rows lost, doubled or changed by kills"] = Ratio.exact(wrong)
    targets = {
        "throughput, Parquet / bare loop over the file": Target(at_least=0.85),
        f"peak memory, parquet, {world.rows:,} / {FEW:,} rows": Target(at_most=1.25),
        f"peak memory, csv, {world.rows:,} / {FEW:,} rows": Target(at_most=1.25),
        "rows lost, doubled or changed by kills": Target(at_most=0.0),
    }
    return Result(figures, ratios, targets, versions("numpy", "onnxruntime", "pyarrow"))


def killed(world: World) -> tuple[int, int]:
    """How often it was killed (SIGKILL, at random moments) before it came to its end, and how many rows were not as the
    bare loop has them, each once and in order."""
    output = world.folder / "killed.parquet"
    argument = json.dumps({"registry": world.registry, "model": NAME, "output": str(output),
                           "input": str(world.folder / f"{world.rows}.parquet")})  # fmt: skip
    chance, kills = random.Random(SEED), 0
    while not output.exists():
        command = [sys.executable, "-m", "functions.batch.here", argument]
        environ = {**os.environ, "ORT_DISABLE_TELEMETRY": "1"}
        process = subprocess.Popen(command, cwd=ROOT, env=environ, stdout=subprocess.PIPE)
        assert process.stdout is not None
        rows = chance.uniform(0.1, 0.9) * world.rows * (kills + 1) / KILLS
        for line in process.stdout:
            if kills < KILLS and json.loads(line).get("state", {}).get("rows", 0) >= rows:
                time.sleep(chance.uniform(0, 0.05))
                process.kill()
                kills += 1
                break
        process.communicate()
    if (parts := output.with_name(f"{output.name}.parts")).exists():
        shutil.rmtree(parts)
    return kills, differences(world, pq.read_table(output))


def differences(world: World, found: pa.Table) -> int:
    x = np.load(world.folder / "rows.npy")
    labels, probabilities = world.trained.answers(x)
    if found.num_rows != len(x):
        return abs(int(found.num_rows) - len(x))
    same: Array = found.column("row").to_numpy() == np.arange(1, len(x) + 1)
    same &= found.column("label").to_numpy() == labels
    for place in range(2):
        same &= found.column(f"probabilities.{place}").to_numpy() == probabilities[:, place]
    wrong = len(x) - int(same.sum())
    known: list[str] = found.column("prediction_id").to_pylist()
    return wrong + len(x) - len(set(known))


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    rows = int(figures["rows"]["median"])

    def cell(name: str) -> str:
        return number(figures[name]["median"])

    told = [(name, cell(name), f"{number(figures[name]['low'])} to {number(figures[name]['high'])}")
            for name in ("bare loop, rows in memory", "bare loop, the Parquet file",
                         "lastmile batch, Parquet", "lastmile batch, CSV")]  # fmt: skip
    memory = [
        (kind, *(f"{cell(f'peak memory, {kind}, {count:,} rows')} MB" for count in (FEW, rows)))
        for kind in ("parquet", "csv")
    ]
    return "\n".join(
        (
            f"{rows:,} rows of 30 floats. The bare loops call `InferenceSession.run` and leave the answers in memory: "
            "no value is checked and nothing is written. One has the rows in memory before its time begins: the floor. "
            "The other reads them from the Parquet file, piece by piece, as a script would that is made for this file "
            "alone; it is what the target is held against. They have the batch size and number of threads that the "
            f"loop in memory was quickest with ({cell('bare loop: batch size')} rows, "
            f"{cell('bare loop: threads')} of them), and their time begins with "
            "the session loaded and warm. `lastmile "
            "batch` begins with nothing: it loads the model from the registry, measures its batch size, reads and "
            "checks the file, predicts, writes every part, and puts the parts together to one file with prediction "
            "ids; its time is all of that but Python's imports. It has "
            f"{cell('lastmile batch: threads')} threads that predict, one more than cores, while another reads. All "
            "contenders run in fresh processes, in turns.\n",
            table(("rows per second", "median", "quartiles"), told),
            table(("peak memory", f"{FEW:,} rows", f"{rows:,} rows"), memory),
            f"Killed by SIGKILL {cell('killed and started again')} times at random moments and started again each "
            "time, it gave every row once, in order, with the bare loop's values to the bit.\n",
            ratios_table(document),
            _beside(document),
        )
    )


def _beside(document: dict[str, Any]) -> str:
    """What a batch costs that a loop over rows in memory does not have to do."""
    figures = document["figures"]
    threads = figures["bare loop: threads"]["median"]
    graph, whole = (
        threads * 1e6 / figures[name]["median"] for name in ("bare loop, rows in memory", "lastmile batch, Parquet")
    )
    return (
        f"The graph takes {number(graph)} µs of a core for each row, little for a model; all that a batch does beside "
        "it (reading, checking, laying out columns, ids, parts to go on from, writing Parquet) takes "
        f"{number(whole - graph)} µs, and weighs the less the more a model has to do.\n"
    )
