import pytest
from hypothesis import given
from hypothesis import strategies as st

from functions.chat.assistant.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Where is my order? It should have come on Monday.", "en"),
        ("I want my money back", "en"),
        ("Wo ist meine Bestellung? Ich warte seit einer Woche.", "de"),
        ("Bonjour, où est ma commande ? Je n'ai pas de nouvelles.", "fr"),
        ("¿Dónde está mi pedido? No ha llegado y estoy esperando.", "es"),
        ("Dove è il mio ordine? Non ho ricevuto nulla.", "it"),
        ("Waar is mijn bestelling? Ik heb nog niet iets gehoord.", "nl"),
        ("Gdzie jest moje zamówienie? Nie mam go.", "pl"),
        ("Где мой заказ?", "ru"),
        ("注文はどこですか", "ja"),
        ("我的订单在哪里", "zh"),
        ("أين طلبي", "ar"),
        ("제 주문은 어디에 있나요", "ko"),
        ("asdf qwer zxcv", None),
        ("order 4711", None),
        ("", None),
        ("👍", None),
    ],
)
def test_a_language_is_told_where_it_can_be(text: str, language: str | None) -> None:
    assert language_of(text) == language


@given(st.text())
def test_every_text_has_one_or_none(text: str) -> None:
    found = language_of(text)
    assert found is None or len(found) == 2
