"""Growth: what resolving, pushing, promoting and rolling back ask of the store of a small and of a large registry."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, cast

import orjson

from benchmarks.machine import versions
from benchmarks.matmul import perceptron
from benchmarks.measurement import alternate, figure, ratio
from benchmarks.progress import Tell, silence
from benchmarks.report import number, ratios_table, table
from benchmarks.result import Figure, Ratio, Result, Target
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.release import Release
from lastmile.spec import ModelSpec
from lastmile.store import Store, Stored
from lastmile.ulid import new_ulid

TITLE = "Growth"
MODEL = "measured"
SMALL, LARGE = (1, 3), (1_000, 10_000)  # models, and versions of the one that is measured
NAMES = {SMALL: "1 model, 3 versions", LARGE: "1,000 models, 10,000 versions"}
OPERATIONS = ("resolve", "refresh", "push", "promote", "rollback")
PAGE = 1_000  # names in one answer of S3 to a request for a list
BY: dict[str, Any] = {"actor": "benchmark", "why": "to be measured"}
REQUESTS, BYTES = Target(at_most=1.0), Target(at_most=1.05)  # 10001 has four digits more than 4


class Counting:
    """A store that counts the requests that it gets, and the bytes that they carry either way."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.requests = self.bytes = 0

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return partial(self._call, getattr(self._inner, name))

    def _call(self, method: Callable[..., Any], *arguments: Any, **named: Any) -> Any:
        self.requests += 1
        self.bytes += sum(len(argument) for argument in arguments if isinstance(argument, bytes))
        found = method(*arguments, **named)
        if isinstance(found, Stored):
            self.bytes += len(found.data)
        if isinstance(found, list):
            return list(self._passed(iter(found)))
        return self._passed(found) if isinstance(found, Iterator) else found

    def _passed(self, parts: Iterator[Any]) -> Iterator[Any]:
        """Pieces of a file, or names, of which more than a page take more requests."""
        for index, part in enumerate(parts):
            self.bytes += len(part)
            self.requests += isinstance(part, str) and index > 0 and index % PAGE == 0
            yield part


class World:
    """A registry in memory of that size, whose one model is pushed to, promoted and rolled back again and again."""

    def __init__(self, models: int, count: int) -> None:
        self.data = perceptron((4, 4)).read_bytes()
        self.graph = OnnxModel.open(self.data, threads=1).signature
        self.spec = ModelSpec(MODEL, "regression", "", self.graph.inputs, self.graph.outputs)
        self.store = Store.open("memory://", environ={})
        self.registry = Registry(self.store)
        self._fill(models, count)

    def _fill(self, models: int, count: int) -> None:
        """One model and one version as the registry itself writes them; all others are copies of their objects."""
        manifest = self.push(self.registry)
        release = self.promote(self.registry)
        for version in range(2, count + 1):
            self._copy(manifest, MODEL, version)
        for index in range(models - 1):
            name = f"model-{index}"
            self._copy(manifest, name, 1)
            self.store.put(f"models/{name}/release.json", replace(release, model=name).to_bytes())
            self.store.put(f"models/{name}/spec.json", self.store.get(f"models/{MODEL}/spec.json").data)
        for index in range(count):
            self.store.put(f"audit/2026/11/21/{new_ulid(1.7e9 + index)}.json", release.head.to_bytes())
        path = f"models/{MODEL}/release.json"
        self.store.put(path, replace(release, latest=count, champion=count, previous=count - 1).to_bytes())

    def _copy(self, manifest: Manifest, model: str, version: int) -> None:
        folder = f"models/{model}/versions/{version}"
        document = replace(manifest, model=model, version=version).to_document()
        self.store.put(f"{folder}/manifest.json", orjson.dumps(document, option=orjson.OPT_SORT_KEYS))
        self.store.put(f"{folder}/claim.json", orjson.dumps({manifest.artefact.path: manifest.artefact.sha256}))
        self.store.put(f"{folder}/model.onnx", self.data)

    def resolve(self, registry: Registry) -> None:
        """A process that knows nothing yet."""
        assert Predictor(registry, threads=1).resolve(MODEL).loaded.model is not None

    def refresh(self, registry: Registry) -> None:
        """One that knows the release, and asks whether it moved."""
        _, etag = cast("tuple[Release, str]", self.registry.release_if_changed(MODEL, None))
        assert registry.release_if_changed(MODEL, etag) is None

    def push(self, registry: Registry) -> Manifest:
        facts: dict[str, Any] = {"metrics": {}, "lineage": {"run": new_ulid()}, "compression": {}}
        return registry.push(self.spec, self.data, signature=self.graph, **facts, **BY)

    def promote(self, registry: Registry) -> Release:
        return registry.promote(MODEL, self.registry.release(MODEL).latest, **BY)

    def rollback(self, registry: Registry) -> Release:
        return registry.rollback(MODEL, **BY)

    def counted(self, operation: str) -> tuple[int, int]:
        """Requests and bytes of one."""
        counting = Counting(self.store)
        getattr(self, operation)(Registry(cast("Store", counting)))
        return counting.requests, counting.bytes

    def seconds(self, operation: str) -> float:
        if operation == "rollback":  # there is nothing to go back from without a promotion, and the other way round
            self.promote(self.registry)
        started = time.perf_counter()
        getattr(self, operation)(self.registry)
        took = time.perf_counter() - started
        if operation == "promote":
            self.rollback(self.registry)
        return took

    def release_bytes(self) -> int:
        return len(self.store.get(f"models/{MODEL}/release.json").data)


def run(quick: bool, tell: Tell = silence) -> Result:
    figures: dict[str, Figure] = {}
    ratios: dict[str, Ratio] = {}
    targets: dict[str, Target] = {}

    def compare(what: str, unit: str, counts: dict[tuple[int, int], int], target: Target) -> None:
        for size, count in counts.items():
            figures[f"{NAMES[size]}: {what}"] = Figure.count(count, unit)
        ratios[f"{what}, large / small"] = Ratio.exact(counts[LARGE] / counts[SMALL])
        targets[f"{what}, large / small"] = target

    tell("filling the registries")
    worlds = {size: World(*size) for size in (SMALL, LARGE)}
    for operation in OPERATIONS:
        counted = {size: world.counted(operation) for size, world in worlds.items()}
        compare(
            f"{operation}, requests", "requests", {size: requests for size, (requests, _) in counted.items()}, REQUESTS
        )
        if all(carried for _, carried in counted.values()):
            compare(f"{operation}, bytes", "bytes", {size: carried for size, (_, carried) in counted.items()}, BYTES)
    compare("release.json, bytes", "bytes", {size: world.release_bytes() for size, world in worlds.items()}, BYTES)
    for operation in OPERATIONS:
        contenders = {NAMES[size]: partial(world.seconds, operation) for size, world in worlds.items()}
        samples = alternate(contenders, rounds=20 if quick else 200, tell=tell)
        for name, seconds in samples.items():
            figures[f"{name}: {operation}, time"] = figure([1e6 * second for second in seconds], "µs")
        ratios[f"{operation}, time, large / small"] = ratio(samples[NAMES[LARGE]], samples[NAMES[SMALL]])
    return Result(figures, ratios, targets, versions("obstore"))


def describe(document: dict[str, Any]) -> str:
    figures = document["figures"]

    def cell(size: tuple[int, int], operation: str, what: str) -> str:
        found = figures.get(f"{NAMES[size]}: {operation}, {what}")
        return "" if found is None else number(found["median"])

    rows = [
        (operation, *(cell(size, operation, what) for what in ("requests", "bytes", "time") for size in (SMALL, LARGE)))
        for operation in (*OPERATIONS, "release.json")
    ]
    heads = tuple(f"{what}, {size}" for what in ("requests", "bytes", "µs") for size in ("small", "large"))
    return "\n".join(
        (
            f"Small is a registry of {NAMES[SMALL]} of it, large one of {NAMES[LARGE]} of one of them and as many "
            "audit entries, both in memory. Resolve is a process that knows nothing yet, up to the loaded session; "
            "refresh is the question whether the release has moved. Requests and bytes, in both directions, are "
            "counted between the registry and its store; bytes differ by the digits of versions' numbers. Times are "
            "those of our own code and the store in memory.\n",
            table(("", *heads), rows),
            ratios_table(document),
        )
    )
