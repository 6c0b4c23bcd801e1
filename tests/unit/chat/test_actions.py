import socket
import time
from dataclasses import replace
from pathlib import Path

import pytest

from functions.chat.actions import Actions, address
from functions.chat.assistant.assistant import Outcome
from functions.chat.assistant.book import Book
from functions.chat.assistant.conversation import Call
from functions.chat.web import Internet, Page
from tests.unit.chat.service import Network

BOOK = Book.open(Path(__file__).parents[3] / "models/tickets")
STATUS = Call("order-status", {"order": "47110"})


def actions(network: Network, base: str | None = "https://shop.example") -> Actions:
    return Actions(BOOK, network, lambda: None if base is None else {"url": base})


def test_an_answer_with_the_declared_members_is_an_outcome() -> None:
    network = Network(answers={"/orders/47110": Page(200, {"status": "sent", "expected": "Friday", "more": 1})})
    assert actions(network).carry_out(STATUS, "k-1") == Outcome(200, {"status": "sent", "expected": "Friday"})
    assert network.requests[0][2]["idempotency-key"] == "k-1"


@pytest.mark.parametrize("document", [None, {}, {"status": "sent"}, {"status": 1, "expected": "Friday"}])
def test_an_answer_of_another_shape_is_none(document: dict[str, object] | None) -> None:
    assert actions(Network(answers={"/orders": Page(200, document)})).carry_out(STATUS, "k").answer is None


def test_a_body_has_the_values() -> None:
    network = Network()
    actions(network).carry_out(Call("password-reset", {"email": "ann@example.com"}), "k")
    assert network.requests[0][3] == {"email": "ann@example.com"}


def test_a_service_that_is_away_is_no_outcome() -> None:
    assert actions(Network(busy=1)).carry_out(STATUS, "k") == Outcome(0, None)
    assert actions(Network(), base=None).carry_out(STATUS, "k") == Outcome(0, None)


@pytest.mark.parametrize("seconds", [0.05, 0.4])
def test_a_service_is_waited_for_as_long_as_the_action_says(seconds: float) -> None:
    """Over a connection that is taken and never answered."""
    book = replace(BOOK, actions=tuple(replace(action, timeout_seconds=seconds) for action in BOOK.actions))
    with socket.create_server(("127.0.0.1", 0)) as silent:
        base = f"http://127.0.0.1:{silent.getsockname()[1]}"
        started = time.monotonic()
        assert Actions(book, Internet(), lambda: {"url": base}).carry_out(STATUS, "k") == Outcome(0, None)
        assert seconds <= time.monotonic() - started < seconds + 10


@pytest.mark.parametrize("typed", ["../admin", "1?x=2", "1#a", "{base}", "a/b", "%2e%2e"])
def test_what_a_customer_typed_stays_one_segment_of_the_path(typed: str) -> None:
    found = address("{base}/orders/{order}/refund", "https://shop.example", {"order": typed})
    assert found.startswith("https://shop.example/orders/")
    assert found.count("/") == 5
    assert "?" not in found
    assert "#" not in found
