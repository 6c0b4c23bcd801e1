"""Where tickets go: Zendesk, a signed webhook of somebody else's, the event bus; as many of them as are set up."""

import base64
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol
from urllib.parse import quote

import orjson

from functions.chat.assistant.conversation import Ticket
from functions.chat.keys import Secret
from functions.chat.message import Incoming
from functions.chat.sending import base, member, signed
from functions.chat.web import Refused, TryLater, Web
from lastmile.bus import Bus, EventRefused

PRIORITIES = {"low": "low", "normal": "normal", "high": "high", "urgent": "urgent"}


class Sink(Protocol):
    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        """Raises TryLater or Refused; the same key twice is one ticket."""


class Zendesk:
    """https://developer.zendesk.com/api-reference/ticketing/tickets/tickets/#create-ticket, with its Idempotency-Key.

    A message that came from Zendesk is a ticket there already: it is moved to the queue's group and gets a note. Its
    own tags stay, and ours are there before it moves: by them our own moves are told from agents'. What is said after
    a handover elsewhere is a note in the ticket that bears the conversation's name, while that is not closed.
    `groups` are Zendesk's ids of the queues.
    """

    def __init__(self, web: Web, secret: Callable[[], Secret | None], *, groups: Mapping[str, int]):
        self._web = web
        self._secret = secret
        self._groups = groups

    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        secret = self._secret()
        if secret is None or (ticket.comment and message.platform == "zendesk"):
            return  # who writes on after a handover there has written it into the ticket, which is an agent's by now
        user = f"{member(secret, 'email', 'zendesk')}/token:{member(secret, 'api_token', 'zendesk')}"
        headers = {"authorization": f"Basic {base64.b64encode(user.encode()).decode()}", "idempotency-key": key}
        tags = ["lastmile", f"queue-{ticket.queue}"]
        fields: dict[str, Any] = {
            "comment": {"body": note(ticket), "public": False},
            "priority": PRIORITIES.get(ticket.priority, "normal"),
        }
        if ticket.queue in self._groups:
            fields["group_id"] = self._groups[ticket.queue]
        api = f"{base(secret, 'zendesk')}/api/v2"
        if message.platform == "zendesk":
            known = f"{api}/tickets/{message.reply['ticket']}"
            self._send("PUT", f"{known}/tags.json", {"tags": tags}, headers)
            self._send("PUT", f"{known}.json", {"ticket": fields}, headers)
            return
        name = message.conversation[:255]
        if ticket.comment and (open_one := self._open(api, name, headers)) is not None:
            self._send("PUT", f"{api}/tickets/{open_one}.json", {"ticket": {"comment": fields["comment"]}}, headers)
            return
        fields |= {"subject": subject(ticket), "external_id": name, "tags": tags}
        self._send("POST", f"{api}/tickets.json", {"ticket": fields}, headers)

    def _open(self, api: str, name: str, headers: Mapping[str, str]) -> int | None:
        """The newest ticket of that external id that still takes comments."""
        page = self._web.send("GET", f"{api}/tickets.json?external_id={quote(name, safe='')}", headers=headers)
        found = (page.document or {}).get("tickets") or ()
        return max((int(each["id"]) for each in found if each.get("status") != "closed"), default=None)

    def _send(self, method: str, url: str, body: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        page = self._web.send(method, url, headers=headers, body=body)
        if not 200 <= page.status < 300:
            raise Refused(f"Zendesk refuses the ticket: {page.status}")


class Webhook:
    """A POST signed by Standard Webhooks; the key is its id."""

    def __init__(self, web: Web, secret: Callable[[], Secret | None], *, clock: Callable[[], float] = time.time):
        self._web = web
        self._secret = secret
        self._clock = clock

    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        secret = self._secret()
        if secret is None or "ticket_url" not in secret:
            return
        body = orjson.dumps({"type": "ticket.created", "data": described(ticket, message, key)})
        headers = signed(body, f"msg_{key}", member(secret, "signing_secret", "tickets"), self._clock())
        page = self._web.send("POST", secret["ticket_url"], headers=headers, body=body)
        if not 200 <= page.status < 300:
            raise Refused(f"the ticket's receiver refuses it: {page.status}")


class Announced:
    """An event `TicketCreated` on the bus; whoever listens tells repetitions by the detail's `key`."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus

    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        tell(self._bus, "TicketCreated", described(ticket, message, key))


class All:
    """Each of them, in order."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = sinks

    def put(self, ticket: Ticket, message: Incoming, key: str) -> None:
        for sink in self._sinks:
            sink.put(ticket, message, key)


def tell(bus: Bus, kind: str, detail: Mapping[str, Any]) -> None:
    """Raises TryLater where the bus does not take it: the message is worked on again."""
    try:
        bus.tell(kind, detail)
    except EventRefused as error:
        raise TryLater(str(error)) from error


def described(ticket: Ticket, message: Incoming, key: str) -> dict[str, Any]:
    return {
        "key": key,
        "platform": message.platform,
        "conversation": message.conversation,
        "user": message.user,
        **asdict(ticket),
    }


def subject(ticket: Ticket) -> str:
    return (ticket.summary or ticket.reason)[:150]


def note(ticket: Ticket) -> str:
    """What a person needs who takes over."""
    sure = "" if ticket.confidence is None else f", confidence {ticket.confidence:.0%}"
    lines = [
        f"{'Handed over' if ticket.handover else 'Routed'} to {ticket.queue}, priority {ticket.priority}{sure}.",
        f"Why: {ticket.reason}.",
        "",
        *(f"{turn.who}: {turn.text}" for turn in ticket.transcript),
    ]
    return "\n".join(lines)
