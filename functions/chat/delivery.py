"""What the assistant says, brought to the customer through the platform's own API.

https://docs.slack.dev/reference/methods/chat.postMessage, https://core.telegram.org/bots/api#sendmessage,
https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages,
https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#update-ticket
"""

import base64
import hashlib
import hmac
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import orjson

from functions.chat.assistant.conversation import Button, Say
from functions.chat.message import Incoming
from functions.chat.web import Page, Refused, TryLater, Web

URLS = {
    "slack": "https://slack.com",
    "discord": "https://discord.com",
    "telegram": "https://api.telegram.org",
}
LONGEST_FALLBACK = 4_000  # characters of Slack's text beside its blocks
LONGEST_CARD = 6_000  # characters of a text in a card: Teams takes messages of 28 kB
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

type Secret = Mapping[str, str]
type Secrets = Callable[[str], Sequence[Secret]]


class Keys:
    """The platforms' secrets as they are kept, and as they are read again when a platform refuses: `doubted`."""

    def __init__(self, secrets: Secrets, doubted: Secrets | None = None) -> None:
        self._secrets = secrets
        self._doubted = doubted or secrets

    def newest(self, platform: str) -> Secret | None:
        return next(iter(self._secrets(platform)), None)

    def use(self, platform: str, send: Callable[[Secret], None]) -> None:
        """Once more where the secret has been changed meanwhile; raises Refused, also where there is none."""
        secret = self.newest(platform) or self._again(platform)
        if secret is None:
            raise Refused(f"there is no secret for {platform}")
        try:
            send(secret)
        except Refused:
            changed = self._again(platform)
            if changed is None or changed == secret:
                raise
            send(changed)

    def _again(self, platform: str) -> Secret | None:
        return next(iter(self._doubted(platform)), None)


class Delivery:
    """A secret may name another `api_url` than the platform's own."""

    def __init__(
        self,
        web: Web,
        secrets: Secrets,
        *,
        doubted: Secrets | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`doubted` as of `Keys`."""
        self._web = web
        self._keys = Keys(secrets, doubted)
        self._clock = clock

    def say(self, message: Incoming, says: Sequence[Say], key: str, *, again: bool) -> None:
        """Raises TryLater or Refused.

        `key` names this answer. `again` says that it may have been sent before: Slack is then asked whether it has
        it; Discord's message is written over, and a Standard Webhook's id is the same. Telegram, Teams and Zendesk
        have nothing of the kind, so there a crash between sending and noting it down says it twice.
        """
        send = getattr(self, f"_{message.platform}")
        self._keys.use(message.platform, lambda secret: send(message, list(says), secret, key, again))

    def _slack(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        headers = {"authorization": f"Bearer {member(secret, 'bot_token', 'slack')}"}
        place = {name: value for name, value in message.reply.items() if name in ("channel", "thread_ts") and value}
        if again and slack_has(self._web, base(secret, "slack"), place, headers, key):
            return
        body = {
            **place,
            "text": escaped(_joined(says)[:LONGEST_FALLBACK]),
            "blocks": [block for say in says for block in slack_blocks(say)],
            "metadata": marked(key),
            "unfurl_links": False,
        }
        accept_slack(
            self._web.send("POST", f"{base(secret, 'slack')}/api/chat.postMessage", headers=headers, body=body)
        )

    def _discord(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        """The deferred answer is filled in: done twice, it is still one message. Without a word it is taken back."""
        application, token = message.reply["application_id"], message.reply["token"]
        url = f"{base(secret, 'discord')}/api/v10/webhooks/{application}/{token}/messages/@original"
        if not says:
            page = self._web.send("DELETE", url, headers={})
            if page.status != 404:  # it was taken back before
                accept(page, "Discord")
            return
        body: dict[str, Any] = {"content": _joined(says)[:2000], "allowed_mentions": {"parse": []}}
        if rows := discord_rows([button for say in says for button in say.buttons]):
            body["components"] = rows
        accept(self._web.send("PATCH", url, headers={}, body=body), "Discord")

    def _telegram(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        url = f"{base(secret, 'telegram')}/bot{member(secret, 'bot_token', 'telegram')}"
        body: dict[str, Any] = {"chat_id": message.reply["chat_id"], "text": _joined(says)[:4096]}
        if message.reply.get("message_thread_id"):
            body["message_thread_id"] = message.reply["message_thread_id"]
        if buttons := [button for say in says for button in say.buttons]:
            rows = [[{"text": button.label, "callback_data": button.value[:64]}] for button in buttons]
            body["reply_markup"] = {"inline_keyboard": rows}
        if message.reply.get("callback_query_id"):
            asked = {"callback_query_id": message.reply["callback_query_id"]}
            self._web.send("POST", f"{url}/answerCallbackQuery", headers={}, body=asked)
        accept(self._web.send("POST", f"{url}/sendMessage", headers={}, body=body), "Telegram")

    def _teams(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        """Through the channel's incoming webhook, as an adaptive card."""
        card = {
            "type": "AdaptiveCard",
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "version": "1.4",
            "body": [{"type": "TextBlock", "text": say.text[:LONGEST_CARD], "wrap": True} for say in says],
        }
        attachment = {"contentType": "application/vnd.microsoft.card.adaptive", "content": card}
        body = {"type": "message", "attachments": [attachment]}
        accept(self._web.send("POST", member(secret, "reply_url", "teams"), headers={}, body=body), "Teams")

    def _zendesk(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        user = f"{member(secret, 'email', 'zendesk')}/token:{member(secret, 'api_token', 'zendesk')}"
        headers = {"authorization": f"Basic {base64.b64encode(user.encode()).decode()}"}
        body = {"ticket": {"comment": {"body": _joined(says), "public": True}}}
        url = f"{base(secret, 'zendesk')}/api/v2/tickets/{message.reply['ticket']}.json"
        accept(self._web.send("PUT", url, headers=headers, body=body), "Zendesk")

    def _standard(self, message: Incoming, says: list[Say], secret: Secret, key: str, again: bool) -> None:
        """To the address in the secret: one that a request names could be anybody's."""
        document = {
            "type": "answer.created",
            "data": {
                "conversation": message.conversation.partition(":")[2],
                "about": message.reply["message"],
                "says": [{"text": say.text, "buttons": [_pair(button) for button in say.buttons]} for say in says],
            },
        }
        body = orjson.dumps(document)
        headers = signed(body, f"msg_{key}", member(secret, "signing_secret", "standard"), self._clock())
        accept(
            self._web.send("POST", member(secret, "reply_url", "standard"), headers=headers, body=body), "The receiver"
        )


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


def _joined(says: Sequence[Say]) -> str:
    return "\n\n".join(say.text for say in says)


def _pair(button: Button) -> dict[str, str]:
    return {"label": button.label, "value": button.value}


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
