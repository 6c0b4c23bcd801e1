"""Discord's slash commands, registered through its own API: `/ask` for customers, `/lastmile` for operators.

https://discord.com/developers/docs/interactions/application-commands#create-global-application-command: a command of
the same name is written over, and others stay as they are.
"""

import http.client
import json
import urllib.error
import urllib.request
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from cli.errors import CommandFailed

API = "https://discord.com"
AGENT = "DiscordBot (lastmile, 1)"  # Discord answers nobody who does not call themselves like this
SECONDS = 10
TEXT, FILE = 3, 11
COMMANDS: tuple[dict[str, Any], ...] = (
    {
        "name": "ask",
        "description": "Ask our support",
        "options": [
            {"type": TEXT, "name": "question", "description": "What would you like to know?", "required": True},
            {"type": FILE, "name": "file", "description": "A picture of it"},
        ],
    },
    {
        "name": "lastmile",
        "description": "For operators: models, drift, approvals",
        "options": [{"type": TEXT, "name": "words", "description": "status, models, drift <model>, rollback <model>"}],
    },
)


def public_key(members: Mapping[str, str]) -> str:
    """What the bot's application signs with; raises CommandFailed when `members` says otherwise."""
    key = _call(members, "GET", "@me", member="verify_key")
    if members.get("public_key", key) != key:
        raise CommandFailed("public_key is not the one of the bot's application.")
    return key


def register(members: Mapping[str, str]) -> list[str]:
    """The commands' names."""
    application = _call(members, "GET", "@me", member="id")
    return [_call(members, "POST", f"{application}/commands", command, member="name") for command in COMMANDS]


def _call(members: Mapping[str, str], method: str, path: str, body: object = None, *, member: str) -> str:
    """What the answer has under `member`."""
    url = f"{members.get('api_url', API).rstrip('/')}/api/v10/applications/{path}"
    headers = {"authorization": f"Bot {members['bot_token']}", "user-agent": AGENT, "content-type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data=data, method=method, headers=headers)  # noqa: S310
    near = [urllib.request.ProxyHandler({})] if urlsplit(url).hostname in ("127.0.0.1", "localhost") else []
    try:
        with urllib.request.build_opener(*near).open(request, timeout=SECONDS) as answer:
            return str(json.load(answer)[member])
    except urllib.error.HTTPError as error:
        with error:
            refused = error.code in (401, 403)
            raise CommandFailed(
                f"Discord answers {error.code} to {method} /applications/{path}.",
                next_step="Check bot_token in Discord's developer portal." if refused else "Try again in a while.",
            ) from None
    except UnicodeError:
        raise CommandFailed("bot_token has letters that no token has.") from None
    except (KeyError, TypeError, ValueError) as error:
        problem = f"Discord's answer to {method} /applications/{path} cannot be read ({type(error).__name__})."
        raise CommandFailed(problem, next_step="Check bot_token and api_url.") from None
    except (OSError, http.client.HTTPException) as error:
        raise CommandFailed(f"Discord does not answer ({type(error).__name__}).") from None
