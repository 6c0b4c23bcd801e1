from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lastmile.errors import InvalidInput, InvalidSpec
from tests.unit.lastmile.decision.models import MESSAGES, PAYMENTS, decided, texts

OPTIONS: dict[str, Any] = {
    "sure_from": 0.5,
    "margin": 0.2,
    "queues": {"billing": "finance"},
    "priorities": ["low", "normal", "high"],
    "priority": {"finance": "normal", "account": "high"},
    "urgent_words": ["urgent", "asap"],
}
SURE = (0.1, 0.8, 0.1)


def decide(probabilities: Any, message: str = "hello", /, **changes: Any) -> Any:
    outputs = {"probabilities": np.array([probabilities], np.float64)}
    return decided("route", OPTIONS | changes, MESSAGES, {"text": texts(message)}, outputs)[0]


def test_a_sure_message_goes_to_its_teams_queue() -> None:
    got = decide(SURE)
    assert (got.decision, got.details["priority"], got.review) == ("finance", "normal", False)
    assert got.reasons == (
        "'billing' is the most likely with 80.0 %.",
        "It goes to 'finance' with priority normal.",
    )
    assert got.details["likely"] == [
        {"class": "billing", "probability": 0.8},
        {"class": "account", "probability": 0.1},
    ]


def test_a_message_below_the_threshold_is_unsure() -> None:
    got = decide((0.3, 0.45, 0.25))
    assert got.decision == "unsure"
    assert got.reasons[1] == "Below 50.0 % the policy calls that unsure."


@pytest.mark.parametrize(("sure_from", "decision"), [(0.7, "finance"), (0.71, "unsure")])
def test_what_is_just_sure_enough_in_half_the_digits_is_sure(sure_from: float, decision: str) -> None:
    outputs = {"probabilities": np.array([[0.1, 0.7, 0.2]], np.float32)}
    options = OPTIONS | {"sure_from": sure_from}
    assert decided("route", options, MESSAGES, {"text": texts("hello")}, outputs)[0].decision == decision


def test_a_message_between_two_teams_is_unsure() -> None:
    got = decide((0.4, 0.55, 0.05))
    assert got.decision == "unsure"
    assert got.reasons[1] == "'account' has 40.0 %: closer than 20.0 % is unsure."


@pytest.mark.parametrize("text", ["This is URGENT!", "please, asap."])
def test_an_urgent_word_raises_the_priority(text: str) -> None:
    got = decide(SURE, text)
    assert got.details["priority"] == "high"
    assert got.reasons[-1].startswith("It goes to 'finance' with priority high, raised by the word '")


@pytest.mark.parametrize("text", ["nothing urgently", "asapx"])
def test_only_whole_words_count(text: str) -> None:
    assert decide(SURE, text).details["priority"] == "normal"


def test_the_highest_priority_stays() -> None:
    assert decide((0.8, 0.1, 0.1), "urgent").details["priority"] == "high"


@pytest.mark.parametrize(
    ("changes", "key", "before", "after"),
    [
        ({"sure_from": 0.9}, "decision", "finance", "unsure"),
        ({"margin": 0.75}, "decision", "finance", "unsure"),
        ({"queues": {"billing": "money"}, "priority": {}}, "decision", "finance", "money"),
        ({"priority": {"finance": "high"}}, "priority", "normal", "high"),
        ({"priorities": ["normal", "high"]}, "priority", "normal", "normal"),
        ({"urgent_words": ["hello"]}, "priority", "normal", "high"),
    ],
)
def test_every_option_has_an_effect(changes: Any, key: str, before: str, after: str) -> None:
    def said(got: Any) -> str:
        return str(got.decision if key == "decision" else got.details["priority"])

    assert said(decide(SURE)) == before
    assert said(decide(SURE, **changes)) == after


def test_priorities_have_an_effect_of_their_own() -> None:
    assert decide((0.0, 0.2, 0.8)).details["priority"] == "low"
    assert decide((0.0, 0.2, 0.8), priorities=["normal", "high"]).details["priority"] == "normal"


def test_the_unsure_queue_has_a_name_and_may_ask_for_a_person() -> None:
    got = decide((0.4, 0.3, 0.3), unsure="triage", review=["triage"])
    assert (got.decision, got.review) == ("triage", True)
    assert not decide(SURE, unsure="triage", review=["triage"]).review


@settings(max_examples=100, deadline=None, derandomize=True)
@given(some.floats(0, 1), some.floats(0, 1), some.floats(0, 1), some.floats(0, 1))
def test_a_surer_model_is_never_called_unsure_where_a_less_sure_one_is_not(
    one: float, other: float, sure_from: float, margin: float
) -> None:
    low, high = sorted((one, other))

    def unsure(share: float) -> bool:
        rest = (1 - share) / 2
        got = decide((rest, share, rest), sure_from=sure_from, margin=margin)
        return bool(got.decision == "unsure")

    if low >= 1 / 3 + 1e-9 and high - low > 1e-9:
        assert unsure(low) or not unsure(high)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"queues": {"sales": "x"}}, "queues.sales: unknown key of 'queues'"),
        ({"priority": {"nobody": "high"}}, "priority.nobody: unknown key of 'priority'"),
        ({"priority": {"finance": "top"}}, "priority.finance: 'top' is none of low, normal, high"),
        ({"unsure": "finance"}, "unsure: 'finance' is a team's queue"),
        ({"urgent_words": ["Urgent"]}, "urgent_words: 'Urgent' is not one word in lower case"),
        ({"urgent_words": ["right now"]}, "urgent_words: 'right now' is not one word in lower case"),
        ({"urgent_words": ["a", "a"]}, "urgent_words: says something twice"),
        ({"text": "message"}, "text: there is no feature 'message'; the model takes text"),
        ({"priorities": [], "priority": {}}, "priorities: at least one is needed"),
        ({"sure_from": 1.1}, "sure_from: 1.1 is not a number from 0 to 1"),
    ],
)
def test_what_is_wrong_with_the_options_has_its_key(changes: Any, said: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        decide(SURE, **changes)
    assert str(raised.value) == f"decision.options.{said}"


def test_text_is_an_option_only_with_urgent_words() -> None:
    with pytest.raises(InvalidSpec, match="options.text: unknown key of 'route'"):
        decided("route", {"text": "text"}, MESSAGES, {}, {})
    with pytest.raises(InvalidSpec, match="options.text: feature 'hour' is no text"):
        decided("route", {"text": "hour", "urgent_words": ["now"]}, PAYMENTS, {}, {})


def test_there_is_no_context() -> None:
    outputs = {"probabilities": np.array([SURE])}
    with pytest.raises(InvalidInput, match=r"context\[0\]: 'stock' is unknown; this policy takes no context"):
        decided("route", OPTIONS, MESSAGES, {"text": texts("x")}, outputs, [{"stock": 1}])
