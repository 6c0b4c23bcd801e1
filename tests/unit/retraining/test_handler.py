"""The recorded events, through the function as Lambda imports it."""

import json
from pathlib import Path
from typing import Any

import pytest

from functions.retraining.door import Door
from functions.retraining.environment import Environment
from lastmile.errors import MissingSettings
from lastmile.settings import InvalidSetting
from lastmile.store import Store
from tests.unit.retraining.pipelines import Place

EVENTS = Path(__file__).parents[3] / "events"


def recorded(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((EVENTS / f"retraining-{name}.json").read_bytes())
    return document


def test_the_environment_names_all_that_is_missing() -> None:
    with pytest.raises(MissingSettings, match="LASTMILE_ARTIFACTS, LASTMILE_DATA"):
        Environment.from_env({})
    places = {"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"}
    found = Environment.from_env(places | {"LASTMILE_LARGEST_MB": "7", "LASTMILE_CODE": '{"commit": "4f2a"}'})
    assert (found.largest_mb, found.code) == (7, {"commit": "4f2a"})
    for name, text in (("LARGEST_MB", "abc"), ("LARGEST_MB", "0"), ("LARGEST_MB", "-1"), ("TRAINING_JOBS", "true")):
        with pytest.raises(InvalidSetting, match=f"LASTMILE_{name} is '{text}'"):
            Environment.from_env(places | {f"LASTMILE_{name}": text})


def test_an_upload_that_is_gone_is_no_run() -> None:
    door = Door.open({"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"})
    assert door(recorded("upload"))["outcome"] == "end"


def test_the_event_of_an_upload_begins_a_run() -> None:
    place = Place()
    place.data.put("training/tickets/may.csv", b"a\n1\n")
    event = recorded("upload")
    del event["run"]["object"]["version-id"]  # a store in memory keeps none, and the local AWS tells none
    answer = place.door()(event)
    assert answer["outcome"] == "refused"
    assert answer["run"]["model"] == "tickets"
    assert answer["run"]["execution"] == event["execution"]


def test_the_event_of_a_stopped_execution_ends_its_run() -> None:
    place = Place()
    place.data.put("training/fraud/may.csv", b"a\n1\n")
    event = recorded("aborted")
    door = place.door()
    claimed = door(
        {"step": "claim", "execution": event["detail"]["executionArn"], **json.loads(event["detail"]["input"])}
    )
    assert claimed["outcome"] == "done"
    assert door(event) == {}
    run = door.desk.runs.read("fraud", claimed["run"]["id"])[0]
    assert run.state == "failed"
    assert door.desk.leases.read("fraud").run is None


def test_stores_are_reached_anew_after_a_snapshot() -> None:
    door = Door.open({"LASTMILE_ARTIFACTS": "memory://", "LASTMILE_DATA": "memory://"})
    assert len(door.desk.reconnects) == 4
    for reconnect in door.desk.reconnects:
        reconnect()
    assert isinstance(door.desk.data, Store)
