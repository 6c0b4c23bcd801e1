"""The pipeline on stores in memory, with a clock that only sleeping moves, and heavy steps that cost nothing."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
import orjson
from onnx import TensorProto, helper

from functions.retraining import door as doors
from functions.retraining.door import Door
from functions.retraining.executions import Executions
from functions.retraining.here import follow
from functions.retraining.work import Act, Desk, Job, Outcome, Refused, keep
from lastmile.bus import Bus
from lastmile.policies import Approval, Canary, Training
from lastmile.profile import Layout, Profile
from lastmile.registry import Registry
from lastmile.runs import Run
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec

X = TensorSpec("x", "FP32", (-1, 2), ("age", "income"))
LABEL = TensorSpec("label", "INT64", (-1,))
SPEC = ModelSpec(
    "fraud",
    "classification",
    "Is it a fraud?",
    (X,),
    (LABEL,),
    training=Training("own", target="label"),
    canary=Canary(steps=(0.1, 0.5), bake_seconds=100, min_requests=50),
)
KEY = "training/fraud/may.csv"


def graph(bias: int = 0) -> bytes:
    """label = bias for every row."""
    nodes = [
        helper.make_node("ReduceMax", ["x"], ["largest"], axes=[1], keepdims=0),
        helper.make_node("Sub", ["largest", "largest"], ["nothing"]),
        helper.make_node("Cast", ["nothing"], ["zero"], to=TensorProto.INT64),
        helper.make_node("Add", ["zero", "bias"], ["label"]),
    ]
    made = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["rows", 2])],
        [helper.make_tensor_value_info("label", TensorProto.INT64, ["rows"])],
        [helper.make_tensor("bias", TensorProto.INT64, [1], [bias])],
    )
    opsets = [helper.make_opsetid("", 13)]
    model: bytes = helper.make_model(made, opset_imports=opsets, ir_version=8).SerializeToString()
    onnx.checker.check_model(onnx.ModelProto.FromString(model))
    return model


class Clock:
    """Stands still until somebody sleeps; whatever is `waited for` happens meanwhile."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0
        self.meanwhile: Callable[[], None] = lambda: None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.meanwhile()


class Heard(Bus):
    """A bus that keeps what it is told."""

    def __init__(self) -> None:
        super().__init__(None)
        self.events: list[tuple[str, dict[str, Any]]] = []

    def tell(self, kind: str, detail: Mapping[str, Any]) -> None:
        self.events.append((kind, dict(detail)))


class Known(Executions):
    """Knows which executions run."""

    def __init__(self) -> None:
        super().__init__()
        self.ended: set[str] = set()
        self.unknown: set[str] = set()
        self.woken: list[str] = []

    def is_running(self, execution: str) -> bool | None:
        return None if execution in self.unknown else execution not in self.ended

    def wake(self, token: str) -> None:
        self.woken.append(token)


class Traffic:
    """Profiles of what each version would have answered; errors and latency by version."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.requests = 0  # per second, over both sides
        self.errors: dict[int, float] = {}
        self.milliseconds: dict[int, float] = {}
        self.share = 0.3

    def __call__(self, model: str, version: int, since: float, until: float) -> Profile | None:
        count = int(self.requests * max(0.0, until - since) * self.share)
        if not count:
            return None
        layout = Layout.from_rows(Signature((X,), (LABEL,)), "classification", {}, {"label": np.array([0, 1])})
        rows = {"label": np.array([index % 2 for index in range(count)])}
        profile = Profile.of(layout, {}, rows).observed(ms=1, error=False, at=since)
        latency = np.zeros_like(profile.latency)
        latency[int(self.milliseconds.get(version, 20))] = count
        errors = int(count * self.errors.get(version, 0.0))
        return replace(profile, requests=count, errors=errors, latency=latency)


def stand_ins(*, bias: int = 0, refuse: str | None = None) -> dict[str, Act]:
    """Heavy steps that leave what the others look for."""

    def heavy(name: str, facts: Callable[[Job], dict[str, Any]]) -> Act:
        def act(job: Job) -> Outcome:
            if name == refuse:
                raise Refused(f"{name} is not good enough", "Do better.", {"seen": name})
            return Outcome(facts=facts(job))

        return act

    def compressed(job: Job) -> dict[str, Any]:
        keep(job, "evaluation.json", b"{}")
        keep(job, "adopted.onnx", graph(bias))
        table = {"kind": "fp32", "candidates": []}
        return {"file": "adopted.onnx", "table": table, "metrics": {"accuracy": 0.9}, "evaluation": "evaluation.json"}

    def certified(job: Job) -> dict[str, Any]:
        keep(job, "certificate.json", b'{"passed":true}')
        for name in ("profile.json", "card.md", "card.html"):
            keep(job, name, name.encode())
        return {"certificate": "certificate.json"}

    def evaluated(job: Job) -> dict[str, Any]:
        return {"champion": job.desk.registry.release(job.run.model).champion}

    made: dict[str, Callable[[Job], dict[str, Any]]] = {
        "validate": lambda job: {"rows": 100, "sha256": "abc", "bad_rows": 0},
        "train": lambda job: {"training_rows": 80},
        "evaluate": evaluated,
        "compress": compressed,
        "certify": certified,
    }
    return {name: heavy(name, facts) for name, facts in made.items()}


class Killed(Exception):
    """The process ended here."""


METHODS = ("get", "pieces", "create", "replace", "put", "stat", "fetch", "exists", "list", "list_folders")


class KillingStore(Store):
    """Another store; the call number `kill_at` kills, before its effect or after it, and so does every later one."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.revive()

    def revive(self, *, kill_at: int | None = None, after: bool = False) -> None:
        self.calls, self.kill_at, self.after = 0, kill_at, after

    def _call(self, method: str, *arguments: Any, **named: Any) -> Any:
        self.calls += 1
        dead = self.kill_at is not None and self.calls >= self.kill_at
        if not dead or (self.after and self.calls == self.kill_at):
            done = getattr(self.inner, method)(*arguments, **named)
            if not dead:
                return done
        raise Killed(f"{method} {arguments[0]}")


for _method in METHODS:
    setattr(KillingStore, _method, lambda self, *given, _method=_method, **named: self._call(_method, *given, **named))


class Place:
    """Everything a run needs, and what came of it."""

    def __init__(self, spec: ModelSpec = SPEC, *, data: Store | None = None, artifacts: Store | None = None) -> None:
        self.clock = Clock()
        self.bus = Heard()
        self.executions = Known()
        self.traffic = Traffic(self.clock)
        self.data = data or Store.open("memory://", environ={})
        self.registry = Registry(artifacts or Store.open("memory://", environ={}))
        self.registry.declare(spec, actor="ann", why="declared")
        self.uploads = 0

    def door(self, **how: Any) -> Door:
        desk = Desk(
            data=self.data,
            registry=self.registry,
            profiles=self.traffic,
            bus=self.bus,
            executions=self.executions,
            clock=self.clock,
            code={"commit": "4f2a"},
        )
        return Door(desk, acts=dict(doors.ACTS) | stand_ins(**how))

    def upload(self, key: str = KEY) -> str:
        """Another version of the object; returns its key."""
        self.uploads += 1
        self.data.put(key, f"age,income,label\n{self.uploads},2,1\n".encode())
        return key

    def run(self, key: str = KEY, *, execution: str = "first", door: Door | None = None, **how: Any) -> Run:
        """Until the run is over."""
        said: list[dict[str, Any]] = []
        record = follow(door or self.door(**how), key, execution=execution, say=said.append, sleep=self.clock.sleep)
        assert record is not None
        return Run.from_document(record)

    def train(self, *, bias: int = 0, **how: Any) -> Run:
        return self.run(self.upload(), bias=bias, **how)

    def report(self, run: Run) -> dict[str, Any]:
        assert run.report is not None
        document: dict[str, Any] = orjson.loads(self.data.get(run.report).data)
        return document


def manual(hours: float = 1.0) -> ModelSpec:
    return replace(SPEC, approval=Approval("manual", hours))
