"""Zendesk: webhooks that are subscribed to ticket events.

https://developer.zendesk.com/api-reference/webhooks/event-types/ticket-events/
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from functions.chat.message import Incoming, Malformed, Received, needed, optional, text_of

EVENT = "zen:event-type:ticket."
OURS = "lastmile"  # the tag of every ticket that we opened or moved, beside `queue-…`
ORIGINS = ("slack:", "teams:", "discord:", "telegram:", "standard:")

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    match str(needed(document, "type")).removeprefix(EVENT):
        case "created":
            if OURS in _tags(document):
                return Received()  # a conversation elsewhere, of which we made it
            return _said(document, needed(document, "detail", "description"), None)
        case "comment_added":
            comment = needed(document, "event", "comment")
            if comment.get("is_public") is False or optional(comment, "author", "is_staff"):
                return Received()  # between agents, or our own answer
            return _said(document, comment.get("body"), comment)
        case "group_assignment_changed":
            return _rerouted(document)
        case _:
            return Received()


def _said(document: Document, text: object, comment: Document | None) -> Received:
    ticket = str(needed(document, "detail", "id"))
    subject = str(optional(document, "detail", "subject") or "") if comment is None else ""
    said, cut = text_of("\n".join(filter(None, (subject, str(text or "")))))
    author = optional(comment or {}, "author", "id") or optional(document, "detail", "requester_id")
    files = (comment or {}).get("attachments") or ()
    return Received(
        messages=(
            Incoming(
                platform="zendesk",
                event_id=str(needed(document, "id")),
                conversation=f"zendesk:{needed(document, 'account_id')}:{ticket}",
                kind="message",
                user=f"{document['account_id']}:{author}",
                text=said,
                cut=cut,
                at=_time(needed(document, "time")),
                attachments=tuple(str(file.get("filename")) for file in files),
                reply={"ticket": ticket},
            ),
        )
    )


def _rerouted(document: Document) -> Received:
    """An agent moved the ticket to another group: what the model should have said.

    A ticket of a conversation elsewhere bears its name. `queue` is where we moved it: we hear of that too.
    """
    ticket = str(needed(document, "detail", "id"))
    account = needed(document, "account_id")
    origin = str(optional(document, "detail", "external_id") or "")
    queue = next((tag.removeprefix("queue-") for tag in _tags(document) if tag.startswith("queue-")), None)
    return Received(
        messages=(
            Incoming(
                platform="zendesk",
                event_id=str(needed(document, "id")),
                conversation=origin if origin.startswith(ORIGINS) else f"zendesk:{account}:{ticket}",
                kind="rerouted",
                user=f"{account}:{optional(document, 'detail', 'actor_id') or ''}",
                text="",
                at=_time(needed(document, "time")),
                value=str(needed(document, "event", "current")),
                about=ticket,
                reply={"ticket": ticket, "queue": queue},
            ),
        )
    )


def _tags(document: Document) -> list[str]:
    return [str(tag) for tag in optional(document, "detail", "tags") or ()]


def _time(text: object) -> float:
    try:
        return datetime.fromisoformat(str(text)).timestamp()
    except (ValueError, OverflowError):
        raise Malformed("time is no time") from None
