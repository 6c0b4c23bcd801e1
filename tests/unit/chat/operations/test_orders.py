import pytest

from functions.chat.assistant.conversation import Button
from functions.chat.operations.orders import Order, Unclear, concerns, order_of
from functions.chat.operations.posts import typed_for
from tests.unit.chat.conftest import RECORDED, Hook

OPERATORS = {
    "slack/button": Order("approve", "fraud", 8, way="button"),
    "slack/reject": Order("reject", "fraud", 8, why="Worse for small shops", way="button"),
    "slack/unexplained": Order("reject", "fraud", 8, way="button"),
    "slack/reason": Order("reject", "fraud", 8, why="Worse for small shops", way="button"),
    "slack/block": Order("block", "fraud", prediction="01ARZ3NDEKTSV4RRFFQ69G5FAV", way="button"),
    "slack/command": Order("drift", "fraud"),
    "slack/rollback": Order("rollback", "fraud"),
    "discord/button": Order("approve", "fraud", 8, way="button"),
    "discord/reason": Order("reject", "fraud", 8, why="Worse for small shops", way="button"),
    "discord/explained": Order("reject", "fraud", 8, why="Worse for small shops", way="button"),
    "discord/command": Order("drift", "fraud"),
    "telegram/approve": Order("approve", "fraud", 8, way="button"),
    "telegram/reject": Order("reject", "fraud", 8, why="Worse for small shops"),
    "telegram/command": Order("drift", "fraud"),
    "teams/button": Order("approve", "fraud", 8, way="button"),
    "teams/approve": Order("approve", "fraud", 8, why="agreed with the fraud team"),
    "standard/reject": Order("reject", "fraud", 8, why="Worse for small shops", way="button"),
}


@pytest.mark.parametrize("name", RECORDED)
def test_what_is_for_operators_is_told_from_what_is_for_the_assistant(hook: Hook, name: str) -> None:
    hook.recorded(name)
    for message in hook.queue.taken:
        assert concerns(message) == (name in OPERATORS)
        if name in OPERATORS:
            assert order_of(message) == OPERATORS[name]


def typed(hook: Hook, text: str) -> Order:
    from dataclasses import replace

    hook.recorded("slack/command")
    return order_of(replace(hook.queue.taken[-1], text=text))


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("", Order("help")),
        ("dance", Order("help")),
        ("status", Order("status")),
        ("MODELS please", Order("models", why="please")),
        ("rollback fraud because it is slow", Order("rollback", "fraud", why="because it is slow")),
        ("rollback fraud 17 it is slow", Order("rollback", "fraud", 17, why="it is slow")),
        (
            "release fraud 01ARZ/3 a good customer",
            Order("release", "fraud", prediction="01ARZ", row=3, why="a good customer"),
        ),
    ],
)
def test_a_command_is_read_word_by_word(hook: Hook, text: str, order: Order) -> None:
    assert typed(hook, text) == order


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("drift", "Say `/lastmile drift <model>`."),
        ("approve fraud", "Say `/lastmile approve <model> <version>`."),
        ("approve fraud eight", "'eight' is no number."),
        ("block fraud 01ARZ/x", "'x' is no number."),
    ],
)
def test_what_is_missing_is_said(hook: Hook, text: str, said: str) -> None:
    with pytest.raises(Unclear) as unclear:
        typed(hook, text)
    assert str(unclear.value) == said


@pytest.mark.parametrize(
    "value",
    ["approve:fraud/8", "reject:fraud/8", "rollback:fraud", "rollback:fraud/17", "block:fraud/01ARZ/3", "drift:fraud"],
)
def test_the_words_in_place_of_a_button_are_the_same_order(hook: Hook, value: str) -> None:
    from dataclasses import replace

    words = typed_for(Button("", value)).removeprefix("/lastmile ")
    hook.recorded("slack/button")
    pressed = order_of(replace(hook.queue.taken[-1], value=value))
    assert replace(typed(hook, words), why="", way="button") == pressed
