"""Dead letters of the chat's queues: what lies there, and how it is sent again."""

import json
from collections.abc import Iterator
from typing import Any

SECONDS_HIDDEN = 60  # one that is neither deleted nor put back is there again after so long
SECONDS_WAITED = 1  # who waits for messages asks all of SQS's servers, and who does not only some


def listed(client: Any, url: str) -> list[dict[str, Any]]:
    """What lies in the queue, at most ten of one conversation; all of it stays."""
    found = list(received(client, url))
    for message in found:
        _put_back(client, url, message)
    return [letter(message) for message in found]


def send_again(client: Any, dead: str, alive: str) -> int:
    """Send each letter once, in its conversation's order, and say how many; what is refused again meanwhile stays."""
    sent: set[str] = set()
    refused: dict[str, dict[str, Any]] = {}
    for message in received(client, dead):
        if _text(message, "redriven") in sent:
            refused[message["MessageId"]] = message
            continue
        client.send_message(
            QueueUrl=alive,
            MessageBody=message["Body"],
            MessageGroupId=message["Attributes"]["MessageGroupId"],
            MessageDeduplicationId=f"again-{message['MessageId']}",
            MessageAttributes={"redriven": {"DataType": "String", "StringValue": message["MessageId"]}},
        )
        client.delete_message(QueueUrl=dead, ReceiptHandle=message["ReceiptHandle"])
        sent.add(message["MessageId"])
    for message in refused.values():
        _put_back(client, dead, message)
    return len(sent)


def letter(message: dict[str, Any]) -> dict[str, Any]:
    """What is known of a dead letter; one that nobody can read is told by its reason alone."""
    try:
        body = json.loads(message["Body"])
    except ValueError:
        body = None
    known = body if isinstance(body, dict) else {}
    reason = _text(message, "reason") or "tried too often"
    return {"platform": known.get("platform"), "conversation": known.get("conversation"), "reason": reason}


def received(client: Any, url: str) -> Iterator[dict[str, Any]]:
    """Messages as SQS gives them, hidden from others for a minute; of one conversation the first ten.

    It ends where one comes back: of very many the first are there again before the last was read.
    """
    seen: set[str] = set()
    while page := _page(client, url):
        yield from (message for message in page if message["MessageId"] not in seen)
        if not seen.isdisjoint(message["MessageId"] for message in page):
            return
        seen.update(message["MessageId"] for message in page)


def _page(client: Any, url: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = client.receive_message(
        QueueUrl=url,
        MaxNumberOfMessages=10,
        VisibilityTimeout=SECONDS_HIDDEN,
        WaitTimeSeconds=SECONDS_WAITED,
        AttributeNames=["MessageGroupId"],
        MessageAttributeNames=["reason", "redriven"],
    ).get("Messages", [])
    return found


def _put_back(client: Any, url: str, message: dict[str, Any]) -> None:
    client.change_message_visibility(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=0)


def _text(message: dict[str, Any], name: str) -> str:
    value: str = message.get("MessageAttributes", {}).get(name, {}).get("StringValue", "")
    return value
