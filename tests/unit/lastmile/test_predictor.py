import json
import math
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest

from lastmile.capture import Capture
from lastmile.errors import (
    InvalidInput,
    ModelFailed,
    ModelNotFound,
    NotFound,
    StoreUnavailable,
    VersionNotFound,
    VersionRejected,
)
from lastmile.model import OnnxModel
from lastmile.predictor import Predictor
from lastmile.registry import Registry, Release
from lastmile.release import choose
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import TensorSpec, check_feeds

WHO: Any = {"actor": "test", "why": "test"}
SHAPES: dict[str, tuple[int, ...]] = {"fixed": (1, 2), "x": (-1, 2), "y": (-1,), "none": ()}
ROW = {"x": np.ones((1, 3), np.float32)}


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class World:
    """A registry in memory with a model `lin` whose version n multiplies by n, and a predictor over it."""

    def __init__(self, linear: Callable[..., bytes], **options: Any) -> None:
        self.linear = linear
        self.store = Store.open("memory://", environ={})
        self.registry = Registry(self.store)
        self.clock = Clock()
        self.lines: list[bytes] = []
        self.predictor = Predictor(
            self.registry,
            threads=1,
            release_seconds=10.0,
            clock=self.clock,
            capture=Capture(self.lines.append),
            **options,
        )

    def push(self, factor: float, model: str = "lin") -> int:
        data = self.linear(factor)
        signature = OnnxModel.open(data, threads=1).signature
        spec = ModelSpec(
            name=model, task="regression", description="", inputs=signature.inputs, outputs=signature.outputs
        )
        manifest = self.registry.push(spec, data, signature=signature, metrics={}, lineage={}, compression={}, **WHO)
        return manifest.version

    def answer(self, **how: Any) -> tuple[int, str, float]:
        served = self.predictor.resolve("lin", **how)
        prediction = self.predictor.run(served, ROW)
        return prediction.version, prediction.role, prediction.outputs["y"][0, 0].item()

    def captures(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.lines]


@pytest.fixture
def world(linear: Callable[..., bytes]) -> World:
    world = World(linear)
    for factor in (1.0, 2.0, 3.0):
        world.push(factor)
    world.registry.promote("lin", 1, **WHO)
    return world


def test_the_champion_answers(world: World) -> None:
    assert world.answer() == (1, "champion", 10.0)


def test_a_named_version_answers(world: World) -> None:
    assert world.answer(version=2) == (2, "pinned", 19.0)


def test_labels_name_roles(world: World) -> None:
    world.registry.promote("lin", 2, **WHO)
    world.registry.canary("lin", 3, weight=0.5, **WHO)
    assert world.answer(label="champion")[:2] == (2, "champion")
    assert world.answer(label="challenger")[:2] == (3, "challenger")
    assert world.answer(label="previous")[:2] == (1, "pinned")
    with pytest.raises(NotFound, match="no shadow"):
        world.answer(label="shadow")
    with pytest.raises(NotFound, match="'beta' is none of"):
        world.answer(label="beta")


def test_what_does_not_exist_is_named(world: World) -> None:
    with pytest.raises(ModelNotFound, match="'nothing'"):
        world.predictor.resolve("nothing")
    for version in (0, 4, 10**9):
        with pytest.raises(VersionNotFound, match=f"no version {version}"):
            world.answer(version=version)


@pytest.mark.parametrize("name", ["..", ".", "a/b", "", "A", "x" * 1000, "\x00"])
def test_no_name_leaves_the_models_folder(world: World, name: str) -> None:
    with pytest.raises((NotFound, InvalidInput)):
        world.predictor.resolve(name)


def test_a_model_without_a_champion_says_so(linear: Callable[..., bytes]) -> None:
    world = World(linear)
    world.push(1.0)
    with pytest.raises(NotFound, match="promote a version"):
        world.answer()
    assert world.answer(version=1)[0] == 1


def test_a_rejected_version_does_not_serve(world: World) -> None:
    world.registry.reject("lin", 3, **WHO)
    with pytest.raises(VersionRejected, match="version 3"):
        world.answer(version=3)


def test_a_version_in_memory_is_refused_once_the_release_that_rejects_it_is_read(world: World) -> None:
    assert world.answer(version=3)[0] == 3
    world.registry.reject("lin", 3, **WHO)
    assert world.answer(version=3)[0] == 3
    world.clock.now += 10.0
    for _ in range(2):
        with pytest.raises(VersionRejected, match="version 3"):
            world.answer(version=3)
    assert world.answer(version=2)[0] == 2


def test_what_a_rejected_version_had_promised_is_answered_and_no_more(world: World) -> None:
    world.registry.reject("lin", 3, **WHO)
    assert world.predictor.resolve("lin", version=3, promised=True).version == 3  # a fresh process
    for _ in range(2):
        with pytest.raises(VersionRejected, match="version 3"):
            world.answer(version=3)
        assert world.predictor.resolve("lin", version=3, promised=True).version == 3


def test_whether_a_version_was_rejected_is_asked_once_for_each_new_release(
    linear: Callable[..., bytes], watched: type[Any]
) -> None:
    world = World(linear)
    for factor in (1.0, 2.0, 3.0):
        world.push(factor)
    world.registry.promote("lin", 1, **WHO)
    store = watched(world.store)
    predictor = Predictor(Registry(store), threads=1, release_seconds=10.0, clock=world.clock)
    predictor.resolve("lin", version=2)
    world.registry.reject("lin", 3, **WHO)
    world.clock.now += 10.0
    store.calls.clear()
    for _ in range(3):
        predictor.resolve("lin", version=2)
    assert [path for _, path in store.calls] == ["models/lin/release.json", "models/lin/versions/2/rejected.json"]


def test_a_cold_start_asks_three_times(linear: Callable[..., bytes], watched: type[Any]) -> None:
    world = World(linear)
    world.push(1.0)
    world.registry.promote("lin", 1, **WHO)
    store = watched(world.store)
    predictor = Predictor(Registry(store), threads=1)
    predictor.resolve("lin")
    version = "models/lin/versions/1"
    first, *others = (path for _, path in store.calls)
    assert first == "models/lin/release.json"
    assert sorted(others) == [f"{version}/manifest.json", f"{version}/model.onnx"]


def test_the_file_is_asked_for_without_waiting_for_the_manifest(
    linear: Callable[..., bytes], watched: type[Any]
) -> None:
    world = World(linear)
    world.push(1.0)
    world.registry.promote("lin", 1, **WHO)
    store = watched(world.store)
    asked = threading.Event()

    def watch(method: str, path: str) -> None:
        if path.endswith("model.onnx"):
            asked.set()
        if path.endswith("manifest.json"):
            assert asked.wait(60)

    store.before = watch
    assert Predictor(Registry(store), threads=1).resolve("lin").version == 1


def test_a_promotion_takes_effect_after_the_interval_and_costs_one_request_each(world: World) -> None:
    world.answer()
    world.registry.promote("lin", 2, **WHO)
    assert world.answer()[0] == 1
    world.clock.now += 10.0
    assert world.answer()[0] == 2


def test_a_version_pushed_a_moment_ago_can_be_named_at_once(world: World) -> None:
    world.answer()
    assert world.push(4.0) == 4
    assert world.answer(version=4) == (4, "pinned", 37.0)


def test_between_two_readings_nothing_is_asked_of_the_store(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.answer()

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the store was asked")

    for name in ("get", "get_if_changed", "exists", "list"):
        monkeypatch.setattr(type(world.store), name, refuse)
    world.answer()
    world.clock.now += 9.9
    world.answer()


def test_the_champion_serves_on_when_the_store_is_gone(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer()

    def gone(*_: object, **__: object) -> None:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(type(world.store), "get_if_changed", gone)
    world.clock.now += 11.0
    assert world.answer()[0] == 1
    assert "keeps release" in capsys.readouterr().err


def test_a_champion_that_cannot_be_loaded_leaves_the_old_one_serving(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer()
    world.registry.promote("lin", 2, **WHO)
    genuine = OnnxModel.receive
    monkeypatch.setattr(OnnxModel, "receive", lambda *_, **how: OnnxModel.open(b"rotten", threads=1))
    world.clock.now += 10.0
    assert world.answer()[0] == 1
    assert "cannot load" in capsys.readouterr().err
    monkeypatch.setattr(OnnxModel, "receive", genuine)
    world.clock.now += 10.0
    assert world.answer()[0] == 2


def test_one_key_stays_on_one_side(world: World) -> None:
    world.registry.canary("lin", 2, weight=0.3, **WHO)
    sides = {key: world.answer(routing_key=key)[0] for key in map(str, range(200))}
    assert set(sides.values()) == {1, 2}
    for _ in range(3):
        assert {key: world.answer(routing_key=key)[0] for key in sides} == sides


def release(weight: float) -> Release:
    return Release(
        model="lin",
        revision=1,
        champion=1,
        challenger=2,
        weight=weight,
        shadow=None,
        previous=None,
        latest=2,
        head=None,  # type: ignore[arg-type]  # routing reads no audit
    )


@pytest.mark.parametrize("weight", [0.01, 0.05, 0.5, 0.95])
@pytest.mark.parametrize("keyed", [True, False])
def test_the_weight_is_the_challengers_share(weight: float, keyed: bool) -> None:
    requests = 20_000
    chosen = [choose(release(weight), f"user-{n}" if keyed else None)[0] for n in range(requests)]
    deviation = math.sqrt(requests * weight * (1 - weight))
    assert abs(chosen.count(2) - requests * weight) < 5 * deviation


def test_raising_the_weight_moves_nobody_back() -> None:
    keys = [f"user-{n}" for n in range(2_000)]
    before = {key for key in keys if choose(release(0.1), key)[1] == "challenger"}
    after = {key for key in keys if choose(release(0.4), key)[1] == "challenger"}
    assert before < after


def test_two_canaries_try_themselves_on_different_people() -> None:
    keys = [f"user-{n}" for n in range(2_000)]
    first = {key for key in keys if choose(release(0.1), key)[1] == "challenger"}
    other = Release(**{**{f: getattr(release(0.1), f) for f in Release.__dataclass_fields__}, "challenger": 3})
    second = {key for key in keys if choose(other, key)[1] == "challenger"}
    assert len(first & second) < len(first) / 2


def test_the_shadow_is_captured_and_never_answers(world: World) -> None:
    world.registry.shadow("lin", 3, **WHO)
    assert world.answer() == (1, "champion", 10.0)
    champion, shadow = world.captures()
    assert (champion["version"], champion["role"]) == (1, "champion")
    assert (shadow["version"], shadow["role"]) == (3, "shadow")
    assert shadow["id"] == champion["id"]
    assert shadow["outputs"]["y"][0][0] == 28.0


def test_a_failing_shadow_does_not_touch_the_answer(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.registry.shadow("lin", 3, **WHO)
    served = world.predictor.resolve("lin")
    assert served.shadow is not None

    def fail(*_: object) -> None:
        raise InvalidInput("no")

    monkeypatch.setattr(served.shadow.model, "run", fail)
    assert world.predictor.run(served, ROW).version == 1
    assert world.captures()[-1]["error"] == "no"
    assert "shadow" in capsys.readouterr().err


def test_a_shadow_that_cannot_be_loaded_is_tried_again_only_after_a_while(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer()
    world.registry.shadow("lin", 3, **WHO)
    genuine = OnnxModel.receive
    monkeypatch.setattr(OnnxModel, "receive", lambda *_, **how: OnnxModel.open(b"rotten", threads=1))
    world.clock.now += 10.0
    for _ in range(5):
        assert world.answer()[0] == 1
    assert capsys.readouterr().err.count("shadow of model 'lin' cannot be loaded") == 1
    monkeypatch.setattr(OnnxModel, "receive", genuine)
    world.clock.now += 10.0
    assert world.answer()[0] == 1
    assert [record["role"] for record in world.captures()][-2:] == ["champion", "shadow"]


def test_a_shadow_of_other_inputs_does_not_touch_the_answer(
    world: World, two_in_two_out: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    signature = OnnxModel.open(two_in_two_out, threads=1).signature
    spec = ModelSpec("lin", "regression", "", signature.inputs, signature.outputs)
    facts: Any = {"metrics": {}, "lineage": {}, "compression": {}, **WHO}
    other = world.registry.push(spec, two_in_two_out, signature=signature, **facts)
    world.registry.shadow("lin", other.version, **WHO)
    assert world.answer()[0] == 1
    assert "the shadow of model 'lin' failed: input 'x' is unknown" in capsys.readouterr().err


@pytest.mark.parametrize(("took", "left"), [(0.1, 1.0), (20_000.0, 1.0), (27_500.0, 0.5), (40_000.0, 0.0)])
def test_a_shadow_that_an_answer_waits_for_gets_a_second_of_what_is_left(
    world: World, took: float, left: float
) -> None:
    assert world.predictor._shadow_seconds(took) == left


def test_a_shadow_that_nobody_waits_for_has_its_own_time(linear: Callable[..., bytes]) -> None:
    world = World(linear, spawn_shadow=lambda task: task())
    assert world.predictor._shadow_seconds(0.1) is None


def test_feeds_must_be_the_models_inputs(world: World) -> None:
    served = world.predictor.resolve("lin")
    with pytest.raises(InvalidInput, match="missing input: x"):
        world.predictor.run(served, {})
    with pytest.raises(InvalidInput, match="'z' is unknown; the model takes x"):
        world.predictor.run(served, {**ROW, "z": ROW["x"]})
    with pytest.raises(InvalidInput, match="does not fit"):
        world.predictor.run(served, {"x": np.ones((1, 2), np.float32)})


def test_inputs_are_of_the_same_rows_where_their_leading_axis_is_free() -> None:
    inputs = {name: TensorSpec(name, "FP32", shape) for name, shape in SHAPES.items()}
    feeds = {"fixed": np.ones((1, 2)), "x": np.ones((3, 2)), "y": np.ones(3), "none": np.ones(())}
    check_feeds(inputs, feeds)
    with pytest.raises(InvalidInput, match="input 'x' has 3 rows and input 'y' has 2"):
        check_feeds(inputs, {**feeds, "y": np.ones(2)})


def test_the_capture_says_what_was_answered(world: World) -> None:
    served = world.predictor.resolve("lin")
    prediction = world.predictor.run(served, ROW)
    (record,) = world.captures()
    assert record["id"] == prediction.id
    assert record["inputs"]["x"] == [[1.0, 1.0, 1.0]]
    assert record["outputs"]["y"] == prediction.outputs["y"].tolist()
    assert record["ms"] == pytest.approx(prediction.milliseconds, abs=1e-4)


def test_decisions_are_made_of_the_outputs_and_captured_beside_them(world: World) -> None:
    seen: list[Any] = []

    def decide(outputs: Any) -> list[dict[str, Any]]:
        seen.append(outputs["y"][0, 0].item())
        return [{"row": 0, "decision": "review"}]

    world.registry.shadow("lin", 2, **WHO)
    world.clock.now += 11
    world.predictor.run(world.predictor.resolve("lin"), ROW, decide=decide)
    answered, beside = world.captures()
    assert seen == [answered["outputs"]["y"][0][0]]
    assert answered["decisions"] == [{"row": 0, "decision": "review"}]
    assert (beside["role"], beside.get("decisions")) == ("shadow", None)


def test_a_decision_that_cannot_be_made_is_captured_as_an_error(world: World) -> None:
    def decide(_: Any) -> list[dict[str, Any]]:
        raise ModelFailed("no number")

    with pytest.raises(ModelFailed):
        world.predictor.run(world.predictor.resolve("lin"), ROW, decide=decide)
    (captured,) = world.captures()
    assert captured["error"] == "no number"


def test_sessions_are_bounded_and_the_oldest_goes(linear: Callable[..., bytes]) -> None:
    world = World(linear, cache_bytes=5 * len(linear()))
    for factor in (1.0, 2.0, 3.0):
        world.push(factor)
    world.registry.promote("lin", 1, **WHO)
    for version in (1, 2, 1, 3):
        assert world.answer(version=version)[0] == version
    assert world.predictor.loaded_versions() == [("lin", 1), ("lin", 3)]
    assert world.answer(version=2)[0] == 2


def test_a_model_over_the_budget_is_served_all_the_same(linear: Callable[..., bytes]) -> None:
    world = World(linear, cache_bytes=1)
    world.push(1.0)
    world.registry.promote("lin", 1, **WHO)
    assert world.answer()[0] == 1


def test_a_version_is_loaded_once_however_many_ask_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []
    genuine = Registry.fetch

    def counted(registry: Registry, model: str, version: int, **how: Any) -> Any:
        loads.append(version)
        return genuine(registry, model, version, **how)

    monkeypatch.setattr(Registry, "fetch", counted)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: world.answer(version=2)[0], range(64)))
    assert set(answers) == {2}
    assert sorted(loads) == [1, 2]


def test_no_request_fails_while_releases_move(world: World) -> None:
    world.predictor._releases._seconds = 0.0
    stop = threading.Event()
    moved = []

    def move() -> None:
        while not stop.is_set():
            for version in (2, 3, 1):
                world.registry.promote("lin", version, **WHO)
                moved.append(version)

    mover = threading.Thread(target=move)
    mover.start()
    try:
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(lambda _: world.answer(), range(1000)))
    finally:
        stop.set()
        mover.join()
    assert len(moved) > 2
    assert {version for version, _, _ in answers} <= {1, 2, 3}
    assert all(value == 9.0 * version + 1.0 for version, _, value in answers)


def test_preload_runs_every_champion_and_survives_a_bad_one(
    world: World, linear: Callable[..., bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    world.push(1.0, "unreleased")
    assert world.predictor.preload() == ["lin"]
    assert world.predictor.loaded_versions() == [("lin", 1)]
    assert "unreleased" in capsys.readouterr().err


@pytest.mark.parametrize("written", [b"", b"garbage", b"{}", b"[]"])
def test_a_release_of_which_nothing_can_be_made_takes_no_other_model_along(
    world: World, written: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    world.store.put("models/broken/release.json", written)
    world.push(1.0, "broken-too")
    world.store.put("models/broken-too/versions/1/manifest.json", written)
    assert world.predictor.preload() == ["lin"]
    assert "cannot preload model 'broken': models/broken/release.json is no release: " in capsys.readouterr().err


def test_a_release_of_which_nothing_can_be_made_leaves_the_one_at_hand(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.answer()
    world.store.put("models/lin/release.json", b"{}")
    world.clock.now += 11.0
    assert world.answer()[0] == 1
    assert "model 'lin' keeps release" in capsys.readouterr().err
    assert [failures for _, failures in world.predictor.releases()] == [1]


def test_who_asks_for_a_model_that_is_slow_to_come_delays_nobody_else(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    began, go_on = threading.Event(), threading.Event()
    read = world.registry.release_if_changed

    def slowly(model: str, etag: str | None) -> Any:
        if model == "none":
            began.set()
            assert go_on.wait(120)
        return read(model, etag)

    monkeypatch.setattr(world.registry, "release_if_changed", slowly)
    with ThreadPoolExecutor(2) as pool:
        stranger = pool.submit(world.predictor.resolve, "none")
        assert began.wait(60)
        try:
            assert pool.submit(world.answer).result(timeout=60)[0] == 1
        finally:
            go_on.set()
        with pytest.raises(NotFound):
            stranger.result(timeout=60)


def test_after_a_restore_the_release_is_read_again(world: World) -> None:
    world.answer()
    world.registry.promote("lin", 2, **WHO)
    world.predictor.reconnect()
    assert world.answer()[0] == 2
