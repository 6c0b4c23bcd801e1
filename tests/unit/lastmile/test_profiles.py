import gzip
import random
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pytest

from lastmile.capture import MARKER, Record, read_line
from lastmile.errors import ProfileMismatch
from lastmile.profile import Layout, Profile
from lastmile.profiles import HOUR, ProfileStore, Span, captures_path, count
from lastmile.profiles.paths import MERGED
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec
from lastmile.ulid import new_ulid

NOON = 1_800_014_400.0  # 2027-01-15 12:00 UTC
DAY = 24 * HOUR
SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 2), ("age", "income")),),
    (TensorSpec("label", "INT64", (-1,)), TensorSpec("probabilities", "FP32", (-1, 2))),
)
LAYOUT = Layout.default(SIGNATURE, "classification")

type Watch = Callable[[Store], Any]


@pytest.fixture
def memory() -> Store:
    return Store.open("memory://", environ={})


def line(at: float, *, number: int = 0, version: int = 1, role: str = "champion", **more: Any) -> bytes:
    document = {
        "marker": MARKER,
        "id": new_ulid(at),
        "at": at,
        "model": "fraud",
        "version": version,
        "role": role,
        "ms": 2.0,
        "rows": 1,
        "inputs": {"x": [[float(number % 90), 1e3]]},
        "outputs": {"label": [number % 2], "probabilities": [[0.25, 0.75]]},
        **more,
    }
    return orjson.dumps(document)


def deliver(store: Store, name: str, lines: Sequence[bytes], *, stream: str = "s", version: int = 1) -> None:
    """As the capture function does, for lines of one hour."""
    records = [read_line(one) for one in lines]
    ids = [record.id for record in records]
    at = records[0].at
    store.put(captures_path("fraud", at, name), gzip.compress(b"\n".join(lines)))
    ProfileStore(store).write("fraud", version, at, name, count(LAYOUT, records), span=Span(stream, min(ids), max(ids)))


def test_what_is_written_is_read_for_its_hours(store: Store) -> None:
    profiles = ProfileStore(store)
    for hour in range(-30, 3):
        profiles.write("fraud", 1, NOON + hour * HOUR, "a", count(LAYOUT, [read_line(line(NOON + hour * HOUR + 60))]))
    profiles.write("fraud", 2, NOON, "a", count(LAYOUT, [read_line(line(NOON + 60))]))
    for since, until, requests in ((-1, 0, 1), (-24, 0, 24), (-40, 40, 33), (-0.5, 0.5, 1), (-3, -1, 2)):
        found = profiles.read("fraud", 1, NOON + since * HOUR, NOON + until * HOUR)
        assert found is not None
        assert found.requests == requests
    for model, version, since, until in (
        ("fraud", 3, -24, 0),
        ("other", 1, -24, 0),
        ("fraud", 1, 5, 9),
        ("fraud", 1, 1, 0),
    ):
        assert profiles.read(model, version, NOON + since * HOUR, NOON + until * HOUR) is None
    assert profiles.versions("fraud", NOON - DAY, NOON) == [1]
    assert profiles.versions("fraud", NOON, NOON + HOUR) == [1, 2]
    assert profiles.versions("fraud", NOON + DAY, NOON + 2 * DAY) == []
    assert profiles.versions("other", NOON - DAY, NOON) == []


def test_windows_that_meet_within_an_hour_share_nothing(memory: Store) -> None:
    for minute in range(60):
        deliver(memory, f"{minute}", [line(NOON + 60 * minute + 30)], stream=f"{minute}")
    for merges in (False, True, True):
        profiles = ProfileStore(memory, merges=merges)
        cuts = [NOON, NOON + 600, NOON + 601, NOON + 2_430, NOON + HOUR]
        counted = [profiles.read("fraud", 1, *window) for window in pairwise(cuts)]
        assert [found.requests if found else 0 for found in counted] == [10, 0, 30, 20]
        whole = profiles.read("fraud", 1, NOON, NOON + HOUR)
        assert whole is not None
        assert whole.requests == 60


def test_a_delivery_that_comes_again_is_counted_once(store: Store) -> None:
    lines = [line(NOON + second, number=second) for second in range(10)]
    for _ in range(3):
        deliver(store, "one", lines)
        found = ProfileStore(store, merges=True).read("fraud", 1, NOON, NOON + HOUR)
        assert found is not None
        assert (found.requests, found.rows) == (10, 10)


@pytest.mark.parametrize("merges", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_deliveries_that_are_cut_differently_are_counted_once(memory: Store, merges: bool, seed: int) -> None:
    """Any cuts, in any order, some of them several times, read at any moment."""
    chance = random.Random(seed)
    streams = {stream: [line(NOON + second / 10, number=second) for second in range(80)] for stream in ("one", "other")}
    deliveries = []
    for stream, lines in streams.items():
        for cutting in range(3):
            cuts = sorted(chance.sample(range(1, 80), 5))
            for start, end in zip([0, *cuts], [*cuts, 80], strict=True):
                deliveries.append((f"{stream}-{cutting}-{start}", lines[start:end], stream))
    chance.shuffle(deliveries)
    reader = ProfileStore(memory, merges=merges)
    for place, (name, lines, stream) in enumerate([*deliveries, *deliveries[:5]]):
        deliver(memory, name, lines, stream=stream)
        if place % 7 == 0:
            reader.read("fraud", 1, NOON, NOON + HOUR)
    found = reader.read("fraud", 1, NOON, NOON + HOUR)
    everything = [read_line(one) for lines in streams.values() for one in lines]
    assert found is not None
    assert found.to_document() == count(LAYOUT, everything).to_document()


def test_an_overlap_whose_captures_have_expired_adds_nothing(memory: Store) -> None:
    lines = [line(NOON + second) for second in range(4)]
    deliver(memory, "one", lines[:3])
    ProfileStore(memory).write(
        "fraud",
        1,
        NOON,
        "two",
        count(LAYOUT, map(read_line, lines)),
        span=Span("s", read_line(lines[0]).id, read_line(lines[3]).id),
    )
    found = ProfileStore(memory).read("fraud", 1, NOON, NOON + HOUR)
    assert found is not None
    assert found.requests == 3


def test_of_a_delivery_whose_captures_are_gone_the_span_counts(memory: Store) -> None:
    lines = [line(NOON + second) for second in range(5)]
    ids = [read_line(one).id for one in lines]
    deliver(memory, "two", lines)
    counted = count(LAYOUT, map(read_line, lines[1:3]))
    ProfileStore(memory).write("fraud", 1, NOON, "one", counted, span=Span("s", ids[1], ids[2]))
    found = ProfileStore(memory).read("fraud", 1, NOON, NOON + HOUR)
    assert found is not None
    assert found.requests == 5


def test_a_window_that_was_read_before_takes_few_requests(memory: Store, watched: type[Any]) -> None:
    for hour in range(24):
        for batch in range(4):
            deliver(memory, f"{batch}", [line(NOON + hour * HOUR + batch)], stream=f"{batch}")
    window = NOON, NOON + DAY
    assert ProfileStore(memory, merges=True).read("fraud", 1, *window)
    store = watched(memory)
    found = ProfileStore(store, merges=True).read("fraud", 1, *window)
    assert found is not None
    assert found.requests == 96
    assert sorted(method for method, _ in store.calls) == ["get", "get", "list", "list"]
    deliver(memory, "late", [line(NOON + 5)], stream="late")
    store = watched(memory)
    found = ProfileStore(store, merges=True).read("fraud", 1, *window)
    assert found is not None
    assert found.requests == 97
    assert len(store.calls) == 5


def test_one_who_only_reads_writes_nothing(memory: Store, watched: type[Any]) -> None:
    for batch in range(20):
        deliver(memory, f"{batch}", [line(NOON + batch)], stream=f"{batch}")
    store = watched(memory)
    assert ProfileStore(store).read("fraud", 1, NOON, NOON + HOUR)
    assert {method for method, _ in store.calls} == {"get", "list"}


def test_of_two_who_merge_at_once_one_writes_and_both_are_right(store: Store, watched: type[Any]) -> None:
    for batch in range(4):
        deliver(store, f"{batch}", [line(NOON + batch)], stream=f"{batch}")
    other = watched(store)

    def beaten(method: str, path: str) -> None:
        if method == "create":
            ProfileStore(store, merges=True).read("fraud", 1, NOON, NOON + HOUR)

    other.before = beaten
    for reader in (ProfileStore(other, merges=True), ProfileStore(store, merges=True)):
        found = reader.read("fraud", 1, NOON, NOON + HOUR)
        assert found is not None
        assert found.requests == 4


def test_a_reader_that_is_killed_leaves_nothing_wrong(
    memory: Store, watched: type[Any], killed: type[Exception]
) -> None:
    for batch in range(4):
        deliver(memory, f"{batch}", [line(NOON + batch)], stream=f"{batch}")
    for kill_at in range(1, 8):
        for after in (False, True):
            store = watched(memory)
            store.kill_at, store.kill_after_effect = kill_at, after
            with suppress(killed):
                ProfileStore(store, merges=True).read("fraud", 1, NOON, NOON + HOUR)
            found = ProfileStore(memory).read("fraud", 1, NOON, NOON + HOUR)
            assert found is not None
            assert found.requests == 4


@pytest.mark.parametrize(
    "damaged",
    [b"", b"junk", *(gzip.compress(text, mtime=0) for text in (b"{}", b'{"layouts": 1, "hours": {"a": 2}}'))],
    ids=["empty", "no gzip", "no hours", "other hours"],
)
def test_what_was_merged_and_is_damaged_is_merged_again(memory: Store, damaged: bytes) -> None:
    for batch in range(4):
        deliver(memory, f"{batch}", [line(NOON + batch)], stream=f"{batch}")
    merged = f"profiles/model=fraud/version=1/dt=2027-01-15/{MERGED}"
    memory.put(merged, damaged)
    memory.put("profiles/model=fraud/version=old/dt=2027-01-15/hour=12/a.json.gz", b"of nobody")
    for _ in range(2):
        found = ProfileStore(memory, merges=True).read("fraud", 1, NOON, NOON + HOUR)
        assert found is not None
        assert found.requests == 4
    assert memory.get(merged).data != damaged
    assert ProfileStore(memory).versions("fraud", NOON, NOON + HOUR) == [1]


def test_layouts_that_differ_within_a_window_are_a_clear_error(memory: Store) -> None:
    other = Layout.default(Signature(SIGNATURE.inputs, ()), "classification")
    ProfileStore(memory).write("fraud", 1, NOON, "a", Profile.empty(LAYOUT))
    ProfileStore(memory).write("fraud", 1, NOON, "b", Profile.empty(other))
    with pytest.raises(ProfileMismatch, match="different layouts"):
        ProfileStore(memory).read("fraud", 1, NOON, NOON + HOUR)


def test_all_records_are_requests_and_sampled_ones_have_values() -> None:
    lines = [
        line(NOON, number=7),
        line(NOON + 1, number=8, error="it failed", outputs={}),
        line(NOON + 2, sampled=False, inputs=None, outputs=None, ms=300.0),
        line(
            NOON + 3, rows=3, inputs={"x": [[1, 2]] * 3}, outputs={"label": [0] * 3, "probabilities": [[0.5, 0.5]] * 3}
        ),
        line(NOON + 4, inputs={"x": []}, outputs={"label": [], "probabilities": []}, rows=0),
    ]
    counted = count(LAYOUT, map(read_line, [*lines, lines[0]]))
    assert (counted.requests, counted.errors, counted.rows) == (5, 1, 5)
    assert (counted.first_at, counted.last_at) == (NOON, NOON + 4)
    assert counted.latency.sum() == 5
    assert counted.features["age"].rows == 5
    assert counted.outputs["label"].rows == 4
    assert counted.outputs["confidence"].maximum == 0.75


def test_counting_many_at_once_is_as_counting_one_by_one() -> None:
    records = [read_line(line(NOON + number, number=number)) for number in range(300)]
    one_by_one: Profile | None = None
    for record in records:
        single = count(LAYOUT, [record])
        one_by_one = single if one_by_one is None else one_by_one.merge(single)
    assert one_by_one is not None
    assert count(LAYOUT, records).to_document() == one_by_one.to_document()


def test_an_array_without_an_axis_of_rows_is_one_row() -> None:
    record = read_line(line(NOON))
    scalar: Record = record._replace(inputs={}, outputs={"label": np.array(1)})
    assert count(LAYOUT, [scalar]).outputs["label"].rows == 1
