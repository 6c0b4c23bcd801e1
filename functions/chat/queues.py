"""The queue between hook and worker, and the one of dead letters: SQS FIFO, with boto3's client."""

import hashlib
from collections.abc import Callable
from contextlib import suppress
from math import ceil
from typing import Any, Protocol

from functions.chat.message import Incoming, Queued
from lastmile.errors import LastmileError


class QueueUnavailable(LastmileError):
    """The queue did not take a message."""


class FifoQueue:
    """Order within a conversation, and one message for what is delivered twice within five minutes.

    The worker keeps what is older from being done twice: its own record lasts longer than any platform repeats.
    """

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, message: Queued) -> None:
        """Raises QueueUnavailable."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            self._client.send_message(
                QueueUrl=self._url,
                MessageBody=_body(message),
                MessageGroupId=_key(message.conversation),
                MessageDeduplicationId=_key(f"{message.platform}\n{message.event_id}\n{message.kind}"),
            )
        except (BotoCoreError, ClientError) as error:
            raise QueueUnavailable("the queue does not answer") from error

    def later(self, receipt: str, seconds: float) -> None:
        """Hide a message that was received for so long; where that fails it comes back when the queue says."""
        from botocore.exceptions import BotoCoreError, ClientError

        with suppress(BotoCoreError, ClientError):
            self._client.change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=receipt, VisibilityTimeout=ceil(seconds)
            )


class Taking(Protocol):
    def put(self, message: Incoming) -> None: ...


class Switch:
    """What is for operators goes to their queue, where no customer's words are, and all else to the assistant's."""

    def __init__(self, assistant: Taking, operations: Taking, *, concerns: Callable[[Incoming], bool]) -> None:
        self._assistant = assistant
        self._operations = operations
        self._concerns = concerns

    def put(self, message: Incoming) -> None:
        """Raises QueueUnavailable."""
        (self._operations if self._concerns(message) else self._assistant).put(message)


class DeadLetters:
    """What can never be done, with the reason as an attribute, so that nobody has to look for it in a log."""

    def __init__(self, client: Any, url: str) -> None:
        self._client = client
        self._url = url

    def put(self, body: str, group: str, reason: str, *, identity: str, redriven: str = "") -> None:
        """Of one `identity` there is one letter; `redriven` is the letter it was, when it was sent again."""
        said = "".join(letter if letter.isprintable() else " " for letter in reason)  # SQS refuses other letters
        attributes = {"reason": said[:256] or "unknown"} | ({"redriven": redriven} if redriven else {})
        self._client.send_message(
            QueueUrl=self._url,
            MessageBody=body,
            MessageGroupId=group,
            MessageDeduplicationId=_key(f"{identity}\n{body}"),
            MessageAttributes={
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            },
        )


def _body(message: Queued) -> str:
    """SQS refuses two letters that JSON leaves as they are, such as in the name of a file that somebody sends."""
    return message.to_bytes().decode().replace("\ufffe", "\\ufffe").replace("\uffff", "\\uffff")


def _key(text: str) -> str:
    """SQS takes 128 characters of a small alphabet."""
    return hashlib.sha256(text.encode()).hexdigest()
