"""What the platforms' APIs want and answer, whoever speaks to them.

https://docs.slack.dev/reference/methods/chat.postMessage, https://docs.slack.dev/reference/methods/conversations.history,
https://discord.com/developers/docs/components/reference, https://www.standardwebhooks.com
"""

import base64
import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from functions.chat.assistant.conversation import Button, Say
from functions.chat.keys import Secret
from functions.chat.web import Page, Refused, TryLater, Web

URLS = {
    "slack": "https://slack.com",
    "discord": "https://discord.com",
    "telegram": "https://api.telegram.org",
}
LONGEST_FALLBACK = 4_000  # characters of Slack's text beside its blocks
# https://docs.slack.dev/reference/methods/chat.postMessage#errors
TEMPORARY = (
    "ratelimited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
)
STYLES = {"approve": "primary", "release": "primary", "reject": "danger", "block": "danger", "rollback": "danger"}


def slack_has(web: Web, url: str, place: Mapping[str, Any], headers: Mapping[str, str], key: str) -> bool:
    """Whether Slack has a message with that key among the newest of the channel or thread."""
    method, about = ("replies", f"&ts={place['thread_ts']}") if "thread_ts" in place else ("history", "")
    page = web.send(
        "GET",
        f"{url}/api/conversations.{method}?channel={place['channel']}{about}&include_all_metadata=true&limit=100",
        headers=headers,
    )
    _check_slack_answers(page)
    found = (page.document or {}).get("messages") or ()
    return any(((each.get("metadata") or {}).get("event_payload") or {}).get("key") == key for each in found)


def marked(key: str) -> dict[str, Any]:
    """Metadata by which Slack finds a message again."""
    return {"event_type": "lastmile_answer", "event_payload": {"key": key}}


def accept_slack(page: Page) -> None:
    if page.document is None or page.document.get("ok") is not True:
        _check_slack_answers(page)
        raise Refused(f"Slack refuses the answer: {(page.document or {}).get('error') or page.status}")


def _check_slack_answers(page: Page) -> None:
    """Raises TryLater for what will be over: Slack says it with status 200."""
    if page.document is None and page.status == 200:
        raise TryLater("slack.com answers in no words of Slack's")
    if (error := (page.document or {}).get("error")) in TEMPORARY:
        raise TryLater(f"slack.com is busy: {error}")


def signed(body: bytes, identity: str, secret: str, now: float) -> dict[str, str]:
    """Headers of Standard Webhooks, https://www.standardwebhooks.com. Raises Refused for a secret that is none."""
    stamp = str(int(now))
    try:
        key = base64.b64decode(secret.removeprefix("whsec_"), validate=True)
    except ValueError:
        raise Refused("the signing_secret to sign with is not base64, as Standard Webhooks' are") from None
    digest = hmac.new(key, f"{identity}.{stamp}.".encode() + body, hashlib.sha256).digest()
    signature = f"v1,{base64.b64encode(digest).decode()}"
    return {"webhook-id": identity, "webhook-timestamp": stamp, "webhook-signature": signature}


def base(secret: Secret, platform: str) -> str:
    """The address of the platform's API."""
    if "api_url" in secret:
        return secret["api_url"].rstrip("/")
    return URLS.get(platform) or f"https://{member(secret, 'subdomain', platform)}.zendesk.com"


def member(secret: Secret, name: str, platform: str) -> str:
    if name not in secret:
        raise Refused(f"the secret of {platform} has no {name}")
    return secret[name]


def accept(page: Page, whose: str) -> None:
    if not 200 <= page.status < 300 or (page.document or {}).get("ok") is False:
        raise Refused(f"{whose} refuses the answer: {page.status}")


def slack_blocks(say: Say) -> list[dict[str, Any]]:
    section: dict[str, Any] = {"type": "section", "text": {"type": "mrkdwn", "text": escaped(say.text)[:3000]}}
    if not say.buttons:
        return [section]
    buttons = []
    for button in say.buttons:
        kind, _, value = button.value.partition(":")
        element = {
            "type": "button",
            "action_id": kind,
            "text": {"type": "plain_text", "text": button.label[:75]},
            "value": value,
        }
        buttons.append(element | ({"style": STYLES[kind]} if kind in STYLES else {}))
    if len({button["action_id"] for button in buttons}) < len(buttons):  # an id is there once in a block
        return [section, *({"type": "actions", "elements": [button]} for button in buttons)]
    return [section, {"type": "actions", "elements": buttons}]


def escaped(text: str) -> str:
    """As Slack wants text that is no markup of ours: what a person wrote mentions nobody."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def discord_rows(buttons: list[Button]) -> list[dict[str, Any]]:
    """Five buttons in a row, five rows at most."""
    rows = [buttons[start : start + 5] for start in range(0, min(len(buttons), 25), 5)]
    return [
        {
            "type": 1,
            "components": [{"type": 2, "style": 2, "label": each.label[:80], "custom_id": each.value} for each in row],
        }
        for row in rows
    ]
