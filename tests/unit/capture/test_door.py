import json
import subprocess
import sys
from pathlib import Path

import pytest

from functions.capture.delivery import InvalidDelivery
from lastmile.bus import EventRefused
from tests.unit.capture.conftest import World, recorded

CHECKOUT = Path(__file__).parents[3]


def test_a_delivery_becomes_captures_a_profile_a_review_and_what_is_put_aside(world: World) -> None:
    said = world.door(recorded("logs"), None)
    assert said == {"captures": 2, "quarantined": 1, "others": 0, "reviews": 1}
    assert [path.rpartition("/")[0] for path in world.paths()] == [
        "captures/model=digits/dt=2026-11-30/hour=00",
        "profiles/model=digits/version=1/dt=2026-11-30/hour=00",
        "quarantine/captures/dt=2026-11-30",
    ]
    figures, of_digits = map(json.loads, world.lines)
    assert (of_digits["model"], of_digits["Predictions"]) == ("digits", 2)
    assert (figures["stage"], figures["Captures"], figures["QuarantinedCaptures"], figures["Reviews"]) == (
        "dev",
        2,
        1,
        1,
    )


def test_the_same_delivery_again_writes_the_same_objects_and_the_same_event_ids(world: World) -> None:
    world.door(recorded("logs"), None)
    before = {path: world.data.get(path).data for path in world.paths()}
    world.door(recorded("logs"), None)
    assert {path: world.data.get(path).data for path in world.paths()} == before
    first, second = world.bus.details
    assert first == second
    assert first["id"] == f"{first['prediction_id']}-0"


def test_captures_are_kept_before_anybody_hears_of_a_review(world: World) -> None:
    world.bus.refuses = set(range(100))
    with pytest.raises(EventRefused, match="InternalFailure, try again"):
        world.door(recorded("logs"), None)
    assert len(world.paths()) == 3


def test_the_control_message_is_answered(world: World) -> None:
    assert world.door(recorded("control"), None) == {"captures": 0, "quarantined": 0, "others": 0, "reviews": 0}
    assert world.paths() == []


def test_what_is_no_delivery_is_refused(world: World) -> None:
    with pytest.raises(InvalidDelivery):
        world.door({"Records": []}, None)


def test_the_handler_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    script = (
        "import sys; from functions.capture.handler import handler; import json;"
        "print(handler(json.load(open('events/capture-control.json')), None));"
        "print(sorted({'boto3', 'onnxruntime', 'pydantic', 'fastapi', 'aws_lambda_powertools'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"LASTMILE_ARTIFACTS": tmp_path.as_uri(), "LASTMILE_DATA": tmp_path.as_uri(), "PYTHONWARNINGS": "error"},
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"
