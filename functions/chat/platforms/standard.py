"""Anything else that signs by Standard Webhooks (https://www.standardwebhooks.com): `{"type", "timestamp", "data"}`.

`type` is `message.created`, `message.updated`, `button.pressed` or `message.rated`; `data` holds `id`, `conversation`,
`user`, and as they apply `text`, `value`, `about`, `attachments` (names) and `reply_url`.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from functions.chat.message import Incoming, Kind, Malformed, Received, needed, text_of

KINDS: dict[str, Kind] = {
    "message.created": "message",
    "message.updated": "edit",
    "button.pressed": "button",
    "message.rated": "reaction",
}

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    kind = KINDS.get(str(needed(document, "type")))
    data = needed(document, "data")
    if kind is None or data.get("bot") is True:
        return Received()
    text, cut = text_of(data.get("text"))
    identity = str(needed(data, "id"))
    return Received(
        messages=(
            Incoming(
                platform="standard",
                event_id=headers["webhook-id"],  # the specification's own key against repetition
                conversation=f"standard:{needed(data, 'conversation')}",
                kind=kind,
                user=str(needed(data, "user")),
                text=text,
                cut=cut,
                at=_time(needed(document, "timestamp")),
                value=None if kind in ("message", "edit") else str(needed(data, "value")),
                about=str(data["about"]) if data.get("about") else identity if kind == "edit" else None,
                attachments=tuple(map(str, data.get("attachments") or ())),
                reply={"url": data.get("reply_url"), "message": identity},
            ),
        )
    )


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        raise Malformed("timestamp is no time") from None
