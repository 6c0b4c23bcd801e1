"""What the assistant says, brought to the customer through the platform's own API.

https://docs.slack.dev/reference/methods/chat.postMessage, https://core.telegram.org/bots/api#sendmessage,
https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages,
https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#update-ticket
"""

import base64
import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from functions.chat.assistant.conversation import Button, Say
from functions.chat.keys import Keys, Secret
from functions.chat.message import Incoming
from functions.chat.sending import (
    LONGEST_FALLBACK,
    accept,
    accept_slack,
    base,
    discord_rows,
    escaped,
    marked,
    member,
    signed,
    slack_blocks,
    slack_has,
)
from functions.chat.web import Web

LONGEST_CARD = 6_000  # characters of a text in a card: Teams takes messages of 28 kB


class Delivery:
    """A secret may name another `api_url` than the platform's own."""

    def __init__(
        self,
        web: Web,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._web = web
        self._keys = keys
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


def _joined(says: Sequence[Say]) -> str:
    return "\n\n".join(say.text for say in says)


def _pair(button: Button) -> dict[str, str]:
    return {"label": button.label, "value": button.value}
