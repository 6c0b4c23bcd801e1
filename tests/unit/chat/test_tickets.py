import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.chat.assistant.conversation import Said, Ticket
from functions.chat.tickets import All, Announced, Webhook, Zendesk
from functions.chat.web import Page, Refused, TryLater
from lastmile.bus import Bus, Entry
from tests.unit.chat.conftest import Hook
from tests.unit.chat.service import Network

TICKET = Ticket(
    queue="billing",
    priority="high",
    reason="the customer is upset",
    summary="charged twice … hello?",
    transcript=(Said("customer", "charged twice", 1.0), Said("assistant", "I am sorry.", 2.0)),
    confidence=0.91,
    prediction="01ARZ3NDEKTSV4RRFFQ69G5FAV",
    handover=True,
)
SECRET = {"subdomain": "shop", "email": "bot@shop.example", "api_token": "z", "signing_secret": "c2VjcmV0"}


def zendesk(network: Network) -> Zendesk:
    return Zendesk(network, lambda: SECRET, groups={"billing": 77})


def test_zendesk_gets_a_ticket_with_everything_a_person_needs(hook: Hook) -> None:
    hook.recorded("slack/message")
    network = Network()
    zendesk(network).put(TICKET, hook.queue.taken[0], "k-1")
    method, url, headers, body = network.requests[0]
    assert (method, url) == ("POST", "https://shop.zendesk.com/api/v2/tickets.json")
    assert headers["idempotency-key"] == "k-1"
    ticket = body["ticket"]
    assert (ticket["group_id"], ticket["priority"], ticket["subject"]) == (77, "high", "charged twice … hello?")
    assert "customer: charged twice" in ticket["comment"]["body"]
    assert "confidence 91%" in ticket["comment"]["body"]


def test_what_came_from_zendesk_is_moved_there(hook: Hook) -> None:
    hook.recorded("zendesk/message")
    network = Network()
    zendesk(network).put(TICKET, hook.queue.taken[0], "k-1")
    (method, url, _, tags), (_, moved, _, body) = network.requests
    assert (method, url) == ("PUT", "https://shop.zendesk.com/api/v2/tickets/5158/tags.json")
    assert tags == {"tags": ["lastmile", "queue-billing"]}
    assert moved == "https://shop.zendesk.com/api/v2/tickets/5158.json"
    assert body["ticket"]["comment"]["public"] is False
    assert "tags" not in body["ticket"]  # which would take the ticket's own away


def test_what_is_said_after_a_handover_is_a_note_in_the_ticket_that_is_there(hook: Hook) -> None:
    hook.recorded("slack/message")
    said = hook.queue.taken[0]
    tickets = [{"id": 7, "status": "open"}, {"id": 8, "status": "pending"}, {"id": 9, "status": "closed"}]
    network = Network(answers={"external_id=": Page(200, {"tickets": tickets})})
    zendesk(network).put(replace(TICKET, comment=True), said, "k-2")
    (_, asked, _, _), (method, url, headers, body) = network.requests
    assert asked == "https://shop.zendesk.com/api/v2/tickets.json?external_id=slack%3AT061EG9R6%3AD024BE91L"
    assert (method, url) == ("PUT", "https://shop.zendesk.com/api/v2/tickets/8.json")
    assert headers["idempotency-key"] == "k-2"
    assert list(body["ticket"]) == ["comment"]
    assert body["ticket"]["comment"]["public"] is False


def test_a_ticket_that_was_handed_over_there_is_left_where_agents_have_moved_it(hook: Hook) -> None:
    hook.recorded("zendesk/thread")
    network = Network()
    zendesk(network).put(replace(TICKET, comment=True), hook.queue.taken[0], "k-2")
    assert network.requests == []


def test_a_closed_ticket_has_a_new_one_behind_it(hook: Hook) -> None:
    hook.recorded("slack/message")
    network = Network(answers={"external_id=": Page(200, {"tickets": [{"id": 9, "status": "closed"}]})})
    zendesk(network).put(replace(TICKET, comment=True), hook.queue.taken[0], "k-2")
    assert network.requests[-1][:2] == ("POST", "https://shop.zendesk.com/api/v2/tickets.json")


@pytest.mark.parametrize("missing", ["email", "api_token", "subdomain"])
def test_a_secret_that_is_half_filled_is_named(hook: Hook, missing: str) -> None:
    hook.recorded("slack/message")
    half = {name: value for name, value in SECRET.items() if name != missing}
    with pytest.raises(Refused, match=f"the secret of zendesk has no {missing}"):
        Zendesk(Network(), lambda: half, groups={}).put(TICKET, hook.queue.taken[0], "k")


@pytest.mark.parametrize(
    ("half", "problem"),
    [({}, "the secret of tickets has no signing_secret"), ({"signing_secret": "no base64!"}, "is not base64")],
)
def test_a_receiver_whose_secret_cannot_sign_is_named(hook: Hook, half: dict[str, str], problem: str) -> None:
    hook.recorded("slack/message")
    secret = {"ticket_url": "https://desk.example/t"} | half
    with pytest.raises(Refused, match=problem):
        Webhook(Network(), lambda: secret).put(TICKET, hook.queue.taken[0], "k")


def test_a_refusal_is_told(hook: Hook) -> None:
    hook.recorded("slack/message")
    with pytest.raises(Refused, match="Zendesk refuses the ticket: 422"):
        zendesk(Network(answers={"tickets": Page(422, None)})).put(TICKET, hook.queue.taken[0], "k")


def test_sinks_that_are_not_set_up_are_left_out(hook: Hook) -> None:
    hook.recorded("slack/message")
    network = Network()
    sinks = All([Zendesk(network, lambda: None, groups={}), Webhook(network, lambda: None)])
    sinks.put(TICKET, hook.queue.taken[0], "k")
    assert network.requests == []


def test_a_webhook_is_signed_and_named_by_the_key(hook: Hook) -> None:
    hook.recorded("slack/message")
    network = Network()
    Webhook(network, lambda: SECRET | {"ticket_url": "https://desk.example/t"}).put(TICKET, hook.queue.taken[0], "k-9")
    _, url, headers, body = network.requests[0]
    assert (url, headers["webhook-id"]) == ("https://desk.example/t", "msg_k-9")
    assert (body["type"], body["data"]["queue"], body["data"]["platform"]) == ("ticket.created", "billing", "slack")


def test_the_bus_carries_the_ticket(hook: Hook) -> None:
    """Caught where EventBridge sends it: a queue that a rule of the test's own leads to."""
    hook.recorded("slack/message")
    keys: dict[str, Any] = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing"}
    with mock_aws():
        queues, events = (boto3.client(name, "eu-west-1", **keys) for name in ("sqs", "events"))
        url = queues.create_queue(QueueName="caught")["QueueUrl"]
        arn = queues.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        events.put_rule(Name="tickets", EventPattern='{"source": ["lastmile"], "detail-type": ["TicketCreated"]}')
        events.put_targets(Rule="tickets", Targets=[{"Id": "queue", "Arn": arn}])
        Announced(Bus("default", lambda: events)).put(TICKET, hook.queue.taken[0], "k-1")
        (caught,) = queues.receive_message(QueueUrl=url)["Messages"]
    detail = json.loads(caught["Body"])["detail"]
    assert (detail["key"], detail["queue"], detail["conversation"]) == ("k-1", "billing", "slack:T061EG9R6:D024BE91L")


def test_a_bus_that_is_busy_is_told_later(hook: Hook) -> None:
    class Busy:
        def put_events(self, *, Entries: list[Entry]) -> dict[str, Any]:
            return {"Entries": [{"ErrorCode": "ThrottlingException", "ErrorMessage": "slow down"} for _ in Entries]}

    hook.recorded("slack/message")
    with pytest.raises(TryLater, match="1 events TicketCreated were refused 4 times: ThrottlingException, slow down"):
        Announced(Bus("default", Busy, pause=lambda _: None)).put(TICKET, hook.queue.taken[0], "k-1")
