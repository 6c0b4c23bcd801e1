"""A registry with a model and its reference, and its traffic hour by hour."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from functions.drift.watch import Watch
from lastmile.bus import Bus
from lastmile.policies import Drift
from lastmile.profile import Layout, Profile, reference
from lastmile.profiles import ProfileStore
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array, Signature
from tests.unit.watching import HOUR, NOW, answer, spec

COUNTRIES = np.array(["DE", "FR", "IT"], object)


def rows(count: int, *, seed: int = 0, shift: float = 0.0) -> dict[str, Array]:
    random = np.random.default_rng(seed)
    amounts = (random.normal(4 + shift, 1.5, count)).astype(np.float32)
    return {"amount": amounts, "country": COUNTRIES[random.integers(0, 3, count)]}


@dataclass
class HeardBus(Bus):
    """A bus that nobody but the test listens to; it fails as often as `failing` says."""

    heard: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    failing: int = 0

    def tell(self, kind: str, detail: Any) -> None:
        if self.failing:
            self.failing -= 1
            raise EventLostError
        self.heard.append((kind, dict(detail)))

    def kinds(self) -> list[str]:
        return [kind for kind, _ in self.heard]


class EventLostError(Exception):
    """The function died here."""


@dataclass
class World:
    """Everything that a check looks at, and what it leaves behind."""

    registry: Registry
    data: Store
    bus: HeardBus = field(default_factory=HeardBus)
    lines: list[str] = field(default_factory=list)

    @property
    def watch(self) -> Watch:
        return Watch(self.registry, self.data, self.bus, stage="dev", write=self.lines.append)

    def push(self, of: ModelSpec, *, profile: bool = True, seed: int = 1, promote: bool = True) -> int:
        """A version with a reference of 20,000 rows, or without one; returns its number."""
        known = rows(20_000, seed=seed)
        signature = Signature(of.inputs, of.outputs)
        truth = {"label": (known["amount"] > 5).astype(np.int64)}
        made = reference(signature, of.task, known, answer(known["amount"]), features=of.features, truth=truth)
        manifest = self.registry.push(
            of,
            b"model %d" % seed,
            signature=signature,
            actor="ann",
            why="because",
            metrics={},
            lineage={},
            compression={},
            files={"profile.json": json.dumps(made.to_document()).encode()} if profile else None,
        )
        if promote:
            self.registry.promote(of.name, manifest.version, actor="ann", why="because")
        return manifest.version

    def traffic(self, of: ModelSpec, *, version: int = 1, until: float = NOW, hours: int = 24, **how: Any) -> None:
        """As much in each of the hours before `until`."""
        count = how.pop("count", 500)
        layout = self.layout(of, version)
        for hour in range(hours):
            start = until - (hour + 1) * HOUR
            given = rows(count, seed=100 + hour, **how)
            profile = Profile.of(layout, given, answer(given["amount"]))
            for request in range(10):
                profile = profile.observed(ms=2.0, error=request == 0, at=start + request)
            ProfileStore(self.data).write(of.name, version, start, f"batch{hour}", profile)

    def layout(self, of: ModelSpec, version: int) -> Layout:
        manifest = self.registry.manifest(of.name, version)
        if not manifest.files:
            return Layout.default(manifest.signature, of.task, features=of.features)
        return Profile.from_document(json.loads(self.registry.file(manifest, "profile.json"))).layout

    def report(self, path: str) -> dict[str, Any]:
        return json.loads(self.data.get(path).data)  # type: ignore[no-any-return]

    def reports(self, model: str = "fraud") -> list[str]:
        return sorted(path for path in self.data.list(f"reports/{model}/drift") if path.endswith("Z.json"))

    def figures(self, name: str) -> list[Any]:
        return [document[name] for document in map(json.loads, self.lines) if name in document]


@pytest.fixture
def world() -> World:
    return World(Registry(Store.open("memory://", environ={})), Store.open("memory://", environ={}))


@pytest.fixture(scope="session", name="fraud")
def fraud_fixture() -> Callable[..., ModelSpec]:
    """Specs that are due every hour."""

    def make(*, every_hours: float = 1.0, **sections: Any) -> ModelSpec:
        return spec(drift=Drift(every_hours=every_hours, window_hours=24.0), **sections)

    return make
