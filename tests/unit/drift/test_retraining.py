import io
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from arro3.core import Table
from arro3.io import read_parquet

from lastmile.feedback import Feedback, write
from lastmile.policies import Retrain, Training
from lastmile.spec import ModelSpec
from tests.unit.drift.conftest import World
from tests.unit.watching import HOUR, NOW, predicted, store_captures

type Make = Callable[..., ModelSpec]

TRAINING = Training(recipe="tabular", target="is_fraud")
RECORD = "reports/fraud/retrain.json"


def labelled(world: World, of: ModelSpec, count: int, *, at: float = NOW - HOUR, known: float | None = None) -> None:
    prediction_id, line = predicted(np.arange(count) % 10, ["DE"] * count, at=at, of=of)
    store_captures(world.data, [line], at=at, batch=prediction_id)
    when = at + 60 if known is None else known
    write(world.data, [Feedback("fraud", prediction_id, row, row % 2, "r", when, when) for row in range(count)])


def drifting(world: World, of: ModelSpec) -> None:
    world.push(of)
    world.traffic(of, shift=3.0, until=NOW + 6 * HOUR, hours=30)


def tick(world: World, hours: float = 0) -> dict[str, Any]:
    (checked,) = world.watch.tick(NOW + hours * HOUR)["checked"]
    retrain: dict[str, Any] = checked["retrain"]
    return retrain


def uploads(world: World) -> list[str]:
    return sorted(world.data.list("training"))


def learnable(world: World, path: str) -> Table:
    return read_parquet(io.BytesIO(world.data.get(path).data)).read_all()


def test_a_spec_that_asks_for_nothing_gets_nothing(world: World, fraud: Make) -> None:
    drifting(world, fraud())
    assert tick(world) == {"started": False, "cause": None, "sentence": "The spec asks for no training by itself."}
    assert world.bus.kinds() == ["DriftDetected"]


def test_drift_starts_training_once_and_then_cools_down(world: World, fraud: Make) -> None:
    drifting(world, fraud(retrain=Retrain(on_drift=True, cooldown_hours=4)))
    world.data.put("training/fraud/2025.csv", b"older")
    world.data.put("training/fraud/2026.csv.gz", b"newer")
    first = tick(world)
    assert (first["started"], first["cause"]) == (True, "drift")
    assert "amount" in first["sentence"]
    for hours in (1, 2, 3):
        assert tick(world, hours)["sentence"].startswith("Cooling down until 2026-03-14T19:00")
    assert world.bus.kinds().count("RetrainWanted") == 1
    assert tick(world, 4)["started"], "it drifts on, and the cool-down is over"
    wanted = [detail for kind, detail in world.bus.heard if kind == "RetrainWanted"]
    assert [detail["id"] for detail in wanted] == ["fraud-20260314T150000Z", "fraud-20260314T190000Z"]
    assert wanted[0] | {"reason": ""} == {
        "id": "fraud-20260314T150000Z",
        "model": "fraud",
        "reason": "",
        "cause": "drift",
        "upload": "training/fraud/again-20260314T150000Z.csv.gz",
    }
    assert uploads(world) == [
        "training/fraud/2025.csv",
        "training/fraud/2026.csv.gz",
        "training/fraud/again-20260314T150000Z.csv.gz",
        "training/fraud/again-20260314T190000Z.csv.gz",
    ]
    assert world.data.get("training/fraud/again-20260314T190000Z.csv.gz").data == b"newer"


def test_what_is_no_upload_is_not_learned_from_once_more(world: World, fraud: Make) -> None:
    drifting(world, fraud(retrain=Retrain(on_drift=True)))
    for name in ("2026.csv", "notes.txt", "old.parquet.gz"):
        world.data.put(f"training/fraud/{name}", b"rows")
    assert tick(world)["started"]
    assert [path for path in uploads(world) if "again-" in path] == ["training/fraud/again-20260314T150000Z.csv"]


@pytest.mark.parametrize("rows", [True, False])
def test_an_upload_that_is_gone_before_it_is_used_keeps_no_later_check_from_its_work(
    world: World, fraud: Make, rows: bool
) -> None:
    drifting(world, fraud(training=TRAINING, retrain=Retrain(on_drift=True, cooldown_hours=4)))
    pending = {"upload": "training/fraud/again.csv", "copy": "training/fraud/gone.csv", "rows": rows}
    pending |= {"since": 0, "until": NOW, "event": {"id": "a"}}
    world.data.put(RECORD, json.dumps({"at": NOW - HOUR, "feedback_until": 0, "pending": pending}).encode())
    assert tick(world)["sentence"].startswith("Cooling down")
    assert uploads(world) == []
    assert ("RetrainWanted", {"id": "a", "upload": None}) in world.bus.heard


def test_drift_without_an_upload_to_learn_from_says_so(world: World, fraud: Make) -> None:
    drifting(world, fraud(retrain=Retrain(on_drift=True)))
    assert tick(world)["sentence"].endswith("There is no upload to learn from: the event alone says so.")
    assert (uploads(world), sorted(world.bus.kinds())) == ([], ["DriftDetected", "RetrainWanted"])


def test_stable_traffic_starts_nothing(world: World, fraud: Make) -> None:
    of = fraud(retrain=Retrain(on_drift=True))
    world.push(of)
    world.traffic(of)
    assert tick(world) == {"started": False, "cause": None, "sentence": "Nothing has drifted."}


def test_ticks_at_the_same_time_start_one_run(world: World, fraud: Make) -> None:
    drifting(world, fraud(retrain=Retrain(on_drift=True)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda _: world.watch.tick(NOW), range(4)))
    assert len({detail["id"] for kind, detail in world.bus.heard if kind == "RetrainWanted"}) == 1


def test_a_start_that_was_decided_and_not_told_is_told_later(world: World, fraud: Make) -> None:
    drifting(world, fraud(retrain=Retrain(on_drift=True)))
    world.bus.failing = 1
    world.watch.tick(NOW)
    assert json.loads(world.data.get(RECORD).data)["pending"] is not None
    assert world.bus.kinds() == []
    world.watch.tick(NOW + HOUR)
    assert sorted(world.bus.kinds()) == ["DriftDetected", "RetrainWanted"]
    assert json.loads(world.data.get(RECORD).data)["pending"] is None


def test_enough_new_labels_become_training_rows_once(world: World, fraud: Make) -> None:
    of = fraud(training=TRAINING, retrain=Retrain(feedback_rows=50, cooldown_hours=0))
    world.push(of)
    world.traffic(of)
    labelled(world, of, 30)
    assert tick(world)["sentence"] == "30 of 50 new labelled rows are there."
    labelled(world, of, 20, at=NOW - 2 * HOUR)
    second = tick(world, 1)
    assert (second["started"], second["cause"]) == (True, "feedback")
    (path,) = uploads(world)
    assert path == "training/fraud/feedback-20260314T160000Z.parquet"
    rows = learnable(world, path)
    assert rows.num_rows == 50
    assert rows.column_names == ["amount", "country", "is_fraud"]
    assert tick(world, 2)["sentence"] == "0 of 50 new labelled rows are there."
    labelled(world, of, 50, known=NOW + 2.5 * HOUR)
    assert tick(world, 3)["started"]
    assert [learnable(world, path).num_rows for path in uploads(world)] == [50, 50]
    uploaded = [detail["upload"] for kind, detail in world.bus.heard if kind == "RetrainWanted"]
    assert uploaded == uploads(world), "the upload itself starts the run; the event says which"


def test_an_upload_that_was_decided_and_not_written_is_written_later(
    world: World, fraud: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    of = fraud(training=TRAINING, retrain=Retrain(feedback_rows=10))
    world.push(of)
    labelled(world, of, 10)
    create = world.data.create

    def dies(path: str, data: bytes) -> str:
        if path.startswith("training/"):
            raise KeyboardInterrupt
        return create(path, data)

    monkeypatch.setattr(world.data, "create", dies)
    with pytest.raises(KeyboardInterrupt):
        world.watch.tick(NOW)
    monkeypatch.undo()
    labelled(world, of, 5, known=NOW + HOUR / 2)
    world.watch.tick(NOW + HOUR)
    (path,) = uploads(world)
    assert learnable(world, path).num_rows == 10, "as was decided, without what came later"


def test_drift_with_too_few_labels_trains_on_the_newest_upload(world: World, fraud: Make) -> None:
    of = fraud(training=TRAINING, retrain=Retrain(on_drift=True, feedback_rows=50))
    drifting(world, of)
    labelled(world, of, 5)
    assert tick(world)["cause"] == "drift"
    assert uploads(world) == []
    assert "RetrainWanted" in world.bus.kinds()


def test_labels_cannot_train_without_a_target(world: World, fraud: Make) -> None:
    of = fraud(retrain=Retrain(feedback_rows=1))
    world.push(of)
    labelled(world, of, 5)
    assert tick(world)["sentence"] == "Feedback starts nothing: the spec has no [training] with a target."


def test_answers_of_a_shadow_are_no_training_rows(world: World, fraud: Make) -> None:
    of = fraud(training=TRAINING, retrain=Retrain(feedback_rows=1))
    world.push(of)
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW - HOUR, of=of, role="shadow")
    store_captures(world.data, [line], at=NOW - HOUR)
    write(world.data, [Feedback("fraud", prediction_id, 0, 1, "r", NOW, NOW)])
    assert tick(world)["started"] is False


def test_labels_of_another_kind_than_the_answers_are_no_training_rows(world: World, fraud: Make) -> None:
    of = fraud(training=TRAINING, retrain=Retrain(feedback_rows=10))
    world.push(of)
    labelled(world, of, 9)
    prediction_id, line = predicted(np.array([1]), ["DE"], at=NOW - HOUR, of=of)
    store_captures(world.data, [line], at=NOW - HOUR, batch=prediction_id)
    write(world.data, [Feedback("fraud", prediction_id, 0, "yes", "r", NOW, NOW)])
    assert tick(world)["sentence"] == "9 of 10 new labelled rows are there."
