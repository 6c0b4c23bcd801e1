"""A label for one row of a prediction, and which of several counts."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime

import orjson

from lastmile.ulid import ulid_milliseconds

type Label = str | int | float | list[str]


@dataclass(frozen=True, slots=True)
class Feedback:
    """What was right for one row of a prediction. `time` says when that became known, `received` when it was sent here;
    both in seconds since 1970. `groups` are the row's values of sensitive columns that the model is not given."""

    model: str
    prediction_id: str
    row: int
    label: Label
    source: str
    time: float
    received: float
    groups: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def predicted_at(self) -> float:
        return ulid_milliseconds(self.prediction_id) / 1e3

    @property
    def subject(self) -> tuple[str, int]:
        return self.prediction_id, self.row

    @property
    def path(self) -> str:
        """The same for the same content; `received` is no part of that."""
        content = {key: value for key, value in asdict(self).items() if key != "received" and value != {}}
        digest = hashlib.sha256(orjson.dumps(content, option=orjson.OPT_SORT_KEYS)).hexdigest()[:16]
        return f"{folder(self.model, day(self.predicted_at))}/{self.prediction_id}-{digest}.json"


def day(at: float) -> date:
    return datetime.fromtimestamp(at, UTC).date()


def folder(model: str, of: date) -> str:
    return f"feedback/model={model}/dt={of.isoformat()}"


def from_bytes(data: bytes) -> Feedback | None:
    try:
        feedback = Feedback(**orjson.loads(data))
        ulid_milliseconds(feedback.prediction_id)
    except (TypeError, ValueError):
        return None
    return feedback


def latest(feedback: Iterable[Feedback]) -> tuple[dict[tuple[str, int], Feedback], int]:
    """By prediction and row the feedback that counts, and how much was overruled: the later `time` wins, and of one
    time the one that was received later."""
    kept: dict[tuple[str, int], Feedback] = {}
    total = 0
    for one in feedback:
        total += 1
        other = kept.get(one.subject)
        if other is None or (one.time, one.received, str(one.label)) > (other.time, other.received, str(other.label)):
            kept[one.subject] = one
    return kept, total - len(kept)
