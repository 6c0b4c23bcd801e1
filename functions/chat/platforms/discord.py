"""Discord: interactions, the only way in which people's words reach a webhook there (others come by its gateway).

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from collections.abc import Mapping
from typing import Any

from functions.chat.message import Answer, Incoming, Received, needed, optional, text_of

PING, COMMAND, COMPONENT, MODAL = 1, 2, 3, 5
PONG, LATER, LATER_IN_PLACE = Answer({"type": 1}), Answer({"type": 5}), Answer({"type": 6})
EPOCH_MS = 1_420_070_400_000  # of a snowflake, the id that holds its time

type Document = Mapping[str, Any]


def receive(document: Document, headers: Mapping[str, str]) -> Received:
    match needed(document, "type"):
        case 1:
            return Received(PONG)
        case 2:
            data = needed(document, "data")
            text, cut = text_of(" ".join(_words(data)))
            own = data.get("name") == "lastmile"
            return _one(
                document,
                LATER,
                kind="command" if own else "message",
                value=f"/{needed(data, 'name')}" if own else None,
                text=text,
                cut=cut,
                attachments=tuple(
                    str(file.get("filename")) for file in (optional(data, "resolved", "attachments") or {}).values()
                ),
            )
        case 3:
            about = optional(document, "message", "id")
            pressed = needed(document, "data", "custom_id")
            return _one(document, LATER_IN_PLACE, kind="button", value=pressed, text="", about=about)
        case 5:
            text, cut = text_of(" ".join(_fields(needed(document, "data"))))
            pressed = needed(document, "data", "custom_id")
            return _one(document, LATER, kind="button", value=pressed, text=text, cut=cut)
        case _:
            return Received()


def _one(document: Document, answer: Answer, **said: Any) -> Received:
    identity = str(needed(document, "id"))
    channel = document.get("channel_id") or optional(document, "channel", "id")
    user = optional(document, "member", "user") or needed(document, "user")
    if user.get("bot"):
        return Received()
    place = ":".join(filter(None, ("discord", document.get("guild_id"), channel)))
    return Received(
        answer,
        (
            Incoming(
                platform="discord",
                event_id=identity,
                conversation=f"{place}:{needed(user, 'id')}",
                user=str(user["id"]),
                at=_time(identity),
                reply={"application_id": needed(document, "application_id"), "token": needed(document, "token")},
                **said,
            ),
        ),
    )


def _words(data: Document) -> list[str]:
    """The values of a command's options, as they were typed; a message command has the message it was used on."""
    target = optional(data, "resolved", "messages", str(data.get("target_id")), "content")
    found = [str(target)] if target else []
    for option in data.get("options") or ():
        if option.get("type") in (1, 2):  # a subcommand and its own options
            found += [str(option.get("name")), *_words(option)]
        elif option.get("type") != 11:  # an attachment's id
            found.append(str(option.get("value", "")))
    return found


def _fields(data: Document) -> list[str]:
    return [
        str(field.get("value") or "") for row in data.get("components") or () for field in row.get("components") or ()
    ]


def _time(snowflake: str) -> float:
    return ((int(snowflake) >> 22) + EPOCH_MS) / 1000 if snowflake.isdigit() and len(snowflake) < 21 else 0.0
