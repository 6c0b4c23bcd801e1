"""Words are found whole, in any case, with any ending where one is asked for."""

from dataclasses import replace

import pytest

from functions.chat.assistant.words import Words, words_pattern


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a Person please", True),
        ("personal data", False),
        ("poisoning", True),
        ("gas  leak!", True),
        ("gasleak", False),
    ],
)
def test_words_are_whole_and_in_any_case(text: str, found: bool) -> None:
    assert bool(words_pattern(("person", "poison*", "gas leak")).search(text)) == found


def test_no_words_are_never_found() -> None:
    assert words_pattern(()).search("anything") is None


def test_each_kind_has_its_own_words() -> None:
    words = Words(person=("human",), upset=(), thanks=(), greeting=(), yes=("ok",), no=())
    assert [kind for kind in ("person", "upset", "yes", "no") if words.found(kind, "OK, a human")] == ["person", "yes"]
    assert not replace(words, yes=()).found("yes", "OK, a human")
