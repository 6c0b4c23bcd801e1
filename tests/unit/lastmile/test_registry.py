import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from lastmile.errors import (
    Damaged,
    InvalidArtefact,
    InvalidInput,
    InvalidSpec,
    ModelNotFound,
    NotFound,
    ReleaseConflict,
    VersionNotFound,
    VersionRejected,
)
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import PIECE, Store
from lastmile.tensors import Signature, TensorSpec

X = TensorSpec("x", "FP32", (-1, 2), ("age", "income"))
Y = TensorSpec("y", "FP32", (-1,))
SPEC = ModelSpec("fraud", "classification", "Is it a fraud?", (X,), (Y,))
GRAPH = Signature((X,), (Y,))
FACTS: dict[str, Any] = {"metrics": {}, "lineage": {}, "compression": {}}
BY: dict[str, Any] = {"actor": "ann", "why": "because"}

ODD_NAMES = ["", ".", "..", "../fraud", "fraud/../fraud", "fraud/", "/fraud", "Fraud", "fraud\n", "fraud%2f", "a" * 64]

type Push = Callable[..., Any]
type Watch = Callable[[Store], Any]


@pytest.fixture
def memory() -> Store:
    return Store.open("memory://", environ={})


def test_what_is_pushed_comes_back(registry: Registry, push: Push) -> None:
    pushed = push(registry, b"the file", metrics={"auc": np.float64(0.5), "confusion": [[1, 2], [3, 4]]})
    assert pushed.version == 1
    assert registry.manifest("fraud", 1) == pushed
    assert pushed.metrics == {"auc": 0.5, "confusion": [[1, 2], [3, 4]]}
    assert pushed.signature == GRAPH
    assert registry.artefact(pushed) == b"the file"
    assert registry.spec("fraud") == SPEC
    assert registry.models() == ["fraud"]


def test_other_files_of_a_version_come_back(registry: Registry, push: Push) -> None:
    pushed = push(registry, files={"profile.json": b"{}", "card.html": b"<html>"})
    assert [file.path for file in registry.manifest("fraud", 1).files] == ["card.html", "profile.json"]
    assert registry.file(pushed, "card.html") == b"<html>"
    with pytest.raises(NotFound, match=r"version 1 of model 'fraud' has no file card\.md"):
        registry.file(pushed, "card.md")


@pytest.mark.parametrize(
    "name", ["", "a/b.json", "../a.json", "model.onnx", "manifest.json", "rejected.json", "Card.md"]
)
def test_another_file_cannot_have_every_name(registry: Registry, push: Push, name: str) -> None:
    with pytest.raises(InvalidArtefact, match="no name for another file"):
        push(registry, files={name: b"1"})
    assert registry.models() == []


def test_a_version_with_other_files_is_another_version(registry: Registry, push: Push) -> None:
    first, second = (push(registry, files={"profile.json": content}) for content in (b"1", b"2"))
    assert (first.version, second.version) == (1, 2)
    assert registry.file(first, "profile.json") == b"1"


def test_a_version_may_have_no_file_that_a_serving_process_could_load(registry: Registry, push: Push) -> None:
    pushed = push(registry, b"packed", artefact="model.tar.gz")
    assert pushed.artefact.path == "model.tar.gz"
    assert registry.artefact(registry.manifest("fraud", 1)) == b"packed"
    for artefact, files in (("manifest.json", {}), ("../a.gz", {}), ("model.tar.gz", {"model.tar.gz": b"2"})):
        with pytest.raises(InvalidArtefact, match="no name for another file"):
            push(registry, b"packed", artefact=artefact, files=files)


def test_what_only_an_endpoint_loads_may_be_larger(memory: Store) -> None:
    registry = Registry(memory, limit_bytes=4, heavy_limit_bytes=6)
    registry.push(SPEC, b"1234", signature=GRAPH, files={"model.tar.gz": b"123456"}, **BY, **FACTS)
    registry.push(SPEC, b"123456", signature=GRAPH, artefact="model.tar.gz", **BY, **FACTS)
    with pytest.raises(InvalidArtefact, match="the model has 7 bytes, at most 6 are possible"):
        registry.push(SPEC, b"1234567", signature=GRAPH, artefact="model.tar.gz", **BY, **FACTS)
    with pytest.raises(InvalidArtefact, match="model.tar.gz has 7 bytes, at most 6 are possible"):
        registry.push(SPEC, b"1234", signature=GRAPH, files={"model.tar.gz": b"1234567"}, **BY, **FACTS)


def test_the_policy_of_the_spec_moves_with_the_version(registry: Registry, push: Push) -> None:
    policy = {"task": "classification", "capture": {"rate": 1.0}, "decision": None, "heavy": None}
    assert push(registry).policy == policy


def test_a_model_that_hashes_gets_a_key_of_its_own_once(registry: Registry, store: Store) -> None:
    def push(name: str, pii: Any) -> None:
        inputs = (TensorSpec("customer", "INT64", (-1,), pii=pii),)
        spec = ModelSpec(name, "classification", "Is it a fraud?", inputs, (Y,))
        registry.push(spec, b"the file", signature=Signature(inputs, (Y,)), **FACTS, **BY)

    push("plain", "drop")
    assert registry.hashing_key("plain") is None
    for name in ("fraud", "churn", "fraud"):
        push(name, "hash")
    key = registry.hashing_key("fraud")
    assert key is not None
    assert len(key) == 32
    assert registry.hashing_key("churn") not in (key, None)
    push("fraud", "hash")
    assert registry.hashing_key("fraud") == key
    assert sorted(store.list("keys")) == ["keys/churn.key", "keys/fraud.key"]
    for no_key in (b"", key[:-1], key * 3):
        store.put("keys/fraud.key", no_key)
        assert registry.hashing_key("fraud") is None


def test_a_big_file_comes_back(registry: Registry, push: Push) -> None:
    data = bytes(range(256)) * (11 << 12)  # read in pieces
    assert registry.artefact(push(registry, data)) == data


def test_the_layout_is_the_documented_one(memory: Store, push: Push) -> None:
    registry = Registry(memory)
    push(registry)
    registry.promote("fraud", 1, **BY)
    push(registry, b"another")
    registry.reject("fraud", 2, **BY)
    assert sorted(memory.list("models")) == [
        "models/fraud/release.json",
        "models/fraud/spec.json",
        "models/fraud/versions/1/claim.json",
        "models/fraud/versions/1/manifest.json",
        "models/fraud/versions/1/model.onnx",
        "models/fraud/versions/2/claim.json",
        "models/fraud/versions/2/manifest.json",
        "models/fraud/versions/2/model.onnx",
        "models/fraud/versions/2/rejected.json",
    ]
    assert sorted(memory.list("audit")) == sorted(entry.key for entry in registry.audit("fraud"))
    release = orjson.loads(memory.get("models/fraud/release.json").data)
    assert (release["champion"], release["revision"], release["latest"]) == (1, 2, 2)
    assert release["head"]["action"] == "reject"


def test_versions_are_numbered_and_listed_newest_first(registry: Registry, push: Push) -> None:
    for number in range(5):
        assert push(registry, b"%d" % number).version == number + 1
    numbers = [manifest.version for manifest in registry.versions("fraud")]
    assert numbers == [5, 4, 3, 2, 1]
    assert [manifest.version for manifest in registry.versions("fraud", limit=2)] == [5, 4]
    assert [manifest.version for manifest in registry.versions("fraud", before=4, limit=2)] == [3, 2]
    assert registry.versions("fraud", before=1) == []
    assert registry.versions("fraud", before=-3) == []


def test_the_same_file_may_be_pushed_twice_on_purpose(registry: Registry, push: Push) -> None:
    assert [push(registry).version, push(registry).version] == [1, 2]


def test_a_new_spec_takes_the_place_of_the_old_one(registry: Registry, push: Push) -> None:
    push(registry)
    newer = replace(SPEC, description="Is it still a fraud?")
    registry.push(newer, b"2", signature=GRAPH, **BY, **FACTS)
    assert registry.spec("fraud") == newer


@pytest.mark.parametrize("more", [{"explain": {}}, {"drift": {"tolerance": 0.1, "season_hours": 24}}])
def test_a_spec_with_what_this_code_does_not_know_says_so(
    registry: Registry, store: Store, push: Push, more: dict[str, Any]
) -> None:
    push(registry)
    store.put("models/fraud/spec.json", orjson.dumps(orjson.loads(store.get("models/fraud/spec.json").data) | more))
    with pytest.raises(InvalidSpec, match="another version of Lastmile than this one: .*unexpected keyword argument"):
        registry.spec("fraud")


@pytest.mark.parametrize(
    ("spec", "data", "graph", "error", "message"),
    [
        (replace(SPEC, name="../fraud"), b"1", GRAPH, InvalidSpec, "no name of a model"),
        (replace(SPEC, name="fraud/x"), b"1", GRAPH, InvalidSpec, "no name of a model"),
        (SPEC, b"", GRAPH, InvalidArtefact, "0 bytes"),
        (SPEC, b"12345678901", GRAPH, InvalidArtefact, "has 11 bytes, at most 10 are possible"),
        (SPEC, b"1", Signature((replace(X, name="z"),), (Y,)), InvalidArtefact, "inputs are z; the spec says x"),
        (SPEC, b"1", Signature((X,), (replace(Y, datatype="INT64"),)), InvalidArtefact, "INT64 in the model"),
        (SPEC, b"1", Signature((replace(X, shape=(-1, 3)),), (Y,)), InvalidArtefact, r"\[-1, 3\] in the model"),
    ],
)
def test_a_refused_push_leaves_nothing_behind(
    memory: Store, spec: ModelSpec, data: bytes, graph: Signature, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        Registry(memory, limit_bytes=10).push(spec, data, signature=graph, **BY, **FACTS)
    assert list(memory.list("models")) == list(memory.list("audit")) == []


@pytest.mark.parametrize(
    "wrong",
    [{"actor": ""}, {"why": " "}, {"metrics": {"a": {1, 2}}}, {"lineage": {"a": object()}}, {"compression": {1: 2}}],
)
def test_a_push_without_a_reason_or_with_facts_that_are_no_json_leaves_nothing_behind(
    memory: Store, wrong: dict[str, Any]
) -> None:
    with pytest.raises(InvalidInput):
        Registry(memory).push(SPEC, b"1", signature=GRAPH, **(BY | FACTS | wrong))
    assert list(memory.list("models")) == list(memory.list("audit")) == []


@pytest.mark.parametrize("after_effect", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("earlier", [0, 2], ids=["first", "third"])
def test_a_push_killed_at_any_call_can_be_repeated_and_shows_no_half_version(
    push: Push, watched: Watch, killed: type[Exception], earlier: int, after_effect: bool
) -> None:
    def fresh() -> Store:
        store = Store.open("memory://", environ={})
        for number in range(earlier):
            push(Registry(store), b"%d" % number)
        return store

    counting = watched(fresh())
    push(Registry(counting), b"new")
    for number in range(1, len(counting.calls) + 1):
        store = fresh()
        dying = watched(store)
        dying.kill_at, dying.kill_after_effect = number, after_effect
        with pytest.raises(killed):
            push(Registry(dying), b"new")
        registry = Registry(store)
        visible = whole_versions(registry)
        assert visible in (list(range(earlier, 0, -1)), list(range(earlier + 1, 0, -1))), dying.calls[-1]
        manifest = push(registry, b"new")
        assert registry.artefact(manifest) == b"new"
        expected = len(visible) + 1
        assert whole_versions(registry) == list(range(expected, 0, -1)), dying.calls[-1]
        assert manifest.version == expected
        assert registry.verify_audit("fraud") == []


def whole_versions(registry: Registry) -> list[int]:
    """The visible versions, each of which must be complete."""
    try:
        manifests = registry.versions("fraud")
    except ModelNotFound:
        assert registry.models() == []
        return []
    for manifest in manifests:
        assert registry.artefact(manifest)
        assert registry.spec("fraud") == SPEC
    return [manifest.version for manifest in manifests]


def test_a_half_push_of_another_file_is_stepped_over_and_never_seen(
    memory: Store, push: Push, watched: Watch, killed: type[Exception]
) -> None:
    push(Registry(memory), b"1")
    dying = watched(memory)

    def kill(method: str, path: str) -> None:
        if path.endswith("manifest.json"):
            raise killed

    dying.before = kill
    with pytest.raises(killed):
        push(Registry(dying), b"never finished")
    registry = Registry(memory)
    assert push(registry, b"3").version == 3
    assert push(registry, b"4").version == 4
    assert [manifest.version for manifest in registry.versions("fraud")] == [4, 3, 1]
    for use in (
        lambda: registry.manifest("fraud", 2),
        lambda: registry.promote("fraud", 2, **BY),
        lambda: registry.reject("fraud", 2, **BY),
        lambda: registry.rejection("fraud", 2),
    ):
        with pytest.raises(VersionNotFound, match="has no version 2"):
            use()


def test_a_slow_push_that_was_stepped_over_still_arrives(memory: Store, push: Push, watched: Watch) -> None:
    fast = Registry(memory)
    slow_store = watched(memory)
    between: list[bytes] = [b"fast"]

    def interrupt(method: str, path: str) -> None:
        if path.endswith("manifest.json") and between:
            assert push(fast, between.pop()).version == 2
            assert [manifest.version for manifest in fast.versions("fraud")] == [2]

    slow_store.before = interrupt
    assert push(Registry(slow_store), b"slow").version == 1
    assert [manifest.version for manifest in fast.versions("fraud")] == [2, 1]
    assert fast.release("fraud").gaps == ()
    assert fast.verify_audit("fraud") == []


def test_a_half_push_with_other_facts_is_stepped_over(
    memory: Store, push: Push, watched: Watch, killed: type[Exception]
) -> None:
    dying = watched(memory)

    def kill(method: str, path: str) -> None:
        if path.endswith("spec.json"):
            raise killed

    dying.before = kill
    with pytest.raises(killed):
        push(Registry(dying), b"1", metrics={"auc": 0.1})
    manifest = push(Registry(memory), b"1", metrics={"auc": 0.9})
    assert (manifest.version, manifest.metrics) == (2, {"auc": 0.9})


def test_pushes_at_once_get_a_number_each(registry: Registry, push: Push) -> None:
    with ThreadPoolExecutor(6) as pool:
        manifests = list(pool.map(lambda number: push(registry, b"%d" % number), range(12)))
    assert sorted(manifest.version for manifest in manifests) == list(range(1, 13))
    assert all(registry.artefact(manifest) == b"%d" % number for number, manifest in enumerate(manifests))
    assert registry.release("fraud").gaps == ()
    assert registry.verify_audit("fraud") == []


def test_the_very_same_push_twice_at_once_is_one_version_or_two_whole_ones(registry: Registry, push: Push) -> None:
    with ThreadPoolExecutor(4) as pool:
        manifests = list(pool.map(lambda _: push(registry, b"same"), range(4)))
    numbers = {manifest.version for manifest in manifests}
    assert sorted(numbers, reverse=True) == whole_versions(registry)
    registered = Counter(entry.version for entry in registry.audit("fraud") if entry.action == "register")
    assert registered == dict.fromkeys(numbers, 1)


def test_promote_canary_and_rollback_move_the_release(registry: Registry, push: Push) -> None:
    for number in range(3):
        push(registry, b"%d" % number)
    assert registry.promote("fraud", 1, **BY).champion == 1
    assert registry.promote("fraud", 2, **BY).previous == 1
    canary = registry.canary("fraud", 3, weight=0.25, **BY)
    assert (canary.challenger, canary.weight) == (3, 0.25)
    stopped = registry.rollback("fraud", **BY)
    assert (stopped.champion, stopped.challenger, stopped.weight) == (2, None, 0.0)
    back = registry.rollback("fraud", **BY)
    assert (back.champion, back.previous, back.revision) == (1, None, 5)
    with pytest.raises(ReleaseConflict, match="no previous champion to go back to"):
        registry.rollback("fraud", **BY)
    assert registry.release("fraud") == back


def test_rollback_restores_the_previous_version(registry: Registry, push: Push) -> None:
    first, second = push(registry, b"1"), push(registry, b"2")
    registry.promote("fraud", first.version, **BY)
    registry.promote("fraud", second.version, **BY)
    assert registry.rollback("fraud", **BY).champion == first.version


def test_an_order_that_changes_nothing_writes_nothing(registry: Registry, push: Push) -> None:
    push(registry)
    release = registry.promote("fraud", 1, **BY)
    assert registry.promote("fraud", 1, **BY) == release
    assert registry.canary("fraud", None, weight=0, **BY) == release
    assert registry.shadow("fraud", None, **BY) == release
    assert registry.release("fraud") == release


def test_a_rejected_version_is_never_released(registry: Registry, push: Push) -> None:
    for number in range(3):
        push(registry, b"%d" % number)
    registry.promote("fraud", 1, **BY)
    registry.canary("fraud", 2, weight=0.5, **BY)
    assert registry.rejection("fraud", 2) is None
    release = registry.reject("fraud", 2, actor="eve", why="unfair to the young")
    assert (release.challenger, release.weight, release.champion) == (None, 0.0, 1)
    rejection = registry.rejection("fraud", 2)
    assert rejection is not None
    assert (rejection["actor"], rejection["why"]) == ("eve", "unfair to the young")
    registry.shadow("fraud", 3, **BY)  # the rejection is not the newest entry any more
    assert registry.rejection("fraud", 2) == rejection
    uses: list[Callable[[], object]] = [
        lambda: registry.promote("fraud", 2, **BY),
        lambda: registry.canary("fraud", 2, weight=0.5, **BY),
        lambda: registry.shadow("fraud", 2, **BY),
        lambda: registry.reject("fraud", 2, **BY),
    ]
    for use in uses:
        with pytest.raises(VersionRejected, match="version 2 of model 'fraud' was rejected by eve: unfair"):
            use()
    assert registry.release("fraud").serving.champion == 1


def test_the_champion_cannot_be_rejected(registry: Registry, push: Push) -> None:
    push(registry)
    registry.promote("fraud", 1, **BY)
    with pytest.raises(ReleaseConflict, match="version 1 is the champion"):
        registry.reject("fraud", 1, **BY)
    assert registry.rejection("fraud", 1) is None


def test_a_rejected_previous_version_is_no_way_back(registry: Registry, push: Push) -> None:
    push(registry, b"1")
    push(registry, b"2")
    registry.promote("fraud", 1, **BY)
    registry.promote("fraud", 2, **BY)
    registry.reject("fraud", 1, **BY)
    with pytest.raises(ReleaseConflict, match="no previous champion"):
        registry.rollback("fraud", **BY)


def test_a_release_is_sent_only_when_it_has_moved(registry: Registry, push: Push) -> None:
    push(registry)
    found = registry.release_if_changed("fraud", None)
    assert found is not None
    assert registry.release_if_changed("fraud", found[1]) is None
    moved = registry.promote("fraud", 1, **BY)
    again = registry.release_if_changed("fraud", found[1])
    assert again is not None
    assert again[0] == moved
    assert registry.release_if_changed("fraud", again[1]) is None


@pytest.mark.parametrize("version", [0, -1, 2, True, "1", 1.0])
def test_what_is_no_version_is_not_found(registry: Registry, push: Push, version: Any) -> None:
    push(registry)
    uses: list[Callable[[], object]] = [
        lambda: registry.manifest("fraud", version),
        lambda: registry.promote("fraud", version, **BY),
        lambda: registry.canary("fraud", version, weight=0.5, **BY),
        lambda: registry.shadow("fraud", version, **BY),
        lambda: registry.reject("fraud", version, **BY),
        lambda: registry.rejection("fraud", version),
    ]
    for use in uses:
        with pytest.raises(VersionNotFound):
            use()


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_with_path_characters_is_a_model_that_does_not_exist(memory: Store, push: Push, name: str) -> None:
    push(Registry(memory))
    memory.create("release.json", b"a trap")
    memory.create("models/release.json", b"a trap")
    registry = Registry(memory)
    uses: list[Callable[[], object]] = [
        lambda: registry.spec(name),
        lambda: registry.release(name),
        lambda: registry.release_if_changed(name, "1"),
        lambda: registry.manifest(name, 1),
        lambda: registry.versions(name),
        lambda: registry.rejection(name, 1),
        lambda: registry.audit(name),
        lambda: registry.verify_audit(name),
        lambda: registry.promote(name, 1, **BY),
        lambda: registry.rollback(name, **BY),
    ]
    for use in uses:
        with pytest.raises(ModelNotFound):
            use()


def test_a_model_whose_first_push_was_cut_short_has_no_spec_yet(
    memory: Store, push: Push, watched: Watch, killed: type[Exception]
) -> None:
    dying = watched(memory)

    def kill(method: str, path: str) -> None:
        if path.endswith("claim.json"):
            raise killed

    dying.before = kill
    with pytest.raises(killed):
        push(Registry(dying))
    registry = Registry(memory)
    assert registry.models() == ["fraud"]
    assert registry.versions("fraud") == []
    with pytest.raises(NotFound, match="has no version yet"):
        registry.spec("fraud")
    with pytest.raises(VersionNotFound):
        registry.promote("fraud", 1, **BY)


@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"x", lambda data: data + b"x", lambda data: data[:-1]])
def test_an_artefact_that_is_not_the_registered_one_is_refused(
    tmp_path: Path, push: Push, change: Callable[[bytes], bytes]
) -> None:
    registry = Registry(Store.open(tmp_path.as_uri(), environ={}))
    manifest = push(registry, b"the file")
    path = tmp_path / "models/fraud/versions/1/model.onnx"
    path.write_bytes(change(path.read_bytes()))
    with pytest.raises(InvalidArtefact, match=r"model.onnx of version 1 of model 'fraud' is not the file"):
        registry.artefact(manifest)
    path.unlink()
    with pytest.raises(Damaged, match=r"model.onnx of version 1 of model 'fraud' is missing"):
        registry.artefact(manifest)


@pytest.mark.parametrize(
    ("path", "change", "said"),
    [
        ("release.json", lambda data: data[:50], "models/fraud/release.json is no release: JSONDecodeError"),
        ("release.json", {"champion": "1"}, "models/fraud/release.json is no release: .*'champion' is '1', which is"),
        ("release.json", {"shadow": 9}, "models/fraud/release.json is no release: .*'shadow' is 9, which is no"),
        ("release.json", {"weight": 1.5}, "models/fraud/release.json is no release: .*'weight' is 1.5, a number"),
        ("release.json", {"latest": "2"}, "models/fraud/release.json is no release: .*'latest' is '2', an integer"),
        ("release.json", {"model": "other"}, "models/fraud/release.json is the release of model 'other'"),
        ("spec.json", lambda data: b"{}", "models/fraud/spec.json is no spec: KeyError"),
        ("spec.json", None, "the spec of model 'fraud' is missing"),
        ("versions/1/manifest.json", lambda data: b"{}", "versions/1/manifest.json is no manifest: KeyError: 'model'"),
        ("versions/1/manifest.json", None, "models/fraud/versions/1/manifest.json is missing"),
        ("versions/1/model.onnx", None, "model.onnx of version 1 of model 'fraud' is missing"),
        ("versions/1/rejected.json", lambda data: b"{}", "versions/1/rejected.json is no audit entry: KeyError"),
        ("audit", lambda data: b"{}", "json is no audit entry: KeyError: 'previous'"),
        ("audit", None, "json is missing, audit/.*json follows it"),
    ],
)
def test_an_object_that_somebody_has_been_at_is_named(
    tmp_path: Path, push: Push, path: str, change: Callable[[bytes], bytes] | dict[str, Any] | None, said: str
) -> None:
    registry = Registry(Store.open(tmp_path.as_uri(), environ={}))
    push(registry)
    oldest = registry.audit("fraud")[-1].key
    file = tmp_path / (oldest if path == "audit" else f"models/fraud/{path}")
    data = file.read_bytes() if file.exists() else b""
    if change is None:
        file.unlink()
    else:
        file.write_bytes(orjson.dumps(orjson.loads(data) | change) if isinstance(change, dict) else change(data))
    with pytest.raises(Damaged, match=said):
        registry.spec("fraud")
        registry.rejection("fraud", 1)
        registry.audit("fraud")
        list(registry.fetch("fraud", 1, release=registry.release("fraud"))[1])


def test_a_push_puts_a_spec_that_is_broken_right(memory: Store, push: Push) -> None:
    registry = Registry(memory)
    push(registry)
    memory.put("models/fraud/spec.json", b"{")
    memory.put("models/fraud/versions/2/claim.json", b"{")
    assert push(registry, b"another").version == 3
    assert registry.spec("fraud") == SPEC


@pytest.mark.parametrize("size", [8, 5 * PIECE + 17])
@pytest.mark.parametrize("change", [lambda data: data[:-1] + b"x", lambda data: data + b"x", lambda data: data[:-1]])
def test_a_file_that_arrives_and_is_not_the_registered_one_is_refused(
    memory: Store, push: Push, change: Callable[[bytes], bytes], size: int
) -> None:
    registry = Registry(memory)
    data = os.urandom(size)
    push(registry, data)
    release = registry.release("fraud")
    manifest, pieces = registry.fetch("fraud", 1, release=release)
    assert manifest == registry.manifest("fraud", 1)
    assert b"".join(pieces) == data
    memory.put("models/fraud/versions/1/model.onnx", change(data))
    with pytest.raises(InvalidArtefact, match=r"model.onnx of version 1 of model 'fraud' is not the file"):
        list(registry.fetch("fraud", 1, release=release)[1])


def test_the_number_of_requests_does_not_grow_with_models_or_versions(push: Push, watched: Watch) -> None:
    def counts(versions: int, models: int) -> dict[str, int]:
        store = Store.open("memory://", environ={})
        registry = Registry(store)
        for number in range(models):
            push(registry, name=f"other-{number}")
        for number in range(versions):
            push(registry, b"%d" % number)
        registry.promote("fraud", versions - 1, **BY)
        counting = watched(store)
        registry = Registry(counting)
        etag = registry.release_if_changed("fraud", None)
        assert etag is not None
        newest = registry.manifest("fraud", versions)
        acts: dict[str, Callable[[], object]] = {
            "release, unchanged": lambda: registry.release_if_changed("fraud", etag[1]),
            "release": lambda: registry.release("fraud"),
            "manifest": lambda: registry.manifest("fraud", versions),
            "manifest of a release": lambda: registry.manifest("fraud", versions, release=etag[0]),
            "artefact": lambda: registry.artefact(newest),
            "spec": lambda: registry.spec("fraud"),
            "push": lambda: push(registry, b"another"),
            "promote": lambda: registry.promote("fraud", versions, **BY),
            "canary": lambda: registry.canary("fraud", versions - 2, weight=0.5, **BY),
            "shadow": lambda: registry.shadow("fraud", versions - 3, **BY),
            "rollback": lambda: registry.rollback("fraud", **BY),
            "reject": lambda: registry.reject("fraud", versions - 2, **BY),
            "four versions": lambda: registry.versions("fraud", limit=4),
            "five entries": lambda: registry.audit("fraud", limit=5),
            "first push of a model": lambda: push(registry, name="new"),
            "models": registry.models,
        }
        found = {}
        for name, act in acts.items():
            counting.calls.clear()
            act()
            found[name] = len(counting.calls)
        return found

    few, many = counts(5, 2), counts(2000, 300)
    assert few == many
    assert few == {
        "release, unchanged": 1,
        "release": 1,
        "manifest": 2,
        "manifest of a release": 1,
        "artefact": 1,
        "spec": 1,
        "push": 10,
        "promote": 5,
        "canary": 5,
        "shadow": 5,
        "rollback": 4,
        "reject": 6,
        "four versions": 5,
        "five entries": 5,
        "first push of a model": 11,
        "models": 1,
    }


def test_the_release_stays_small_however_many_versions_there_are(push: Push) -> None:
    sizes = []
    for versions in (5, 500):
        store = Store.open("memory://", environ={})
        for number in range(versions):
            push(Registry(store), b"%d" % number)
        Registry(store).promote("fraud", versions, **BY)
        sizes.append(len(store.get("models/fraud/release.json").data))
    assert sizes[1] - sizes[0] < 20
    assert sizes[1] < 1000


def test_a_model_is_declared_before_it_has_a_version(registry: Registry, push: Push) -> None:
    registry.declare(SPEC, **BY)
    assert registry.spec("fraud") == SPEC
    assert (registry.release("fraud").latest, registry.release("fraud").champion) == (0, None)
    changed = replace(SPEC, description="Is it really a fraud?")
    registry.declare(changed, **BY)
    assert registry.spec("fraud") == changed
    assert [entry.action for entry in registry.audit("fraud")] == ["create"]
    assert push(registry).version == 1


def test_no_model_is_declared_under_an_odd_name(registry: Registry) -> None:
    with pytest.raises(InvalidSpec, match="no name of a model"):
        registry.declare(replace(SPEC, name="../fraud"), **BY)
