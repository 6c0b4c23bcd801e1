"""Telegram: updates of a bot. https://core.telegram.org/bots/api#update"""

from collections.abc import Mapping
from typing import Any

from functions.chat.message import Incoming, Received, needed, optional, seconds, text_of

FILES = ("document", "photo", "voice", "video", "audio", "sticker", "animation", "video_note")
THINGS = ("contact", "location", "venue", "poll", "story", "paid_media")  # what people send beside texts and files
COMMAND = "/lastmile"
START, HELLO = "/start", "Hello"  # the button with which each conversation with a bot begins, and what it means

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    update = str(needed(document, "update_id"))
    for key in ("message", "edited_message"):
        if message := document.get(key):
            return _message(update, message, edited=key == "edited_message")
    if query := document.get("callback_query"):
        return Received(messages=(_button(update, query),))
    if reaction := document.get("message_reaction"):
        return _reaction(update, reaction)
    return Received()


def _message(update: str, message: Document, *, edited: bool) -> Received:
    sender = message.get("from") or {}
    if sender.get("is_bot") or not sender or message.get("is_automatic_forward"):  # of a channel's post to its group
        return Received()
    text, cut = text_of(message.get("text") or message.get("caption"))
    files = tuple(_name(kind, message[kind]) for kind in (*FILES, *THINGS) if message.get(kind))
    if not text and not files:
        return Received()  # somebody joined, something was pinned: nobody said anything
    first = text.split(maxsplit=1)[0].partition("@")[0] if text else ""
    command = first == COMMAND
    text = HELLO if first == START else text
    chat, thread = needed(message, "chat", "id"), _topic(message)
    return Received(
        messages=(
            Incoming(
                platform="telegram",
                event_id=update,
                conversation=_conversation(chat, thread),
                kind="edit" if edited else "command" if command else "message",
                user=str(needed(sender, "id")),
                text=" ".join(text.split()[1:]) if command and not edited else text,
                cut=cut,
                at=seconds(message.get("edit_date") if edited else needed(message, "date")),
                value=COMMAND if command and not edited else None,
                about=str(needed(message, "message_id")) if edited else None,
                attachments=files,
                reply={"chat_id": chat, "message_thread_id": thread, "message_id": message.get("message_id")},
            ),
        )
    )


def _button(update: str, query: Document) -> Incoming:
    message = query.get("message") or {}
    chat, thread = optional(message, "chat", "id"), _topic(message)
    return Incoming(
        platform="telegram",
        event_id=update,
        conversation=_conversation(chat or needed(query, "from", "id"), thread),
        kind="button",
        user=str(needed(query, "from", "id")),
        text="",
        at=seconds(message.get("date") or 0),
        value=str(query.get("data") or ""),
        about=str(message["message_id"]) if "message_id" in message else None,
        reply={"chat_id": chat, "message_thread_id": thread, "callback_query_id": needed(query, "id")},
    )


def _reaction(update: str, reaction: Document) -> Received:
    sender = reaction.get("user") or {}
    emoji = [str(each["emoji"]) for each in reaction.get("new_reaction") or () if "emoji" in each]
    if sender.get("is_bot") or not sender or not emoji:
        return Received()
    chat = needed(reaction, "chat", "id")
    return Received(
        messages=(
            Incoming(
                platform="telegram",
                event_id=update,
                conversation=_conversation(chat, None),
                kind="reaction",
                user=str(needed(sender, "id")),
                text="",
                at=seconds(needed(reaction, "date")),
                value=emoji[-1],
                about=str(needed(reaction, "message_id")),
                reply={"chat_id": chat},
            ),
        )
    )


def _topic(message: Document) -> Any:
    """A thread that messages may be sent to; answers in other groups have the id of one that may not be named."""
    return message.get("message_thread_id") if message.get("is_topic_message") else None


def _conversation(chat: object, thread: object) -> str:
    return f"telegram:{chat}" if thread is None else f"telegram:{chat}:{thread}"


def _name(kind: str, file: Any) -> str:
    return str(file.get("file_name") or kind) if isinstance(file, Mapping) else kind
