"""Fresh interpreters as Lambda starts them: nothing on the path but built assets, nothing in the environment but
what infra and Lambda put there."""

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from layers.assets import ASSETS
from layers.build import OUT, ensure, every_target

WORKERS = Path(__file__).parent / "workers"
MEMORY_MB = 1769  # one core: what a session of one thread needs


class WorkerFailed(Exception):
    """A measured process ended with an error; its own words follow."""


@dataclass(frozen=True)
class Isolated:
    """`paths` is what Python searches besides its standard library; `artifacts` is the registry's address; `also` is
    what a function has in its environment beside the others'."""

    paths: tuple[Path, ...]
    artifacts: str
    capture: bool = True
    also: Mapping[str, str] = field(default_factory=dict)

    def command(self, worker: str, arguments: Sequence[str] = (), *, flags: Sequence[str] = ()) -> list[str]:
        script = str(WORKERS / f"{worker}.py")
        searched = os.pathsep.join(map(str, self.paths))
        return [sys.executable, "-I", "-S", "-B", *flags, script, searched, *arguments]

    def environ(self) -> dict[str, str]:
        return {
            "LASTMILE_STAGE": "dev",
            "LASTMILE_ARTIFACTS": self.artifacts,
            "LASTMILE_CAPTURE": "on" if self.capture else "off",
            "OPENBLAS_NUM_THREADS": "1",
            "ORT_DISABLE_TELEMETRY": "1",
            "POWERTOOLS_SERVICE_NAME": "benchmark",
            "POWERTOOLS_METRICS_NAMESPACE": "benchmark",
            "AWS_REGION": "eu-central-1",
            "AWS_LAMBDA_FUNCTION_NAME": "benchmark",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(MEMORY_MB),
            "_X_AMZN_TRACE_ID": "Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1",
            **self.also,
        }

    def run(self, worker: str, *arguments: str, flags: Sequence[str] = ()) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(worker, arguments, flags=flags),
            env=self.environ(),
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise WorkerFailed(f"{worker}: {done.stderr.strip()}")
        return done

    def answer(self, worker: str, *arguments: str) -> Any:
        """The JSON value in the last line that the worker prints."""
        return json.loads(self.run(worker, *arguments).stdout.splitlines()[-1])


class Turns:
    """A process that stays, and measures one of its contenders whenever it is that one's turn."""

    def __init__(self, isolated: Isolated, worker: str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            isolated.command(worker, arguments),
            env=isolated.environ(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        greeting = self._answer()
        self.contenders: list[str] = greeting["contenders"]
        self.said: dict[str, Any] = greeting["said"]

    def measure(self, contender: str, calls: int) -> float:
        """Median seconds of so many calls."""
        return float(self._ask({"contender": contender, "calls": calls}))

    def close(self) -> None:
        self._process.communicate()

    def _ask(self, question: Mapping[str, Any]) -> Any:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerFailed(f"a worker ended with {self._process.wait()}")
        return json.loads(line)


def built(name: str = "inference") -> tuple[Path, Path]:
    """A function and its first layer for this machine, up to date."""
    ensure(every_target())
    architecture = {"x86_64": "x86_64", "aarch64": "arm64"}[platform.machine()]
    function, layer = ASSETS[name], ASSETS["onnx-layer"]
    return OUT / f"{function.name}-{architecture}", OUT / f"{layer.name}-{architecture}" / layer.packages
