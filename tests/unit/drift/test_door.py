import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from functions.drift.door import Door, answerable
from lastmile.registry import Registry
from lastmile.spec import ModelSpec
from lastmile.store import Store
from tests.unit.drift.conftest import World
from tests.unit.watching import NOW

type Make = Callable[..., ModelSpec]

REPOSITORY = Path(__file__).parents[3]


def event(name: str) -> dict[str, Any]:
    return json.loads((REPOSITORY / f"events/drift-{name}.json").read_bytes())  # type: ignore[no-any-return]


@pytest.fixture
def door(world: World, fraud: Make) -> Door:
    world.push(fraud(name="digits"))
    world.traffic(fraud(name="digits"))
    return Door(world.watch, clock=lambda: NOW)


def test_the_recorded_schedule_checks_what_is_due(door: Door) -> None:
    found = door(event("schedule"), None)
    assert (found["at"], [one["model"] for one in found["checked"]]) == ("2026-03-14T15:07:31.000Z", ["digits"])
    assert door(event("schedule"), None)["checked"] == []


@pytest.mark.parametrize("tick", ["2026-03-14T15:00:00Z", "2026-03-14T16:00:00+01:00", "2026-03-14T15:00:00"])
def test_a_tick_can_be_given_by_hand_and_is_utc(door: Door, tick: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    time.tzset()
    try:
        found = door({"tick": tick}, None)
    finally:
        monkeypatch.undo()
        time.tzset()
    assert (found["at"], [one["verdict"] for one in found["checked"]]) == ("2026-03-14T15:00:00.000Z", ["stable"])


def test_the_recorded_question_is_answered_with_a_report(door: Door, world: World) -> None:
    found = door(event("question"), None)
    assert (found["model"], found["window"]["hours"], found["verdict"]) == ("digits", 24.0, "stable")
    assert world.data.exists(found["path"])
    assert world.data.exists(found["page"])


def test_the_recorded_question_for_quality_is_answered(door: Door) -> None:
    found = door(event("quality"), None)
    assert (found["model"], found["since"], found["versions"]) == ("digits", "2026-02-12T15:00:00.000Z", [])


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "'model' or 'tick' is missing"),
        ({"model": 3}, "'model' or 'tick' is missing"),
        ({"model": "nobody"}, "model 'nobody' does not exist"),
        ({"model": "../x"}, "model '../x' does not exist"),
        ({"model": "digits", "window": 3}, "'window' is unknown where 'model' is asked; there are model, window_hours"),
        ({"model": "digits", "days": 3}, "'days' is unknown where 'model' is asked"),
        ({"model": "digits", "quality": True, "window_hours": 3}, "'window_hours' is unknown where 'quality' is asked"),
        ({"tick": "2026-03-14T15:00:00Z", "model": "digits"}, "'model' is unknown where 'tick' is asked"),
        ({"model": "digits", "quality": "no"}, "'quality' must be true or false"),
        ({"model": "digits", "window_hours": 0}, "'window_hours' must be a number above 0 and at most 8784"),
        ({"model": "digits", "window_hours": "24"}, "'window_hours' must be a number"),
        ({"model": "digits", "window_hours": True}, "'window_hours' must be a number"),
        ({"model": "digits", "quality": True, "days": 1e9}, "'days' must be a number above 0 and at most 366"),
        ({"tick": "yesterday"}, "'tick' is 'yesterday', a time like"),
        ({"tick": "0001-01-01T00:00:00"}, "'tick' is '0001-01-01T00:00:00', a time like"),
        ({"tick": "2036-03-14T15:00:00Z"}, "'tick' is '2036-03-14T15:00:00Z', a time that has not come yet"),
    ],
)
def test_a_question_that_cannot_be_answered_gets_a_sentence(door: Door, asked: Any, said: str) -> None:
    answer = door(asked, None)
    assert answer.keys() == {"error"}
    assert said in answer["error"]


def test_an_answer_is_as_long_as_lambda_takes_and_the_report_has_all(
    door: Door, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("functions.drift.door.MOST_BYTES", 100)
    found = door(event("question"), None)
    whole = world.report(found["path"])
    assert found["notes"] == [*whole["notes"], f"This answer was too long to be given whole: see {found['path']}."]
    assert [one["labels"] for one in found["features"]] == [[]] * len(whole["features"])
    assert [one["verdict"] for one in found["features"]] == [one["verdict"] for one in whole["features"]]
    assert all(one["labels"] for one in whole["features"])


def test_days_of_groups_are_the_first_to_be_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    document = {
        "segments": [{"value": "DE", "days": ["day"] * 100}],
        "notes": [],
        "path": "reports/a.json",
        "task": "t",
    }
    assert answerable(document) == document
    monkeypatch.setattr("functions.drift.door.MOST_BYTES", 500)
    assert answerable(document) | {"notes": []} == document | {"segments": [{"value": "DE", "days": []}]}
    found = answerable({"quality": document, "features": [{"labels": ["a"]}], "notes": [], "path": "reports/b.json"})
    assert (found["quality"]["segments"], found["features"]) == ([{"value": "DE", "days": []}], [{"labels": ["a"]}])


def test_a_snapshot_is_left_with_stores_and_bus_connected_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hooks: list[Callable[[], None]] = []
    monkeypatch.setattr("functions.drift.door.register_after_restore", hooks.append)
    Door.open({"LASTMILE_ARTIFACTS": tmp_path.as_uri(), "LASTMILE_DATA": tmp_path.as_uri(), "LASTMILE_BUS": "default"})
    assert [hook.__qualname__.rpartition(".")[2] for hook in hooks] == ["reconnect"] * 3
    for hook in hooks:
        hook()


def test_the_handler_says_what_is_missing_before_anything_else() -> None:
    command = [sys.executable, "-c", "import functions.drift.handler"]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env={}, check=False)
    assert ended.returncode == 1
    assert ended.stderr.splitlines()[-1].endswith("missing environment variables: LASTMILE_ARTIFACTS, LASTMILE_DATA")


def run(question: str, environ: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "functions.drift", question]
    return subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, env=environ, check=False)


def test_in_a_data_centre_the_same_check_is_a_command(tmp_path: Path, fraud: Make) -> None:
    artifacts, data = ((tmp_path / name).as_uri() for name in ("artifacts", "data"))
    made = World(Registry(Store.open(artifacts, environ={})), Store.open(data, environ={}))
    made.push(fraud())
    made.traffic(fraud(), hours=2)
    environ = {"LASTMILE_ARTIFACTS": artifacts, "LASTMILE_DATA": data}
    done = run('{"tick": "2026-03-14T15:00:00Z"}', environ)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert [one["model"] for one in answer["checked"]] == ["fraud"]
    assert made.reports() == [answer["checked"][0]["path"]]
    wrong = run('{"model": "x"}', environ)
    assert (wrong.returncode, json.loads(wrong.stdout)) == (1, {"error": "model 'x' does not exist"})


@pytest.mark.parametrize("question", ["{model: fraud}", "[1]", "fraud"])
def test_a_question_that_is_no_object_is_said_so(question: str) -> None:
    ended = run(question, {})
    assert (ended.returncode, ended.stdout) == (2, "")
    assert ended.stderr.startswith(f"{question} is no question: a JSON object is wanted, like ")
