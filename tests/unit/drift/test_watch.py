import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import orjson
import pytest

from lastmile.errors import ModelNotFound, NotFound
from lastmile.feedback import Feedback, write
from lastmile.policies import Drift, Gate
from lastmile.profile import Profile
from lastmile.profiles import ProfileStore
from lastmile.spec import ModelSpec
from lastmile.tensors import TensorSpec
from tests.unit.drift.conftest import World
from tests.unit.watching import HOUR, NOW, predicted, spec, store_captures

type Make = Callable[..., ModelSpec]


def test_stable_traffic_is_called_stable_and_alarms_nobody(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud())
    found = world.watch.tick(NOW)
    (checked,) = found["checked"]
    assert (checked["verdict"], found["failed"], world.bus.heard) == ("stable", [], [])
    report = world.report(checked["path"])
    assert report["window"] == {"since": "2026-03-13T15:00:00.000Z", "until": "2026-03-14T15:00:00.000Z", "hours": 24.0}
    assert (report["traffic"]["requests"], report["traffic"]["rows"]) == (240, 12_000)
    assert (report["traffic"]["error_rate"], report["traffic"]["latency_ms"]["p99"]) == (0.1, pytest.approx(2, rel=0.3))
    assert world.figures("DriftedFeatures") == [0]


def test_shifted_traffic_is_called_drifted_by_name_and_told_once(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert checked["verdict"] == "drifted"
    assert "amount" in checked["newly_drifted"]
    assert "country" not in checked["newly_drifted"]
    ((kind, detail),) = world.bus.heard
    assert (kind, detail["model"], detail["version"], detail["id"]) == (
        "DriftDetected",
        "fraud",
        1,
        "fraud-20260314T150000Z",
    )
    assert detail["report"] == checked["path"] == "reports/fraud/drift/20260314T150000Z.json"
    assert world.figures("DriftedFeatures")[0] >= 1
    assert world.figures("LargestDrift")[0] > 1


def test_drift_that_goes_on_is_reported_each_time_and_told_once(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0, until=NOW + HOUR, hours=25)
    world.watch.tick(NOW)
    (second,) = world.watch.tick(NOW + HOUR)["checked"]
    assert (second["verdict"], second["newly_drifted"]) == ("drifted", [])
    assert (len(world.reports()), world.bus.kinds()) == (2, ["DriftDetected"])


def test_the_same_tick_twice_gives_one_report_one_event_and_one_figure(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0)
    world.watch.tick(NOW)
    again = world.watch.tick(NOW)
    assert (again["checked"], again["waiting"]) == ([], ["fraud"])
    assert (len(world.reports()), world.bus.kinds(), len(world.figures("DriftedFeatures"))) == (1, ["DriftDetected"], 1)


def test_ticks_at_the_same_time_are_one(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda _: world.watch.tick(NOW), range(4)))
    assert sum(len(one["checked"]) for one in found) == 1
    assert (len(world.reports()), len(world.figures("DriftedFeatures"))) == (1, 1)
    assert set(world.bus.kinds()) == {"DriftDetected"}


def test_an_event_that_was_not_told_is_told_by_the_next_tick(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0)
    world.bus.failing = 1
    assert world.watch.tick(NOW)["failed"] == [{"model": "fraud", "error": "EventLostError: "}]
    assert world.bus.heard == []
    world.watch.tick(NOW)
    assert world.bus.kinds() == ["DriftDetected"]
    world.watch.tick(NOW)
    assert world.bus.kinds() == ["DriftDetected"]


@pytest.mark.parametrize(("every", "hours", "expected"), [(1.0, 6, 6), (3.0, 6, 2), (24.0, 30, 2), (1.5, 6, 3)])
def test_a_model_is_looked_at_as_often_as_its_spec_says(
    world: World, fraud: Make, every: float, hours: int, expected: int
) -> None:
    world.push(fraud(every_hours=every))
    for hour in range(hours):
        world.watch.tick(NOW + hour * HOUR)
    assert len(world.reports()) == expected


def test_a_model_that_fails_keeps_no_other_from_being_checked(world: World, fraud: Make) -> None:
    for name in ("broken", "fraud"):
        world.push(fraud(name=name))
        world.traffic(fraud(name=name))
    world.data.put("reports/broken/drift/state.json", b"not JSON")
    found = world.watch.tick(NOW)
    assert [one["model"] for one in found["checked"]] == ["fraud"]
    assert [one["model"] for one in found["failed"]] == ["broken"]
    assert world.figures("ChecksFailed") == [1]


def test_a_model_that_does_not_serve_is_left_alone(world: World, fraud: Make) -> None:
    world.push(fraud(), promote=False)
    assert world.watch.tick(NOW) == {
        "at": "2026-03-14T15:00:00.000Z",
        "checked": [],
        "failed": [],
        "waiting": ["fraud"],
    }
    with pytest.raises(NotFound, match="no champion"):
        world.watch.check("fraud", NOW)


def test_a_model_that_is_not_there_is_said_to_be_so(world: World) -> None:
    with pytest.raises(ModelNotFound):
        world.watch.check("nobody", NOW)
    with pytest.raises(ModelNotFound):
        world.watch.quality("nobody", NOW)


def test_without_traffic_there_is_a_report_that_says_so(world: World, fraud: Make) -> None:
    world.push(fraud())
    (checked,) = world.watch.tick(NOW)["checked"]
    assert (checked["verdict"], checked["summary"]) == ("no traffic", "Version 1 answered nothing.")
    report = world.report(checked["path"])
    assert (report["features"], report["traffic"]["requests"], report["traffic"]["error_rate"]) == ([], 0, None)
    assert world.figures("DriftedFeatures") == []


def test_one_row_is_not_enough_for_a_verdict(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), hours=1, count=1)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert checked["verdict"] == "not enough data"
    assert checked["summary"].startswith("1 rows are not enough for a verdict on")


def test_a_version_without_a_reference_takes_its_first_traffic_for_one(world: World, fraud: Make) -> None:
    world.push(fraud(), profile=False)
    world.traffic(fraud(), hours=24)
    (first,) = world.watch.tick(NOW)["checked"]
    assert first["verdict"] == "no reference"
    assert "first traffic of version 1 (12000 rows" in world.report(first["path"])["reference"]["sentence"]
    world.traffic(fraud(), until=NOW + 24 * HOUR, shift=3.0)
    (second,) = world.watch.tick(NOW + 24 * HOUR)["checked"]
    assert second["verdict"] == "drifted"
    assert world.report(second["path"])["reference"]["kind"] == "first window"


def test_too_little_first_traffic_is_no_reference(world: World, fraud: Make) -> None:
    world.push(fraud(), profile=False)
    world.traffic(fraud(), hours=1, count=50)
    (first,) = world.watch.tick(NOW)["checked"]
    assert first["verdict"] == "no reference"
    assert "50 rows are too few to become one (200 are needed)" in world.report(first["path"])["reference"]["sentence"]
    assert not world.data.exists("reports/fraud/drift/reference-1.json")


def test_profiles_of_another_layout_are_called_not_comparable(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.push(fraud(), profile=False, seed=2, promote=False)
    of = fraud()
    with_default_bins = world.layout(of, 2)
    world.layout = lambda of, version: with_default_bins  # type: ignore[method-assign]
    world.traffic(of)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert checked["verdict"] == "not comparable"
    assert "different layouts" in checked["summary"]


@pytest.mark.parametrize("broken", [b"not JSON", b"{}", b"[]"])
def test_a_reference_that_cannot_be_read_is_called_not_comparable(world: World, fraud: Make, broken: bytes) -> None:
    world.push(fraud(), profile=False)
    world.traffic(fraud())
    world.data.put("reports/fraud/drift/reference-1.json", broken)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert (checked["verdict"], world.watch.tick(NOW)["failed"]) == ("not comparable", [])


def test_a_profile_that_is_half_there_is_called_not_comparable(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), hours=2)
    path = next(path for path in world.data.list("profiles") if "batch0" in path)
    world.data.put(path, world.data.get(path).data[:100])
    labelled(world, fraud(), right=True)
    found = world.watch.tick(NOW)
    assert ([one["verdict"] for one in found["checked"]], found["failed"]) == (["not comparable"], [])


def test_other_versions_are_judged_by_their_own_reference(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.push(fraud(), seed=2, promote=False)
    world.registry.canary("fraud", 2, weight=0.5, actor="ann", why="because")
    world.traffic(fraud())
    world.traffic(fraud(), version=2, shift=3.0)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert checked["verdict"] == "stable"
    first, second = world.report(checked["path"])["versions"]
    assert (first["version"], first["roles"], first["verdict"]) == (1, ["champion"], "stable")
    assert (second["version"], second["roles"], second["verdict"]) == (2, ["challenger"], "drifted")


def test_a_new_champion_starts_afresh(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=3.0)
    world.watch.tick(NOW)
    world.push(fraud(), seed=2)
    world.traffic(fraud(), version=2, shift=3.0, until=NOW + HOUR)
    (checked,) = world.watch.tick(NOW + HOUR)["checked"]
    assert "amount" in checked["newly_drifted"]
    assert world.bus.kinds() == ["DriftDetected", "DriftDetected"]


def test_a_question_is_answered_at_any_time_and_alarms_nobody(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), shift=2.0)
    report = world.watch.check("fraud", NOW - 1800, window_hours=6)
    assert (report["verdict"], report["window"]["hours"]) == ("drifted", 6.0)
    assert world.report(report["path"])["verdict"] == "drifted"
    assert (world.bus.heard, world.lines) == ([], [])
    assert len(world.watch.tick(NOW)["checked"]) == 1, "the question does not stand in for the hourly check"


def test_reports_remember_the_checks_before(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), until=NOW + 2 * HOUR, hours=26)
    for hour in range(3):
        (checked,) = world.watch.tick(NOW + hour * HOUR)["checked"]
    history = world.report(checked["path"])["history"]
    assert [one["at"][11:16] for one in history] == ["15:00", "16:00", "17:00"]
    assert {one["verdict"] for one in history} == {"stable"}


def labelled(world: World, of: ModelSpec, *, right: bool, count: int = 200, at: float = NOW - HOUR) -> None:
    random = np.random.default_rng(0)
    amounts = random.uniform(0, 10, count).astype(np.float32)
    prediction_id, line = predicted(amounts, ["DE"] * count, at=at, of=of)
    store_captures(world.data, [line], at=at, model=of.name)
    truth = (amounts > 5) if right else (amounts <= 5)
    write(
        world.data,
        [Feedback(of.name, prediction_id, row, int(label), "r", at + 60, at + 60) for row, label in enumerate(truth)],
    )


@pytest.mark.parametrize(("right", "missed"), [(True, 0), (False, 1)])
def test_labels_are_measured_and_held_against_the_gates(world: World, fraud: Make, right: bool, missed: int) -> None:
    of = fraud(gates=(Gate("accuracy", at_least=0.8), Gate("recall", champion_margin=-0.01)))
    world.push(of)
    world.traffic(of)
    labelled(world, of, right=right)
    (checked,) = world.watch.tick(NOW)["checked"]
    report = world.report(checked["path"])
    assert report["quality"]["labels"]["joined"] == 200
    assert report["quality"]["labels"]["coverage"] == pytest.approx(200 / 12_000)
    assert [gate["missed"] for gate in report["gates"]] == [bool(missed)]
    assert world.figures("GatesMissed") == [missed]
    measured = {line["metric"]: line["Quality"] for line in map(json.loads, world.lines) if "Quality" in line}
    assert measured["accuracy"] == float(right)
    assert world.figures("LabelCoverage") == [pytest.approx(200 / 12_000)]


def test_a_classifiers_quality_is_estimated_before_labels_come(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud())
    (checked,) = world.watch.tick(NOW)["checked"]
    report = world.report(checked["path"])
    assert report["estimate"]["trusted"], report["estimate"]
    assert report["estimate"]["value"] > 0.98, "the reference was always right"
    assert world.figures("EstimatedQuality") == [report["estimate"]["value"]]
    assert report["history"][-1]["estimate"] == report["estimate"]["value"]


def test_the_estimate_has_a_band_for_each_part_of_the_window(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud(), hours=20)
    (checked,) = world.watch.tick(NOW)["checked"]
    report = world.report(checked["path"])
    chunks = report["estimate"]["chunks"]
    assert [chunk["since"][11:16] for chunk in chunks] == [f"{(19 + hour) % 24:02}:00" for hour in range(20)]
    for chunk in chunks:
        assert (chunk["rows"], chunk["trusted"]) == (500, True)
        assert 0.9 < chunk["low"] <= chunk["value"] <= chunk["high"] <= 1
    entry, estimate = report["history"][-1], report["estimate"]
    assert (entry["estimate_low"], entry["estimate_high"]) == (estimate["low"], estimate["high"])
    week = world.watch.check("fraud", NOW, window_hours=24 * 7)["estimate"]["chunks"]
    assert [chunk["since"][8:16] for chunk in week] == ["13T12:00", "14T00:00", "14T12:00"]
    assert sum(chunk["rows"] for chunk in week) == 10_000


def test_errors_and_latency_of_each_version_are_told_from_the_profiles_of_the_last_hour(
    world: World, fraud: Make
) -> None:
    of = fraud(every_hours=24)
    world.push(of)
    world.push(of, seed=2, promote=False)
    world.traffic(of, hours=3)
    world.traffic(of, version=2, hours=3)
    for minutes in (11, 12):
        world.watch.tick(NOW + 60 * minutes)
        told = [line for line in map(json.loads, world.lines) if "VersionRequests" in line]
        world.lines.clear()
        assert [(line["version"], line["VersionRequests"], line["VersionErrors"]) for line in told] == [
            ("1", 10, 1),
            ("2", 10, 1),
        ]
        assert told[0]["VersionMillisecondsP50"] == told[0]["VersionMillisecondsP99"] == pytest.approx(2.0, rel=0.3)
        (directive,) = told[0]["_aws"]["CloudWatchMetrics"]
        assert directive["Dimensions"] == [["stage", "model", "version"]]
        assert told[0]["_aws"]["Timestamp"] == (NOW - HOUR) * 1000
    world.watch.tick(NOW + 60 * 9)
    assert world.figures("VersionRequests") == [10, 10], "the hour before: the last one may not be counted yet"


def test_labels_that_contradict_the_estimate_are_believed(world: World, fraud: Make) -> None:
    of = fraud()
    world.push(of)
    world.traffic(of)
    labelled(world, of, right=False)
    (checked,) = world.watch.tick(NOW)["checked"]
    report = world.report(checked["path"])
    assert not report["estimate"]["trusted"]
    assert any("cannot be trusted: feedback contradicts it: 0.0% of 200" in note for note in report["notes"])
    assert world.figures("EstimatedQuality") == []


def test_labels_of_a_version_with_other_classes_keep_no_model_from_being_checked(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud())
    labelled(world, fraud(), right=True)
    world.push(
        fraud(outputs=(TensorSpec("probabilities", "FP32", (-1, 1), ("1",)),)), profile=False, seed=2, promote=False
    )
    (checked,) = world.watch.tick(NOW)["checked"]
    (version,) = world.report(checked["path"])["quality"]["versions"]
    assert (version["metrics"]["accuracy"]["value"], version["metrics"]["auc"]["value"]) == (1.0, 1.0)


def test_a_label_that_is_a_list_contradicts_no_estimate(world: World, fraud: Make) -> None:
    world.push(fraud())
    world.traffic(fraud())
    prediction_id, line = predicted(np.array([1, 2]), ["DE", "DE"], at=NOW - 90 * 60)
    store_captures(world.data, [line], at=NOW - 90 * 60)
    write(world.data, [Feedback("fraud", prediction_id, 0, ["a", "b"], "r", NOW, NOW)])
    (checked,) = world.watch.tick(NOW)["checked"]
    assert world.report(checked["path"])["estimate"]["trusted"]


def test_what_is_no_classifier_has_no_estimate(world: World, fraud: Make) -> None:
    of = fraud(task="anomaly", outputs=(TensorSpec("score", "FP32", (-1,)), TensorSpec("label", "INT64", (-1,))))
    world.push(of)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert world.report(checked["path"])["estimate"] is None


def test_the_quality_report_is_kept(world: World, fraud: Make) -> None:
    of = fraud()
    world.push(of)
    labelled(world, of, right=True)
    found = world.watch.quality("fraud", NOW, days=7)
    assert found["versions"][0]["metrics"]["accuracy"]["value"] == 1.0
    assert (found["since"], found["champion"]) == ("2026-03-07T15:00:00.000Z", 1)
    assert world.report(found["path"]) == json.loads(orjson.dumps(found))


def test_no_report_holds_nan(world: World, fraud: Make) -> None:
    world.push(fraud())
    nothing = {"amount": np.full(50, np.nan, np.float32), "country": np.array([""] * 50, object)}
    profile = Profile.of(world.layout(fraud(), 1), nothing, {})
    ProfileStore(world.data).write("fraud", 1, NOW - HOUR, "empty", profile)
    (checked,) = world.watch.tick(NOW)["checked"]
    assert checked["verdict"] == "drifted", "everything is missing now"
    paths = list(world.data.list("reports"))
    assert len(paths) == 3
    assert not [path for path in paths if b"NaN" in world.data.get(path).data]


def test_how_strict_it_is_the_spec_says(world: World) -> None:
    strict, lax = (spec(name=name, drift=Drift(every_hours=1, tolerance=t)) for name, t in (("a", 0.02), ("b", 0.9)))
    for of in (strict, lax):
        world.push(of)
        world.traffic(of, shift=1.0)
    verdicts: dict[str, Any] = {one["model"]: one["verdict"] for one in world.watch.tick(NOW)["checked"]}
    assert verdicts == {"a": "drifted", "b": "stable"}
