from typing import Any

import orjson

from functions.capture.reviews import reviews
from lastmile.bus import LONGEST_DETAIL
from lastmile.capture import MARKER, Record, read_line
from lastmile.ulid import new_ulid


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


def test_reasons_that_are_too_long_for_the_bus_stay_in_the_captures() -> None:
    (found,) = reviews([record(review(0, reasons=["x" * LONGEST_DETAIL]))])
    assert (found["row"], found["reasons"]) == (0, [])
