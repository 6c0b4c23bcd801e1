"""What operators are told: an event of the bus or an alarm, on its way to one platform."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

KINDS = ("ApprovalWanted", "DecisionReview", "DriftDetected", "RunFailed", "RunFinished")
ALARM = "Alarm"

type Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """`event_id` is the same when the event is delivered again. `kind` is for queue and records, `about` the event's
    own. Each stands for itself: events come in no order, and one that is not taken keeps no other from coming."""

    platform: str
    event_id: str
    about: str
    detail: dict[str, Any]
    kind: str = "notice"

    @property
    def conversation(self) -> str:
        return f"operations:{self.platform}:{self.event_id}"

    def to_bytes(self) -> bytes:
        return orjson.dumps(asdict(self))

    @classmethod
    def from_document(cls, document: Document) -> "Notice":
        return cls(**document)


def told(event: Document) -> list[tuple[str, dict[str, Any]]]:
    """The kinds and details in an event of the bus, or in alarms as SNS hands them over; raises ValueError, KeyError
    or TypeError for anything else."""
    if "detail-type" in event:
        kind = str(event["detail-type"])
        if event.get("source") != "lastmile" or kind not in KINDS:
            raise ValueError(f"nobody is told about {event.get('source')} {kind}"[:200])
        return [(kind, dict(event["detail"]))]
    return [(ALARM, _alarm(record["Sns"])) for record in event["Records"]]


def notice(platform: str, about: str, detail: dict[str, Any]) -> Notice:
    """Two events of one content are one event: who tells of it may do so twice."""
    content = orjson.dumps([about, detail], option=orjson.OPT_SORT_KEYS)
    return Notice(platform=platform, event_id=hashlib.sha256(content).hexdigest()[:32], about=about, detail=detail)


def _alarm(sent: Document) -> dict[str, Any]:
    """What CloudWatch says, https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-sns-schema.html, or
    what anybody else has published on the topic. An alarm of single models says which: several may ring at once."""
    try:
        said = orjson.loads(sent["Message"])
    except orjson.JSONDecodeError:
        said = None
    if not isinstance(said, dict) or "AlarmName" not in said:
        return {"id": sent["MessageId"], "name": str(sent.get("Subject") or "Alarm"), "text": str(sent["Message"])}
    return {
        "id": f"{said.get('AlarmArn')} {said.get('AlarmContributorId', '')} {said.get('StateChangeTime')}",
        "model": (said.get("AlarmContributorAttributes") or {}).get("model"),
        "name": said["AlarmName"],
        "text": said.get("AlarmDescription") or "",
        "state": said.get("NewStateValue"),
        "reason": said.get("NewStateReason") or "",
        "at": said.get("StateChangeTime"),
    }
