"""Brings posts to the operations channel of a platform, and answers to the person who pressed or typed.

https://docs.slack.dev/interactivity/handling-user-interaction, https://docs.slack.dev/surfaces/modals,
https://discord.com/developers/docs/resources/message#create-message,
https://discord.com/developers/docs/interactions/receiving-and-responding#followup-messages,
https://core.telegram.org/bots/api#answercallbackquery, https://core.telegram.org/bots/api#editmessagetext
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import orjson

from functions.chat.assistant.conversation import Button, Say
from functions.chat.delivery import Delivery
from functions.chat.keys import Keys, Secret
from functions.chat.message import Incoming
from functions.chat.operations.orders import PLATFORMS
from functions.chat.operations.posts import Post, typed_for
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
from functions.chat.web import Refused, Web

CHANNEL = "operations"  # the member of a platform's secret that says where posts go: a channel, or a URL
EPHEMERAL = 64  # Discord's flag of a message that one person sees
LONGEST_CALLBACK = 64  # bytes of a Telegram button
LONGEST_ALERT = 200  # characters of what Telegram shows over the chat
HOOKS = "https://hooks.slack.com/"


class Board:
    def __init__(
        self,
        web: Web,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._web = web
        self._keys = keys
        self._delivery = Delivery(web, keys, clock=clock)
        self._clock = clock

    def platforms(self) -> list[str]:
        """Those that have an operations channel."""
        return [name for name in PLATFORMS if CHANNEL in (self._keys.newest(name) or {})]

    def post(self, platform: str, post: Post, key: str, *, again: bool) -> None:
        """Raises TryLater or Refused. `again` as in `Delivery.say`; Discord itself knows the key for some minutes."""
        send = getattr(self, f"_post_{platform}")
        self._keys.use(platform, lambda secret: send(secret, post, key, again))

    def answer(self, message: Incoming, post: Post, key: str, *, again: bool) -> None:
        """Raises TryLater or Refused."""
        pressed = message.kind == "button"
        match message.platform:
            case "slack" if message.reply.get("response_url"):
                self._keys.use("slack", lambda secret: self._answer_slack(secret, message, post, pressed=pressed))
            case "discord" if pressed:
                self._keys.use("discord", lambda secret: self._answer_discord(secret, message, post))
            case "telegram" if pressed:
                self._keys.use("telegram", lambda secret: self._answer_telegram(secret, message, post))
            case "teams":
                self._delivery.say(message, [Say(post.plain)], key, again=again)
            case "telegram":
                self._delivery.say(message, [_telegram_say(post)], key, again=again)
            case _:
                self._delivery.say(message, [Say(post.text, post.buttons)], key, again=again)

    def _post_slack(self, secret: Secret, post: Post, key: str, again: bool) -> None:
        headers = {"authorization": f"Bearer {member(secret, 'bot_token', 'slack')}"}
        place, url = {"channel": member(secret, CHANNEL, "slack")}, base(secret, "slack")
        if again and slack_has(self._web, url, place, headers, key):
            return
        body = {
            **place,
            "text": escaped(post.text[:LONGEST_FALLBACK]),
            "blocks": _blocks(post),
            "metadata": marked(key),
            "unfurl_links": False,
        }
        accept_slack(self._web.send("POST", f"{url}/api/chat.postMessage", headers=headers, body=body))

    def _post_discord(self, secret: Secret, post: Post, key: str, again: bool) -> None:
        headers = {"authorization": f"Bot {member(secret, 'bot_token', 'discord')}"}
        url = f"{base(secret, 'discord')}/api/v10/channels/{member(secret, CHANNEL, 'discord')}/messages"
        body = _discord_body(post) | {"nonce": key[:25], "enforce_nonce": True}
        accept(self._web.send("POST", url, headers=headers, body=body), "Discord")

    def _post_telegram(self, secret: Secret, post: Post, key: str, again: bool) -> None:
        url = f"{base(secret, 'telegram')}/bot{member(secret, 'bot_token', 'telegram')}/sendMessage"
        say = _telegram_say(post)
        body = {"chat_id": member(secret, CHANNEL, "telegram"), "text": say.text[:4096], **_keyboard(say.buttons)}
        accept(self._web.send("POST", url, headers={}, body=body), "Telegram")

    def _post_teams(self, secret: Secret, post: Post, key: str, again: bool) -> None:
        """An incoming webhook's card has no buttons that call back: it says what to type instead."""
        place = Incoming(
            platform="teams", event_id=key, conversation="", kind="message", user="", text="", at=self._clock()
        )
        there = {**secret, "reply_url": member(secret, CHANNEL, "teams")}
        Delivery(self._web, Keys(lambda _: [there])).say(place, [Say(post.plain)], key, again=again)

    def _post_standard(self, secret: Secret, post: Post, key: str, again: bool) -> None:
        data = {"text": post.text, "buttons": [{"label": each.label, "value": each.value} for each in post.buttons]}
        body = orjson.dumps(
            {"type": "operations.notice", "data": data | {"reason": post.field, "terminal": post.terminal}}
        )
        headers = signed(body, f"msg_{key}", member(secret, "signing_secret", "standard"), self._clock())
        url = member(secret, CHANNEL, "standard")
        accept(self._web.send("POST", url, headers=headers, body=body), "The receiver")

    def _answer_slack(self, secret: Secret, message: Incoming, post: Post, *, pressed: bool) -> None:
        """In the place of the message, or for the person alone; both end where Slack's own request says."""
        if post.form and self._opened(secret, message, post.form):
            return
        url = str(message.reply["response_url"])
        if not url.startswith((HOOKS, f"{secret['api_url'].rstrip('/')}/" if "api_url" in secret else HOOKS)):
            raise Refused("the address for the answer is none of Slack's")
        replaces = pressed and post.done
        body: dict[str, Any] = {
            "text": escaped(post.text[:LONGEST_FALLBACK]),
            "blocks": _blocks(post),
            "replace_original": replaces,
        }
        if not replaces:
            body["response_type"] = "ephemeral"
        page = self._web.send("POST", url, headers={}, body=body)
        if not 200 <= page.status < 300:
            raise Refused(f"Slack refuses the answer: {page.status}")

    def _opened(self, secret: Secret, message: Incoming, pressed: str) -> bool:
        """A form for the reason, while the press is younger than three seconds; afterwards the answer says it."""
        if not message.reply.get("trigger_id"):
            return False
        about = {"value": pressed, "at": message.at}
        about |= {name: message.reply.get(name) for name in ("channel", "thread_ts", "response_url")}
        field = {"type": "plain_text_input", "action_id": "why", "multiline": True, "max_length": 1000}
        view = {
            "type": "modal",
            "callback_id": "reject",
            "private_metadata": orjson.dumps(about).decode(),
            "title": _plain("Reject"),
            "submit": _plain("Reject"),
            "blocks": [{"type": "input", "block_id": "why", "label": _plain("Why?"), "element": field}],
        }
        headers = {"authorization": f"Bearer {member(secret, 'bot_token', 'slack')}"}
        body = {"trigger_id": message.reply["trigger_id"], "view": view}
        page = self._web.send("POST", f"{base(secret, 'slack')}/api/views.open", headers=headers, body=body)
        return page.document is not None and page.document.get("ok") is True

    def _answer_discord(self, secret: Secret, message: Incoming, post: Post) -> None:
        """The press was answered with "later, in this place": done is an edit of that message, all else is a message
        for the person."""
        url = f"{base(secret, 'discord')}/api/v10/webhooks/{message.reply['application_id']}/{message.reply['token']}"
        if post.done:
            body = {"components": []} | _discord_body(post)
            page = self._web.send("PATCH", f"{url}/messages/@original", headers={}, body=body)
        else:
            page = self._web.send("POST", url, headers={}, body=_discord_body(post) | {"flags": EPHEMERAL})
        accept(page, "Discord")

    def _answer_telegram(self, secret: Secret, message: Incoming, post: Post) -> None:
        url = f"{base(secret, 'telegram')}/bot{member(secret, 'bot_token', 'telegram')}"
        seen = {"callback_query_id": message.reply["callback_query_id"], "text": post.text[:LONGEST_ALERT]}
        self._web.send("POST", f"{url}/answerCallbackQuery", headers={}, body=seen | {"show_alert": not post.done})
        say = _telegram_say(post)
        body: dict[str, Any] = {"chat_id": message.reply["chat_id"], "text": say.text[:4096]}
        if post.done and message.about:
            page = self._web.send(
                "POST", f"{url}/editMessageText", headers={}, body=body | {"message_id": message.about}
            )
            if "not modified" in str((page.document or {}).get("description")):  # it was here before
                return
        elif post.buttons or len(post.text) > LONGEST_ALERT:
            page = self._web.send("POST", f"{url}/sendMessage", headers={}, body=body | _keyboard(say.buttons))
        else:
            return
        accept(page, "Telegram")


def _blocks(post: Post) -> list[dict[str, Any]]:
    """With the field above the buttons: what is in it comes with each of them."""
    section, *actions = slack_blocks(Say(post.text, post.buttons))
    if not post.field:
        return [section, *actions]
    element = {"type": "plain_text_input", "action_id": "why", "max_length": 1000}
    field = {"type": "input", "block_id": "why", "optional": True, "label": _plain("Why?"), "element": element}
    return [section, field, *actions]


def _plain(text: str) -> dict[str, str]:
    return {"type": "plain_text", "text": text}


def _discord_body(post: Post) -> dict[str, Any]:
    body: dict[str, Any] = {"content": post.text[:2000], "allowed_mentions": {"parse": []}}
    return body | ({"components": discord_rows(list(post.buttons))} if post.buttons else {})


def _telegram_say(post: Post) -> Say:
    """A button that is too long for Telegram is said as the words to type."""
    fitting = tuple(each for each in post.buttons if len(each.value.encode()) <= LONGEST_CALLBACK)
    typed = [f"{each.label}: {typed_for(each)}" for each in post.buttons if each not in fitting]
    return Say("\n".join([post.text, *typed]), fitting)


def _keyboard(buttons: Sequence[Button]) -> dict[str, Any]:
    rows = [[{"text": each.label, "callback_data": each.value}] for each in buttons]
    return {"reply_markup": {"inline_keyboard": rows}} if rows else {}
