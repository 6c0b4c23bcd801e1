import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from functions.chat.assistant.book import Book
from lastmile.errors import InvalidSpec
from tests.unit.chat.assistant.conftest import FOLDER


@pytest.fixture
def altered(tmp_path: Path) -> Callable[[str, str, str], Path]:
    """The folder with one text of one file replaced."""

    def alter(file: str, old: str, new: str) -> Path:
        for name in ("tickets/assistant.toml", "tickets/faq.toml", "recommendations/catalogue.csv"):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            shutil.copy(FOLDER.parent / name, tmp_path / name)
        text = (tmp_path / "tickets" / file).read_text()
        assert old in text
        (tmp_path / "tickets" / file).write_text(text.replace(old, new, 1))
        return tmp_path / "tickets"

    return alter


def test_the_declared_book_opens(book: Book) -> None:
    assert len(book.questions) >= 20
    assert {action.id for action in book.actions} == {"order-status", "password-reset", "refund-request"}


def test_every_question_of_the_book_finds_its_own_entry(book: Book) -> None:
    for item in book.known:
        for question in (item.question, *item.variants):
            assert item.id in [match.entry for match in book.retrieval.matches(question, most=2)]


@pytest.mark.parametrize(
    ("file", "old", "new", "message"),
    [
        ("assistant.toml", "answer = 0.35", "anser = 0.35", "thresholds"),
        ("assistant.toml", 'glad = "', 'gald = "', "says.glad: missing"),
        ("assistant.toml", "{order} is {status}", "{ordr} is {status}", "order-status.done: {ordr} is neither"),
        ("assistant.toml", "/orders/{order}", "/orders/{number}", "there is no {number}"),
        ("assistant.toml", "(\\d{4,8})", "(\\d{4,8}", "parameters.order"),
        ("assistant.toml", 'method = "GET"', 'method = "DELETE"', "method"),
        (
            "assistant.toml",
            'method = "GET"',
            'method = "GET"\ntimeout_seconds = 9.0',
            "order-status.timeout_seconds: 9 is",
        ),
        ("assistant.toml", "to our {queue} team. They", "to our {team} team. They", "says.routed: there is no {team}"),
        ("assistant.toml", "find an order {order}", "find an order {nr}", "order-status.unknown: there is no {nr}"),
        ("faq.toml", 'id = "delivery-time"', f'id = "{"ä" * 26}"', f"{'ä' * 26}: is longer than 50 bytes"),
        ("faq.toml", 'id = "delivery-time"', 'id = "delivery-cost"', "delivery-cost: is there more than once"),
        ("faq.toml", "[[questions]]", "[[questions", "no TOML"),
        ("faq.toml", 'item = "T02"', 'item = "T99"', "catalogue.csv has no item 'T99'"),
        ("faq.toml", "facts =", "fact =", "products: 0.facts"),
    ],
)
def test_what_is_wrong_is_named(
    altered: Callable[[str, str, str], Path], file: str, old: str, new: str, message: str
) -> None:
    with pytest.raises(InvalidSpec, match=message.replace("{", r"\{").replace("}", r"\}")):
        Book.open(altered(file, old, new))


def test_a_book_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSpec, match="faq.toml cannot be read"):
        Book.open(tmp_path)
