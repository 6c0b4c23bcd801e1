"""Messages as the chat platforms would send them, for `lastmile chat`."""

import json
import time
from typing import Any, Protocol

from lastmile.ulid import new_ulid

COMMAND = "/lastmile"
USERS = {"slack": "U1", "standard": "you"}  # who speaks, where nobody else is named; elsewhere 7


class Make(Protocol):
    """`why` is what stands in the field beside the button, `by` the user who speaks."""

    def __call__(
        self, text: str, conversation: str, pressed: str | None, *, by: str = ..., why: str = ...
    ) -> dict[str, Any]: ...


def slack(text: str, conversation: str, pressed: str | None, *, by: str = "U1", why: str = "") -> dict[str, Any]:
    now = f"{time.time():.6f}"
    if pressed is None and text.split(maxsplit=1)[:1] == [COMMAND]:
        form = {"team_id": "T1", "channel_id": conversation, "user_id": by, "command": COMMAND}
        return form | {"text": text.removeprefix(COMMAND).strip(), "trigger_id": f"{now}.1"}
    if pressed is None:
        event = {
            "type": "message",
            "channel": conversation,
            "channel_type": "im",
            "user": by,
            "text": text,
            "ts": now,
        }
        return {"type": "event_callback", "team_id": "T1", "event_id": f"Ev{now}", "event": event}
    action, _, value = pressed.partition(":")
    payload = {
        "type": "block_actions",
        "team": {"id": "T1"},
        "channel": {"id": conversation},
        "user": {"id": by},
        "trigger_id": f"{now}.1",
        "actions": [{"type": "button", "action_id": action, "value": value, "action_ts": now}],
        "state": {"values": {"why": {"why": {"type": "plain_text_input", "value": why or None}}}},
    }
    return {"payload": json.dumps(payload)}


def discord(text: str, conversation: str, pressed: str | None, *, by: str = "7", why: str = "") -> dict[str, Any]:
    snowflake = str((int(time.time() * 1000) - 1_420_070_400_000) << 22)
    common = {"id": snowflake, "application_id": "1", "token": "local", "channel_id": conversation}
    user = {"user": {"id": by}}
    if pressed is not None and why:
        field = {"type": 4, "custom_id": "why", "value": why}
        return {**common, **user, "type": 5, "data": {"custom_id": pressed, "components": [{"component": field}]}}
    if pressed is not None:
        return {**common, **user, "type": 3, "data": {"custom_id": pressed}}
    own = text.split(maxsplit=1)[:1] == [COMMAND]
    said = text.removeprefix(COMMAND).strip() if own else text
    options = [{"type": 3, "name": "question", "value": said}]
    return {**common, **user, "type": 2, "data": {"name": "lastmile" if own else "ask", "options": options}}


def telegram(text: str, conversation: str, pressed: str | None, *, by: str = "7", why: str = "") -> dict[str, Any]:
    now = int(time.time())
    message = {"message_id": now, "date": now, "chat": {"id": conversation}}
    person = {"id": by, "is_bot": False}
    update = {"update_id": time.time_ns()}
    if pressed is not None:
        return update | {"callback_query": {"id": "1", "from": person, "message": message, "data": pressed}}
    return update | {"message": message | {"from": person, "text": text}}


def teams(text: str, conversation: str, pressed: str | None, *, by: str = "7", why: str = "") -> dict[str, Any]:
    activity = {
        "id": new_ulid(),
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "from": {"id": by},
        "conversation": {"id": conversation},
        "channelData": {"tenant": {"id": "local"}},
    }
    if pressed is not None:
        return activity | {"type": "invoke", "value": {"action": pressed}}
    return activity | {"type": "message", "text": f"<at>Lastmile</at> {text}"}


def zendesk(text: str, conversation: str, pressed: str | None, *, by: str = "7", why: str = "") -> dict[str, Any]:
    return {
        "type": "zen:event-type:ticket.comment_added",
        "account_id": 1,
        "id": new_ulid(),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "detail": {"id": conversation},
        "event": {"comment": {"body": text, "is_public": True, "author": {"id": by, "is_staff": False}}},
    }


def standard(text: str, conversation: str, pressed: str | None, *, by: str = "you", why: str = "") -> dict[str, Any]:
    data = {"id": new_ulid(), "conversation": conversation, "user": by, "text": why if pressed else text}
    kind = "message.created" if pressed is None else "button.pressed"
    return {
        "type": kind,
        "timestamp": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "data": data if pressed is None else data | {"value": pressed},
    }


MAKE: dict[str, Make] = {
    "slack": slack,
    "discord": discord,
    "telegram": telegram,
    "teams": teams,
    "zendesk": zendesk,
    "standard": standard,
}
