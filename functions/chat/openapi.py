"""What the platforms send to `/hooks/<platform>`, as OpenAPI 3.1. The examples are the recorded requests."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from lastmile import __version__

PATH = "/hooks/openapi.json"
EVENTS = "events/chat"
SLACK_FORMS = ("button", "command", "reject", "unexplained", "block", "reason", "rollback")
FORMS = frozenset(f"slack/{name}" for name in SLACK_FORMS)  # whatever the others are
JSON, FORM = "application/json", "application/x-www-form-urlencoded"
DESCRIPTION = (
    "Webhooks of chat and ticket platforms. No token is needed: each request is signed as its platform signs, and one "
    "that is not authentic gets 401 and no word about what was wrong. An authentic one is acknowledged at once, and "
    'what it says is queued and answered through the platform\'s own API. `lastmile chat send slack "…"` signs and '
    "sends one as the platform would."
)
TIME = "Seconds since 1970; at most five minutes off."


class Described(NamedTuple):
    """`headers` are those of the signature, the one that proves it first; `answers` the acknowledgements by what they
    answer, where they have a body."""

    title: str
    link: str
    proof: str
    headers: Mapping[str, str]
    answers: Mapping[str, Any]


PLATFORMS: dict[str, Described] = {
    "slack": Described(
        "Slack: events, buttons and slash commands",
        "https://docs.slack.dev/authentication/verifying-requests-from-slack",
        "`v0=` and the hex HMAC-SHA256 of `v0:<timestamp>:<body>` by the signing secret.",
        {"X-Slack-Signature": "The signature.", "X-Slack-Request-Timestamp": TIME},
        {"handshake": {"challenge": "3eZbrw1aBm2rZgRNFdxV2595E9CY3gmdALWMmHkvFXO7tYXAYM8P"}},
    ),
    "teams": Described(
        "Microsoft Teams: outgoing webhooks",
        "https://learn.microsoft.com/microsoftteams/platform/webhooks-and-connectors/how-to/add-outgoing-webhook",
        "`HMAC ` and the base64 HMAC-SHA256 of the body by the decoded security token.",
        {"Authorization": "The signature."},
        {"message": {"type": "message", "text": "Thank you, I am looking into it."}},
    ),
    "discord": Described(
        "Discord: commands, buttons and forms",
        "https://discord.com/developers/docs/interactions/overview#validating-security-request-headers",
        "Hex Ed25519 signature of timestamp and body by the application's key.",
        {"X-Signature-Ed25519": "The signature.", "X-Signature-Timestamp": TIME},
        {"handshake": {"type": 1}, "message": {"type": 5}, "button": {"type": 6}},
    ),
    "telegram": Described(
        "Telegram: updates of a bot",
        "https://core.telegram.org/bots/api#setwebhook",
        "The secret token that was given to `setWebhook`.",
        {"X-Telegram-Bot-Api-Secret-Token": "The token."},
        {},
    ),
    "zendesk": Described(
        "Zendesk: ticket events",
        "https://developer.zendesk.com/documentation/webhooks/verifying/",
        "Base64 HMAC-SHA256 of timestamp and body by the webhook's signing secret.",
        {
            "X-Zendesk-Webhook-Signature": "The signature.",
            "X-Zendesk-Webhook-Signature-Timestamp": "ISO 8601, with its zone; at most five minutes off.",
        },
        {},
    ),
    "standard": Described(
        "Anything that signs by Standard Webhooks",
        "https://www.standardwebhooks.com",
        "`v1,` and the base64 HMAC-SHA256 of `<id>.<timestamp>.<body>`; several with a space between them.",
        {
            "Webhook-Signature": "The signature.",
            "Webhook-Id": "The same when it is delivered again.",
            "Webhook-Timestamp": TIME,
        },
        {},
    ),
}
REFUSALS = {
    400: ("Another content type, too large, or not what the platform documents.", "bad request"),
    401: ("Not authentic, or not in time, or the platform is not connected.", "unauthorised"),
    503: ("It could not be queued: the platform delivers it again.", "try again"),
}


def describe(folder: Path) -> dict[str, Any]:
    """`folder` is where the recorded requests lie below `events/chat`."""
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lastmile: webhooks", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": "..", "description": "Where the API is served."}],
        "paths": {f"/hooks/{name}": {"post": _operation(name, row, folder)} for name, row in PLATFORMS.items()},
        "components": {
            "schemas": {
                "Error": {
                    "type": "object",
                    "required": ["error"],
                    "properties": {"error": {"type": "string"}},
                    "additionalProperties": False,
                }
            },
            "securitySchemes": {
                name: {"type": "apiKey", "in": "header", "name": next(iter(row.headers)), "description": row.proof}
                for name, row in PLATFORMS.items()
            },
        },
    }


def _operation(name: str, row: Described, folder: Path) -> dict[str, Any]:
    signature, *others = row.headers
    return {
        "operationId": f"hook_{name}",
        "summary": row.title,
        "description": f"{row.proof} `{signature}` holds it.",
        "externalDocs": {"url": row.link},
        "security": [{name: []}],
        "parameters": [
            {
                "name": header,
                "in": "header",
                "required": True,
                "description": row.headers[header],
                "schema": {"type": "string"},
            }
            for header in others
        ],
        "requestBody": {"required": True, "content": _content(name, folder)},
        "responses": {"200": _acknowledged(row), **{str(status): _refused(status) for status in REFUSALS}},
    }


def _content(name: str, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for path in sorted((folder / EVENTS / name).glob("*.json")):
        media = found.setdefault(
            FORM if f"{name}/{path.stem}" in FORMS else JSON, {"schema": {"type": "object"}, "examples": {}}
        )
        media["examples"][path.stem] = {"summary": path.stem, "value": json.loads(path.read_bytes())}
    return found


def _acknowledged(row: Described) -> dict[str, Any]:
    if not row.answers:
        return {"description": "Acknowledged, without a body."}
    examples = {name: {"summary": f"to a {name}", "value": value} for name, value in row.answers.items()}
    return {
        "description": "Acknowledged, in the platform's words where it wants some.",
        "content": {JSON: {"schema": {"type": "object"}, "examples": examples}},
    }


def _refused(status: int) -> dict[str, Any]:
    description, said = REFUSALS[status]
    schema = {"$ref": "#/components/schemas/Error"}
    return {"description": description, "content": {JSON: {"schema": schema, "example": {"error": said}}}}
