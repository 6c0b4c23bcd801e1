"""Slack: the Events API, interactive components and slash commands.

https://docs.slack.dev/apis/events-api, https://docs.slack.dev/interactivity, https://docs.slack.dev/interactivity/implementing-slash-commands
"""

import html
import re
from collections.abc import Mapping
from typing import Any

import orjson

from functions.chat.message import Answer, Incoming, Malformed, Received, needed, optional, seconds, text_of

# No "<" within: people's own are escaped, and what is never closed would be looked through from each of its starts.
MENTION = re.compile(r"<@[A-Z0-9]+(?:\|[^<>]*)?>")
LINK = re.compile(r"<(?:https?://|mailto:)[^|<>]*\|([^<>]*)>|<((?:https?://|mailto:)[^<>]*)>")
SPOKEN = (None, "file_share", "thread_broadcast")  # subtypes of a person's own message

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    if "payload" in document:
        return _interaction(_json(document["payload"]))
    if "command" in document:
        return Received(messages=(_command(document),))
    match document.get("type"):
        case "url_verification":
            return Received(Answer({"challenge": needed(document, "challenge")}))
        case "event_callback":
            return _event(document, needed(document, "event"))
        case _:
            return Received()


def _event(document: Document, event: Document) -> Received:
    match event.get("type"):
        case "message" | "app_mention":
            return _message(document, event)
        case "reaction_added":
            return Received(messages=(_reaction(document, event),))
        case _:
            return Received()


def _message(document: Document, event: Document) -> Received:
    """A mention arrives as `message` and as `app_mention`: both bear the same channel and ts, and so the same id."""
    kind = event.get("subtype")
    said = needed(event, "message") if kind == "message_changed" else event
    if kind not in (*SPOKEN, "message_changed") or said.get("bot_id") or not said.get("user"):
        return Received()
    if kind == "message_changed" and said.get("subtype") not in SPOKEN:
        return Received()  # a tombstone, which stands for the deleted first message of a thread
    if kind == "message_changed" and said.get("text") == optional(event, "previous_message", "text"):
        return Received()  # a link was unfolded, a reply was counted
    team, channel, ts = needed(document, "team_id"), needed(event, "channel"), needed(said, "ts")
    text, cut = text_of(_plain(said.get("text") or ""))
    edited = optional(said, "edited", "ts") if kind == "message_changed" else None
    thread = said.get("thread_ts") or (None if event.get("channel_type") == "im" else ts)
    return Received(
        messages=(
            Incoming(
                platform="slack",
                event_id=":".join(filter(None, (team, channel, ts, edited))),
                conversation=":".join(filter(None, ("slack", team, channel, thread))),
                kind="edit" if edited else "message",
                user=f"{team}:{said['user']}",
                text=text,
                cut=cut,
                at=seconds(edited or ts),
                about=ts if edited else None,
                attachments=tuple(
                    str(file.get("name") or file.get("mimetype") or "file") for file in said.get("files") or ()
                ),
                reply={"channel": channel, "thread_ts": thread},
            ),
        )
    )


def _reaction(document: Document, event: Document) -> Incoming:
    """Of the thread of its message; Slack does not say which one a message within a thread is in."""
    team, channel, about = needed(document, "team_id"), needed(event, "item", "channel"), needed(event, "item", "ts")
    thread = None if _is_direct(channel) else about
    return Incoming(
        platform="slack",
        event_id=needed(document, "event_id"),
        conversation=":".join(filter(None, ("slack", team, channel, thread))),
        kind="reaction",
        user=f"{team}:{needed(event, 'user')}",
        text="",
        at=seconds(needed(event, "event_ts")),
        value=needed(event, "reaction"),
        about=about,
        reply={"channel": channel},
    )


def _interaction(payload: Document) -> Received:
    match payload.get("type"):
        case "block_actions":
            return _pressed(payload)
        case "view_submission":
            return Received(messages=(_submitted(payload),))
        case _:
            return Received()


def _pressed(payload: Document) -> Received:
    """What stands in a field of the same message comes with the button."""
    team, channel = needed(payload, "team", "id"), needed(payload, "channel", "id")
    message = payload.get("message") or {}
    thread = message.get("thread_ts") or (None if _is_direct(channel) else message.get("ts"))
    trigger = needed(payload, "trigger_id")
    text, cut = _typed(payload.get("state"))
    return Received(
        messages=tuple(
            Incoming(
                platform="slack",
                event_id=f"{trigger}:{needed(action, 'action_id')}",
                conversation=":".join(filter(None, ("slack", team, channel, thread))),
                kind="button",
                user=f"{team}:{needed(payload, 'user', 'id')}",
                text=text,
                cut=cut,
                at=seconds(needed(action, "action_ts")),
                value=f"{action['action_id']}:{action.get('value') or ''}",
                about=message.get("ts"),
                reply={
                    "channel": channel,
                    "thread_ts": thread,
                    "response_url": payload.get("response_url"),
                    "trigger_id": trigger,
                },
            )
            for action in payload.get("actions") or ()
            if action.get("type", "button") == "button"
        )
    )


def _submitted(payload: Document) -> Incoming:
    """A form that a button has opened: its metadata says which, and where that was."""
    view = needed(payload, "view")
    about = _json(needed(view, "private_metadata"))
    team, channel = needed(payload, "team", "id"), needed(about, "channel")
    text, cut = _typed(view.get("state"))
    return Incoming(
        platform="slack",
        event_id=f"{needed(view, 'id')}:{view.get('hash') or ''}",
        conversation=":".join(filter(None, ("slack", team, channel, about.get("thread_ts")))),
        kind="button",
        user=f"{team}:{needed(payload, 'user', 'id')}",
        text=text,
        cut=cut,
        at=seconds(str(about.get("at") or 0)),
        value=str(needed(about, "value")),
        about=about.get("thread_ts"),
        reply={name: about.get(name) for name in ("channel", "thread_ts", "response_url")},
    )


def _typed(state: object) -> tuple[str, bool]:
    """The texts in the fields of a message or a form."""
    blocks = (optional({"state": state}, "state", "values") or {}).values()
    fields = [field for block in blocks for field in block.values() if field.get("type") == "plain_text_input"]
    return text_of(" ".join(str(field.get("value") or "") for field in fields))


def _command(form: Document) -> Incoming:
    team, channel = needed(form, "team_id"), needed(form, "channel_id")
    text, cut = text_of(form.get("text"))
    return Incoming(
        platform="slack",
        event_id=needed(form, "trigger_id"),
        conversation=f"slack:{team}:{channel}",
        kind="command",
        user=f"{team}:{needed(form, 'user_id')}",
        text=text,
        cut=cut,
        at=seconds(str(form["trigger_id"]).split(".")[0][:10]) if form["trigger_id"][:1].isdigit() else 0.0,
        value=needed(form, "command"),
        reply={"channel": channel, "response_url": form.get("response_url")},
    )


def _is_direct(channel: object) -> bool:
    """Between one person and us, where all that is not in a thread is one conversation."""
    return str(channel).startswith("D")


def _plain(text: str) -> str:
    """Slack's markup as people read it."""
    return html.unescape(LINK.sub(lambda link: link[1] or link[2], MENTION.sub("", text)))


def _json(text: object) -> Document:
    try:
        document = orjson.loads(str(text))
    except orjson.JSONDecodeError:
        raise Malformed("payload is not JSON") from None
    if not isinstance(document, dict):
        raise Malformed("payload is no object")
    return document
