"""Decisions that want a person, as the details of events."""

from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from lastmile.bus import LONGEST_DETAIL
from lastmile.capture import Record

KIND = "DecisionReview"

type Detail = dict[str, Any]


def reviews(records: Iterable[Record]) -> Iterator[Detail]:
    """One per row that wants a person. `id` is the same whenever the record is seen: by it a listener knows an event
    again. Reasons that are too long for an event are left out; the captures hold them."""
    for record in records:
        for decision in record.decisions:
            if decision.get("review") is True and record.role != "shadow":
                detail = {
                    "id": f"{record.id}-{decision['row']}",
                    "prediction_id": record.id,
                    "row": decision["row"],
                    "model": record.model,
                    "version": record.version,
                    "decision": decision["decision"],
                    "reasons": decision.get("reasons", []),
                    "at": record.at,
                }
                yield detail if len(orjson.dumps(detail)) <= LONGEST_DETAIL else {**detail, "reasons": []}
