import gzip
import json
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import orjson
import pytest

from lastmile.capture import Capture, Recording, read_line
from lastmile.errors import StoreUnavailable
from lastmile.keeping import Keeper, Line
from lastmile.profile import FeatureLayout, Layout, Profile, reference
from lastmile.profiles import HOUR, ProfileStore
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import Array, Signature, TensorSpec
from lastmile.ulid import new_ulid

NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
FOLDER = "captures/model=fraud/dt=2027-01-15/hour=12"
X = TensorSpec("x", "FP32", (-1, 2), ("age", "income"))
NAME = TensorSpec("name", "BYTES", (-1,))
CUSTOMER = TensorSpec("customer", "INT64", (-1,), pii="hash")
Y = TensorSpec("label", "INT64", (-1,))
SIGNATURE = Signature((X, NAME, CUSTOMER), (Y,))

type Lines = list[Line]


class World:
    """A model with a version that has a reference and one that has none, and a place for captures."""

    def __init__(self) -> None:
        store = Store.open("memory://", environ={})
        store.put("models/broken/release.json", b"{")
        self.registry = Registry(store)
        self.data = Store.open("memory://", environ={})
        known = {"x": np.random.default_rng(0).normal(size=(500, 2)), "name": texts(*"ab" * 250)}
        self.reference = reference(SIGNATURE, "classification", known, {"label": np.arange(500) % 2})
        for files in ({"profile.json": orjson.dumps(self.reference.to_document())}, None):
            self.registry.push(
                ModelSpec("fraud", "classification", "Is it?", SIGNATURE.inputs, SIGNATURE.outputs),
                b"the file",
                signature=SIGNATURE,
                actor="ann",
                why="because",
                metrics={},
                lineage={"with": bool(files)},
                compression={"with": bool(files)},
                files=files,
            )

    def keep(self, lines: Lines, stream: str = "group:stream", data: Store | None = None) -> tuple[int, int, int]:
        kept = Keeper(self.registry, data or self.data).keep(stream, lines)
        return len(kept.records), kept.refused, kept.others

    def captures(self, prefix: str = "captures") -> list[bytes]:
        return [
            line
            for path in sorted(self.data.list(prefix))
            for line in gzip.decompress(self.data.get(path).data).splitlines()
        ]

    def quarantined(self) -> list[dict[str, Any]]:
        paths = sorted(self.data.list("quarantine/captures"))
        return [orjson.loads(line) for path in paths for line in self.data.get(path).data.splitlines()]

    def requests(self, version: int = 1) -> int:
        found = ProfileStore(self.data).read("fraud", version, NOON - 24 * HOUR, NOON + 24 * HOUR)
        return found.requests if found else 0

    def everything(self) -> dict[str, bytes]:
        paths = [path for prefix in ("captures", "profiles", "quarantine") for path in self.data.list(prefix)]
        return {path: self.data.get(path).data for path in paths}


@pytest.fixture
def world() -> World:
    return World()


def texts(*values: str) -> Array:
    return np.array(values, dtype=object)


def captured(at: float = NOON, *, version: int = 1, role: str = "champion", rows: int = 1, **facts: Any) -> str:
    """The line that the inference function writes."""
    lines: list[bytes] = []
    inputs = {"x": np.ones((rows, 2), np.float32), "name": texts(*["a"] * rows), "customer": np.arange(rows)}
    Capture(lines.append)(
        **{
            "prediction_id": new_ulid(at),
            "at": at,
            "role": role,
            "milliseconds": 1.5,
            "recording": RECORDINGS[version],
            "inputs": inputs,
            "outputs": {"label": np.zeros(rows, np.int64)},
            **facts,
        }
    )
    return lines[0].decode()


RECORDINGS = {version: Recording.of(World().registry.manifest("fraud", version), key=b"k" * 32) for version in (1, 2)}


def events(*messages: str, at: float = NOON) -> Lines:
    return [Line(f"event{number}", at + number, message) for number, message in enumerate(messages)]


def test_lines_lie_by_model_and_hour_and_are_counted_by_version(world: World) -> None:
    lines = events(
        captured(NOON), captured(NOON + 3599.999, version=2), captured(NOON + HOUR), captured(NOON, rows=40), at=NOON
    )
    assert world.keep(lines) == (4, 0, 0)
    (first, second) = sorted(world.data.list("captures"))
    assert first.startswith(f"{FOLDER}/")
    assert second.startswith("captures/model=fraud/dt=2027-01-15/hour=13/")
    stored = gzip.decompress(world.data.get(first).data)
    assert stored == "".join(line.text for line in (lines[0], lines[1], lines[3])).encode()
    assert [read_line(line).rows for line in stored.splitlines()] == [1, 1, 40]
    assert (world.requests(1), world.requests(2)) == (3, 1)
    counted = ProfileStore(world.data).read("fraud", 1, NOON, NOON + HOUR)
    assert counted is not None
    assert counted.layout.digest == world.reference.layout.digest
    assert (counted.requests, counted.rows) == (2, 41)
    default = ProfileStore(world.data).read("fraud", 2, NOON, NOON + HOUR)
    assert default is not None
    assert default.layout.digest == Layout.default(SIGNATURE, "classification").digest


@pytest.mark.parametrize(
    "wrap",
    [
        lambda line: line.rstrip("\n"),
        lambda line: json.dumps({"timestamp": "2027-01-15T12:00:00Z", "level": "INFO", "message": line}),
        lambda line: json.dumps({"time": "2027-01-15T12:00:00Z", "message": json.loads(line)}),
        lambda line: json.dumps(json.loads(line), indent=1),
    ],
    ids=["plain", "wrapped text", "wrapped object", "other JSON"],
)
def test_a_line_is_known_again_however_its_log_writes_it(world: World, wrap: Callable[[str], str]) -> None:
    line = captured()
    assert world.keep(events(wrap(line))) == (1, 0, 0)
    (stored,) = world.captures()
    assert orjson.loads(stored) == orjson.loads(line)


@pytest.mark.parametrize(
    "message",
    [
        "START RequestId: 1",
        '{"level":"ERROR","message":"lastmile.capture failed"}',
        "Traceback: lastmile.capture.writing",
        '{"marker":"other.capture"}',
        '["lastmile.capture"]',
        '{"message":{"marker":7},"x":"lastmile.capture"}',
        "",
    ],
)
def test_other_lines_of_the_log_are_passed_over(world: World, message: str) -> None:
    assert world.keep(events(message, captured())) == (1, 0, 1)
    assert world.quarantined() == []


@pytest.mark.parametrize(
    ("poison", "reason"),
    [
        (lambda line: line[:200], "no JSON"),
        (lambda line: line.replace('"version":1', '"version":9'), "no version 9"),
        (lambda line: line.replace('"fraud"', '"unheard-of"'), "'unheard-of' does not exist"),
        (lambda line: line.replace('"fraud"', '"broken"'), "models/broken/release.json is no release"),
        (lambda line: line.replace('"version":1', '"version":-1'), "'version'"),
        (lambda line: line.replace(f'"at":{NOON}', '"at":1.0'), "more than a day"),
        (lambda line: line.replace('"label"', '"mark"'), "'outputs.mark' is none of the version's: label"),
        (lambda line: line.replace('"x":[[1.0,1.0]]', '"x":[[1.0]]'), r"'inputs.x' has shape \[1, 1\]"),
        (lambda line: line.replace('"x":[[1.0,1.0]]', '"x":[["1","1"]]'), "'inputs.x' must hold numbers"),
        (lambda line: line.replace('"name":["a"]', '"name":[1]'), "'inputs.name' must hold texts"),
        (lambda line: json.dumps({"message": line[:200]}), "no JSON"),
    ],
)
def test_a_poisoned_line_is_put_aside_with_its_reason_and_the_others_go_on(
    world: World, poison: Callable[[str], str], reason: str
) -> None:
    good, bad = captured(), poison(captured())
    assert world.keep(events(good, bad, captured())) == (2, 1, 0)
    (entry,) = world.quarantined()
    assert re.search(reason, entry["reason"])
    assert (entry["line"], entry["event"], entry["stream"]) == (bad, "event1", "group:stream")
    assert [path.split("/")[2] for path in world.data.list("quarantine/captures")] == ["dt=2027-01-15"]
    assert world.requests() == 2


def test_a_delivery_that_comes_again_writes_the_same_objects(world: World) -> None:
    lines = events(captured(), captured(version=2), captured(NOON + HOUR), captured()[:100])
    world.keep(lines)
    before = world.everything()
    for _ in range(2):
        world.keep(lines)
    assert world.everything() == before
    assert len(world.captures()) == 3


def test_whoever_is_killed_anywhere_and_begins_again_writes_the_same_objects(
    world: World, watched: type[Any], killed: type[Exception]
) -> None:
    lines = events(captured(), captured(version=2), captured(NOON + HOUR), captured()[:100])
    calls = watched(world.data)
    world.keep(lines, data=calls)
    wanted = world.everything()
    for kill_at in range(1, len(calls.calls) + 1):
        for after in (False, True):
            world.data = Store.open("memory://", environ={})
            broken = watched(world.data)
            broken.kill_at, broken.kill_after_effect = kill_at, after
            with suppress(killed):
                world.keep(lines, data=broken)
            # Whatever is there is whole, and no profile counts what is not captured.
            assert wanted.items() >= world.everything().items()
            assert world.requests(1) + world.requests(2) <= len(world.captures())
            world.keep(lines)
            assert world.everything() == wanted


def test_the_same_prediction_in_one_delivery_is_kept_once(world: World) -> None:
    line = captured()
    assert world.keep(events(line, line)) == (1, 0, 0)
    assert (len(world.captures()), world.requests()) == (1, 1)


def test_deliveries_cut_differently_are_counted_once(world: World) -> None:
    lines = [Line(f"{number:03}", NOON + number, captured(NOON + number)) for number in range(60)]
    for cut in (60, 25, 7):
        for start in range(0, 60, cut):
            world.keep(lines[start : start + cut])
    assert world.requests() == 60
    assert len({read_line(line).id for line in world.captures()}) == 60


def test_a_shadow_is_kept_beside_the_answer(world: World) -> None:
    answer = captured()
    beside = captured(version=2, role="shadow", prediction_id=json.loads(answer)["id"])
    assert world.keep(events(answer, beside)) == (2, 0, 0)
    assert (world.requests(1), world.requests(2)) == (1, 1)


def test_lines_without_values_are_counted(world: World) -> None:
    recording = RECORDINGS[1]._replace(rate=0.0)
    assert world.keep(events(captured(recording=recording), captured(error="it failed", outputs={}))) == (2, 0, 0)
    counted = ProfileStore(world.data).read("fraud", 1, NOON, NOON + HOUR)
    assert counted is not None
    assert (counted.requests, counted.errors, counted.rows) == (2, 1, 1)


def test_a_store_that_does_not_answer_is_said_so_that_all_is_tried_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unavailable(*_: Any) -> Any:
        raise StoreUnavailable("no answer")

    monkeypatch.setattr(Registry, "manifest", unavailable)
    with pytest.raises(StoreUnavailable):
        world.keep(events(captured()))
    assert world.everything() == {}


def test_what_is_needed_of_a_version_is_read_once(world: World, watched: type[Any]) -> None:
    store = watched(world.registry._store)
    keeper = Keeper(Registry(store), world.data)
    for number in range(5):
        keeper.keep("stream", [Line(f"{number}", NOON, captured())])
    assert [path for method, path in store.calls if method == "get"] == [
        "models/fraud/release.json",
        "models/fraud/versions/1/manifest.json",
    ]


@pytest.mark.parametrize(
    "layout",
    [
        Layout({"name": FeatureLayout("numeric", "name", edges=(1.0,))}),
        Layout({"age": FeatureLayout("numeric", "x", 9, edges=(1.0,))}),
        Layout({"age": FeatureLayout("numeric", "x", 0, edges=("a",))}),  # type: ignore[arg-type]
        None,
    ],
)
def test_a_reference_of_another_signature_holds_up_no_delivery(world: World, layout: Layout | None) -> None:
    file = orjson.dumps(None if layout is None else Profile.empty(layout).to_document())
    world.registry.push(
        ModelSpec("fraud", "classification", "Is it?", SIGNATURE.inputs, SIGNATURE.outputs),
        b"another file",
        signature=SIGNATURE,
        actor="ann",
        why="because",
        metrics={},
        lineage={},
        compression={},
        files={"profile.json": file},
    )
    line = captured().replace('"version":1', '"version":3')
    assert world.keep(events(line, captured())) == (2, 0, 0)
    assert world.requests(version=3) == world.requests(version=1) == 1


def test_a_version_whose_reference_is_damaged_gets_the_default_bins(world: World) -> None:
    world.registry._store.put("models/fraud/versions/1/profile.json", b"{}")
    world.keep(events(captured()))
    counted = ProfileStore(world.data).read("fraud", 1, NOON, NOON + HOUR)
    assert counted is not None
    assert counted.layout.digest == Layout.default(SIGNATURE, "classification").digest
