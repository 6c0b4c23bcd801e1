"""Discord: interactions, the only way in which people's words reach a webhook there (others come by its gateway).

https://discord.com/developers/docs/interactions/receiving-and-responding
"""

from collections.abc import Mapping
from typing import Any

from functions.chat.message import Answer, Incoming, Received, needed, optional, text_of
from functions.chat.operations.orders import SCOPES

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
            pressed = str(needed(document, "data", "custom_id"))
            if pressed.startswith("reject:"):  # only the answer to the press can open a form: it asks for the reason
                return Received(form(pressed))
            # An order is answered in place of its message; under an answer of the assistant's comes another one.
            answer = LATER_IN_PLACE if pressed.partition(":")[0] in SCOPES else LATER
            return _one(document, answer, kind="button", value=pressed, text="", about=about)
        case 5:
            text, cut = text_of(" ".join(_fields(needed(document, "data"))))
            pressed, about = needed(document, "data", "custom_id"), optional(document, "message", "id")
            answer = LATER if about is None else LATER_IN_PLACE
            return _one(document, answer, kind="button", value=pressed, text=text, cut=cut, about=about)
        case _:
            return Received()


def form(pressed: str) -> Answer:
    """A modal with one field, submitted under the button's own id."""
    field = {"type": 4, "custom_id": "why", "style": 2, "min_length": 1, "max_length": 1000}
    label = {"type": 18, "label": "Why?", "component": field}
    data = {"custom_id": pressed, "title": "Reject", "components": [label]}
    return Answer({"type": 9, "data": data})


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
                reply={
                    "application_id": needed(document, "application_id"),
                    "token": needed(document, "token"),
                    "deferred": answer is LATER,  # Discord shows that somebody is thinking, until it is told otherwise
                },
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
    """The values of a form, whose fields lie in rows or under labels."""
    fields = [
        field
        for row in data.get("components") or ()
        for field in row.get("components") or filter(None, [row.get("component")])
    ]
    return [str(field.get("value") or "") for field in fields]


def _time(snowflake: str) -> float:
    return ((int(snowflake) >> 22) + EPOCH_MS) / 1000 if snowflake.isdigit() and len(snowflake) < 21 else 0.0
