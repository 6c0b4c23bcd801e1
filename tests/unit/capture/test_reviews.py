import json
from typing import Any

import boto3
import orjson
import pytest
from moto import mock_aws

from functions.capture.reviews import LONGEST_DETAIL, ReviewNotAnnounced, Reviews, reviews
from lastmile.capture import MARKER, Record, read_line
from lastmile.ulid import new_ulid
from tests.unit.capture.conftest import Bus


def record(*decisions: dict[str, Any], role: str = "champion") -> Record:
    document = {
        "marker": MARKER,
        "id": new_ulid(),
        "at": 1.8e9,
        "model": "fraud",
        "version": 3,
        "role": role,
        "ms": 1.0,
        "rows": 2,
        "inputs": {},
        "outputs": {},
        "decisions": list(decisions),
    }
    return read_line(orjson.dumps(document))


def review(row: int, **more: Any) -> dict[str, Any]:
    return {"row": row, "decision": "review", "reasons": ["0.5 is near"], "review": True, **more}


def detail(number: int, **more: Any) -> dict[str, Any]:
    return {"id": f"{number}", "reasons": ["why"], **more}


def announcing(bus: Bus, pauses: list[float] | None = None) -> Reviews:
    kept = list[float]() if pauses is None else pauses
    return Reviews("default", connect=lambda: bus, pause=kept.append)


def test_each_row_that_wants_a_person_is_one() -> None:
    asked = record(review(0), {"row": 1, "decision": "allow"}, review(2), {"row": 3, "decision": "x", "review": False})
    found = list(reviews([asked, record(review(0), role="shadow"), record()]))
    assert [one["row"] for one in found] == [0, 2]
    assert found[0] == {
        "id": f"{asked.id}-0",
        "prediction_id": asked.id,
        "row": 0,
        "model": "fraud",
        "version": 3,
        "decision": "review",
        "reasons": ["0.5 is near"],
        "at": 1.8e9,
    }


def test_events_leave_ten_at_a_time() -> None:
    bus = Bus()
    assert announcing(bus).announce(detail(number) for number in range(23)) == 23
    assert bus.sizes == [10, 10, 3]
    assert [one["id"] for one in bus.details] == [str(number) for number in range(23)]
    entry = bus.taken[0]
    assert (entry["Source"], entry["DetailType"], entry["EventBusName"]) == ("lastmile", "DecisionReview", "default")


def test_what_is_refused_is_asked_again_and_nothing_else() -> None:
    bus, pauses = Bus(), list[float]()
    bus.refuses = {3, 7, 11}
    announcing(bus, pauses).announce(detail(number) for number in range(10))
    assert bus.sizes == [10, 2, 1]
    assert sorted(int(one["id"]) for one in bus.details) == list(range(10))
    assert pauses == [0.2, 0.4]


def test_a_bus_that_goes_on_refusing_is_an_error() -> None:
    bus = Bus()
    bus.refuses = set(range(100))
    with pytest.raises(ReviewNotAnnounced, match="2 events were refused 4 times: InternalFailure, try again"):
        announcing(bus).announce([detail(1), detail(2)])


def test_reasons_that_are_too_long_for_the_bus_stay_in_the_captures() -> None:
    bus = Bus()
    announcing(bus).announce([detail(1, reasons=["x" * LONGEST_DETAIL])])
    assert bus.details == [{"id": "1", "reasons": []}]


def test_without_a_bus_reviews_are_logged(capsys: pytest.CaptureFixture[str]) -> None:
    assert Reviews(None).announce([detail(1)]) == 1
    assert json.loads(capsys.readouterr().out) == {"event": "DecisionReview", "detail": detail(1)}


def test_no_review_asks_nobody() -> None:
    bus = Bus()
    assert announcing(bus).announce([]) == 0
    assert bus.sizes == []


@mock_aws
def test_eventbridge_takes_them(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    announcer = Reviews("default")
    assert announcer.announce([detail(number) for number in range(11)]) == 11
    announcer.reconnect()
    assert announcer.announce([detail(12)]) == 1
    boto3.DEFAULT_SESSION = None
