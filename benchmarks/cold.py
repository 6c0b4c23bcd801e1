"""Cold start: a fresh interpreter on the built assets alone, from nothing to the first correct answer."""

import json
import time
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import events
from benchmarks.environments import BENCH, bundle
from benchmarks.imports import PREFIX, imports, ledger
from benchmarks.isolated import Isolated, built
from benchmarks.machine import versions
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.model import Array, Trained, trained
from benchmarks.plot import Bar, bars
from benchmarks.progress import Tell, silence
from benchmarks.report import figures_table, number, ratios_table, table
from benchmarks.result import Figure, Result, Target
from layers.uv import ROOT

TITLE = "Cold start"
OURS, FLOOR, NAIVE, RESTORED = "Lastmile", "floor", "naive bundle", "Lastmile, SnapStart"
RIVALS = ROOT / "benchmarks/rivals"
PACKAGES = ("aws-lambda-powertools", "fastapi", "mangum", "numpy", "onnxruntime", "pydantic")
SHOWN_PACKAGES, OTHERS = (
    ("numpy", "onnxruntime", "orjson", "obstore", "lastmile", "functions"),
    "standard library and others",
)
STEPS = {"interpreter": ("spawned", "started"), "imports": ("started", "imported"), "answer": ("imported", "answered")}


@dataclass(frozen=True)
class Start:
    """Milliseconds from nothing, or from `clock_starts`, to the first answer; which is checked after the clock."""

    isolated: Isolated
    worker: str
    model: Trained
    event: Path
    body: str | None = None
    clock_starts: str = "spawned"
    steps: list[dict[str, float]] = field(default_factory=list)

    def __call__(self) -> float:
        spawned = time.monotonic_ns()
        said = self.isolated.answer(self.worker, str(self.event), str(self.model.path))
        moments = {"spawned": spawned, **said}
        self._check(said["answer"])
        self.steps.append({name: (moments[end] - moments[start]) / 1e6 for name, (start, end) in STEPS.items()})
        return float(moments["answered"] - moments[self.clock_starts]) / 1e6

    def _check(self, answer: Any) -> None:
        """What the model says and, where a fast path was taken, the bytes of the plain one."""
        said = np.array(answer, np.float32) if isinstance(answer, list) else events.probabilities(answer)
        np.testing.assert_array_equal(said, self.model.answers(_rows(self.model))[1])
        assert self.body is None or answer["body"] == self.body


def run(quick: bool, tell: Tell = silence) -> Result:
    model = trained()
    ours = Isolated(built(), model.uri)
    event = _written_event(model)
    plain = ours.answer("plain", str(event))["body"]
    contenders = {
        OURS: Start(ours, "cold_lastmile", model, event, body=plain),
        FLOOR: Start(Isolated(built()[1:], model.uri), "cold_floor", model, event),
        NAIVE: Start(Isolated((RIVALS, naive_bundle()), model.uri), "cold_naive", model, event),
        RESTORED: Start(ours, "restored", model, event, body=plain, clock_starts="started"),
    }
    for start in contenders.values():
        start()  # from here on the files are in memory, whoever reads them
        start.steps.clear()
    samples = alternate(contenders, rounds=8 if quick else 60, tell=tell)
    tell("the ledger")
    costs = ledger([imports(ours, str(event)) for _ in range(3 if quick else 21)])
    vs_floor, vs_naive = f"{OURS} / {FLOOR}", f"{NAIVE} / {OURS}"
    return Result(
        figures={
            **{name: figure(values, "ms") for name, values in samples.items()},
            **{f"{OURS}: {name}": figure([step[name] for step in contenders[OURS].steps], "ms") for name in STEPS},
            **{PREFIX + name: Figure.count(cost, "ms") for name, cost in costs.items()},
        },
        ratios={
            vs_floor: ratio(samples[OURS], samples[FLOOR]),
            vs_naive: ratio(samples[NAIVE], samples[OURS], better="higher"),
            f"{RESTORED} / {FLOOR}": ratio(samples[RESTORED], samples[FLOOR]),
        },
        targets={vs_floor: Target(at_most=1.5), vs_naive: Target(at_least=4.0)},
        versions=versions("fastapi", "mangum", "aws-lambda-powertools"),
    )


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]
    shown = [Bar(name, figures[name], is_ours=name.startswith(OURS)) for name in (NAIVE, OURS, FLOOR, RESTORED)]
    costs = {name[len(PREFIX) :]: row["median"] for name, row in figures.items() if name.startswith(PREFIX)}
    slowest = [(f"`{name}`", f"{cost:.2f}") for name, cost in costs.items() if cost >= 0.5]
    packages = [(name, f"{cost:.1f}") for name, cost in _by_package(costs).items()]
    return "\n".join(
        (
            "From the start of a fresh interpreter (`python -I -S`, nothing on its path but the built assets) to the "
            "first correct answer of an `infer` event, the registry being a directory. The floor is the same "
            "interpreter importing numpy and onnxruntime from the same layer, loading the same file and running it "
            "once. The naive bundle is `pip install -t` of FastAPI, Mangum, Powertools, numpy and onnxruntime, all "
            "imported at module level, without bytecode and with ONNX Runtime's default threads. After SnapStart: "
            "from the restore hooks to the first answer, in a process that has run the hooks before the snapshot; "
            "the restore itself is Lambda's and not in it.\n",
            bars("cold", "Milliseconds to the first answer", shown),
            ratios_table(document),
            figures_table(document, [*(bar.label for bar in shown), *(f"{OURS}: {name}" for name in STEPS)]),
            "### The ledger of imports\n",
            f"Every module that our cold start imports, {len(costs)} in all, is in "
            "[cold.json](../benchmarks/results/cold.json) with its own milliseconds (`-X importtime`, which itself "
            "adds a little to each); a test fails when the hot path imports one that is not there. By package:\n",
            table(("package", "ms"), packages),
            f"Modules of half a millisecond and more; all others together take {_rest(costs)} ms:\n",
            table(("module", "ms"), slowest),
        )
    )


def _rows(model: Trained) -> Array:
    return model.rows[:1]


def _written_event(model: Trained) -> Path:
    path = BENCH / "cold-event.json"
    path.write_text(json.dumps(events.as_json(_rows(model))))
    return path


def naive_bundle() -> Path:
    """The third-party packages of the naive bundle, in the versions that we use."""
    return bundle("naive", [f"{name}=={version(name)}" for name in PACKAGES])


def _by_package(costs: dict[str, float]) -> dict[str, float]:
    total = dict.fromkeys((*SHOWN_PACKAGES, OTHERS), 0.0)
    for name, cost in costs.items():
        package = name.partition(".")[0]
        total[package if package in SHOWN_PACKAGES else OTHERS] += cost
    return total


def _rest(costs: dict[str, float]) -> str:
    return number(sum(cost for cost in costs.values() if cost < 0.5))
