"""Microsoft Teams: outgoing webhooks, which reach us when somebody mentions the webhook's name in a channel.

https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook. The answer to
the request is the only reply that Teams offers there: it says that the message has arrived, and what the assistant
says follows through the channel's incoming webhook. Edits and buttons reach bots alone, and come as `messageUpdate` and
`invoke` where the address belongs to one.
"""

import html
import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from functions.chat.message import Answer, Incoming, Malformed, Received, needed, optional, text_of

MENTION = re.compile(r"<at[^<>]*>[^<>]{0,500}</at>")
TAG = re.compile(r"<[^>]{0,500}>")
HEARD = Answer({"type": "message", "text": "Thank you, I am looking into it."})
KINDS = {"message": "message", "messageUpdate": "edit", "invoke": "button"}

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    kind = KINDS.get(needed(document, "type"))
    sender = document.get("from") or {}
    if kind is None or sender.get("role") == "bot":
        return Received(Answer({"type": "message", "text": ""}))
    conversation = str(needed(document, "conversation", "id"))
    tenant = optional(document, "channelData", "tenant", "id") or optional(document, "conversation", "tenantId")
    pressed = document.get("value") if kind == "button" or not document.get("text") else None
    text, cut = text_of(html.unescape(TAG.sub(" ", MENTION.sub("", str(document.get("text") or "")))))
    at = _time(needed(document, "timestamp"))
    identity = str(needed(document, "id"))
    return Received(
        HEARD,
        (
            Incoming(
                platform="teams",
                event_id=f"{identity}:{at:.3f}" if kind == "edit" else identity,
                conversation=f"teams:{conversation}",
                kind="button" if pressed is not None else "edit" if kind == "edit" else "message",
                user=":".join(filter(None, (tenant, str(sender.get("aadObjectId") or needed(sender, "id"))))),
                text=" ".join(text.split(" ")).strip(),
                cut=cut,
                at=at,
                value=None if pressed is None else str(optional(pressed, "action") or pressed),
                about=document.get("replyToId") or (identity if kind == "edit" else None),
                attachments=tuple(
                    str(file.get("name") or file.get("contentType"))
                    for file in document.get("attachments") or ()
                    if file.get("contentType") != "text/html"  # the message itself, once more
                ),
                reply={"service_url": document.get("serviceUrl"), "conversation": conversation, "activity": identity},
            ),
        ),
    )


def _time(text: object) -> float:
    """ISO 8601, with seven digits of a second at times."""
    try:
        return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", str(text))).timestamp()
    except (ValueError, OverflowError):
        raise Malformed("timestamp is no time") from None
