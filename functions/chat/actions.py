"""Actions of the assistant carried out: one HTTP request each, whose answer must have the members declared."""

import re
from collections.abc import Callable, Mapping
from urllib.parse import quote

from functions.chat.assistant.assistant import Outcome
from functions.chat.assistant.book import Action, Book
from functions.chat.assistant.conversation import Call
from functions.chat.web import Refused, TryLater, Web

TYPES: Mapping[str, tuple[type, ...]] = {"string": (str,), "number": (int, float), "boolean": (bool,)}


class Actions:
    """`shop` is asked with each call for the secret of the shop's own services: their `url`, without which no action
    can be carried out, and a `token` where they want one."""

    def __init__(self, book: Book, web: Web, shop: Callable[[], Mapping[str, str] | None]) -> None:
        self._book = book
        self._web = web
        self._shop = shop

    def carry_out(self, call: Call, key: str) -> Outcome:
        """`key` is the same when the same call is made again, so that the service does it once."""
        action = self._book.by_id[call.action]
        assert isinstance(action, Action)
        shop = self._shop()
        if shop is None or "url" not in shop:
            return Outcome(0, None)
        headers = {"idempotency-key": key, "accept": "application/json"}
        if "token" in shop:
            headers["authorization"] = f"Bearer {shop['token']}"
        body = {name: _filled(text, call.values) for name, text in action.body.items()} or None
        try:
            page = self._web.send(
                action.method,
                address(action.url, shop["url"].rstrip("/"), call.values),
                headers=headers,
                body=None if action.method == "GET" else body,
                seconds=action.timeout_seconds,
            )
        except (TryLater, Refused):
            return Outcome(0, None)
        answer = page.document or {}
        fits = 200 <= page.status < 300 and all(_is(answer.get(name), kind) for name, kind in action.answer.items())
        return Outcome(page.status, {name: answer[name] for name in action.answer} if fits else None)


def address(template: str, base: str, values: Mapping[str, str]) -> str:
    """What a customer typed is one segment of the path, whatever it contains."""
    return _filled(template, {name: quote(value, safe="") for name, value in values.items()} | {"base": base})


def _filled(template: str, values: Mapping[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda name: values[name[1]], template)


def _is(value: object, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean") == isinstance(value, bool)
