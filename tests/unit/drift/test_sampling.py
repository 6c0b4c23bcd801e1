"""Drift that no feature shows by itself."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.drift.sampling import keep, kept, sampled
from lastmile.capture import Capture, Recording
from lastmile.policies import Drift
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.ulid import new_ulid
from tests.unit.drift.conftest import World
from tests.unit.watching import AMOUNT, COUNTRY, DAY, HOUR, NOW, manifest, predicted, spec, store_captures

type Make = Callable[..., ModelSpec]

TOGETHER = spec(drift=Drift(every_hours=1, window_hours=24, joint=True))
ALONE = spec(drift=Drift(every_hours=1, window_hours=24))


def captures(world: World, of: ModelSpec, *, at: float, turned: bool, count: int = 2000) -> None:
    """Countries go with amounts; turned, they go the other way round, and each for itself stays as it was."""
    amounts = np.random.default_rng(int(at)).normal(4, 1.5, count).astype(np.float32)
    countries = np.where((amounts > 4) ^ turned, "DE", "FR")
    _, line = predicted(amounts, countries, at=at, of=of)
    store_captures(world.data, [line], at=at, batch=f"b{at}")


def watched(world: World, of: ModelSpec) -> dict[str, Any]:
    """The same counts in both windows; what goes together changes in the second."""
    world.push(of)
    for start, turned in ((NOW, False), (NOW + DAY, True)):
        world.traffic(of, until=start)
        captures(world, of, at=start - HOUR, turned=turned)
    world.watch.tick(NOW)
    (checked,) = world.watch.tick(NOW + DAY)["checked"]
    return world.report(checked["path"])


def test_what_changes_only_together_is_found_where_the_spec_wants_it(world: World) -> None:
    report = watched(world, TOGETHER)
    (together,) = [one for one in report["features"] if one["aspect"] == "joint"]
    assert (report["verdict"], together["verdict"], together["labels"]) == ("drifted", "drifted", [])
    assert "all features together" in report["summary"]
    assert b"all features together" in world.data.get(report["page"]).data
    assert world.bus.kinds() == ["DriftDetected"]


def test_without_the_option_it_is_not_looked_for(world: World) -> None:
    report = watched(world, ALONE)
    assert report["verdict"] == "stable"
    assert not [one for one in report["features"] if one["aspect"] == "joint"]


def test_the_first_window_is_what_later_ones_are_told_apart_from(world: World) -> None:
    world.push(TOGETHER)
    world.traffic(TOGETHER)
    captures(world, TOGETHER, at=NOW - HOUR, turned=False)
    (first,) = world.watch.tick(NOW)["checked"]
    assert first["verdict"] == "stable"
    assert world.data.exists("reports/fraud/drift/rows-1.json.gz")


@pytest.fixture
def store() -> Store:
    return Store.open("memory://", environ={})


def test_rows_that_are_kept_come_back(store: Store) -> None:
    rows = {"amount": np.array([1.0, np.nan] * 100), "country": np.array(["DE", ""] * 100, object)}
    keep(store, manifest(spec()), rows)
    keep(store, manifest(spec()), {"amount": np.zeros(300)})
    found = kept(store, manifest(spec()))
    np.testing.assert_array_equal(found["amount"], rows["amount"])
    assert found["country"].tolist() == rows["country"].tolist()


def test_too_few_rows_are_not_kept(store: Store) -> None:
    keep(store, manifest(spec()), {"amount": np.zeros(199)})
    keep(store, manifest(spec()), {})
    assert kept(store, manifest(spec())) == {}


def test_rows_of_shadows_other_versions_and_other_times_are_left_out(store: Store) -> None:
    lines = [
        predicted(np.array([value]), ["DE"], at=at, **details)[1]
        for value, at, details in (
            (1, NOW, {}),
            (2, NOW, {"role": "shadow"}),
            (3, NOW, {"version": 2}),
            (4, NOW + 120, {}),
        )
    ]
    store_captures(store, [*lines, b"{}\n"], at=NOW)
    store.put(store_captures(store, [], at=NOW, batch="broken"), b"no gzip")
    found = sampled(store, manifest(spec()), NOW, NOW + 60)
    assert (found["amount"].tolist(), found["country"].tolist()) == ([1], ["DE"])
    assert sampled(store, manifest(spec()), NOW - DAY, NOW - HOUR) == {}


def test_an_input_of_a_fixed_length_is_none_of_the_rows_and_an_infinity_is_missing(store: Store) -> None:
    fixed = spec(inputs=(AMOUNT, replace(COUNTRY, shape=(1,))))
    _, line = predicted(np.array([1.0, np.inf, 3.0]), ["DE"], at=NOW, of=fixed)
    store_captures(store, [line], at=NOW)
    found = sampled(store, manifest(fixed), NOW, NOW + 60)
    assert list(found) == ["amount"]
    np.testing.assert_array_equal(found["amount"], [1.0, np.nan, 3.0])


@pytest.mark.parametrize("pii", ["hash", "mask"])
def test_personal_inputs_are_not_kept_however_they_were_captured(world: World, pii: Any) -> None:
    of = spec(inputs=(AMOUNT, replace(COUNTRY, pii=pii)))
    written: list[bytes] = []
    Capture(written.append)(
        prediction_id=new_ulid(NOW - HOUR),
        at=NOW - HOUR,
        role="champion",
        milliseconds=1.0,
        recording=Recording.of(manifest(of), key=b"k" * 32),
        inputs={"amount": np.ones(300, np.float32), "country": np.array(["DE"] * 300, object)},
        outputs={},
    )
    store_captures(world.data, written, at=NOW - HOUR)
    found = sampled(world.data, manifest(of), NOW - DAY, NOW)
    assert list(found) == ["amount"]
    keep(world.data, manifest(of), found | {"country": np.array(["DE"] * 300, object)})
    assert list(kept(world.data, manifest(of))) == ["amount"], "not even where they once were"
