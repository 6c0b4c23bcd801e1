import re

import pytest

from functions.chat.message import Incoming
from functions.chat.queues import DeadLetters, FifoQueue
from tests.unit.chat.test_payloads import Sqs

# https://docs.aws.amazon.com/AWSSimpleQueueService/latest/APIReference/API_SendMessage.html
TAKEN = re.compile("[\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]+")


@pytest.mark.parametrize("name", ["a\uffff.pdf", "\ufffe", "a\x00b", "\x7f", "naïve 🙂.pdf"])
def test_whatever_a_file_is_called_the_queue_takes_it_and_gives_it_back(name: str) -> None:
    sqs = Sqs()
    message = Incoming(
        platform="telegram",
        event_id="1",
        conversation="c",
        kind="message",
        user="7",
        text="",
        at=1.0,
        attachments=(name,),
    )
    FifoQueue(sqs, "https://sqs/messages.fifo").put(message)
    body = sqs.sent[0]["MessageBody"]
    assert TAKEN.fullmatch(body)
    assert Incoming.from_bytes(body) == message


@pytest.mark.parametrize("reason", ["Slack refuses the answer: a\x00b", "\uffff", ""])
def test_whatever_the_reason_a_dead_letter_is_taken(reason: str) -> None:
    sqs = Sqs()
    DeadLetters(sqs, "https://sqs/dead.fifo").put("{}", "c", reason, identity="1")
    assert TAKEN.fullmatch(sqs.sent[0]["MessageAttributes"]["reason"]["StringValue"])
