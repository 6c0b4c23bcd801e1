from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lastmile.errors import InvalidInput, InvalidSpec
from tests.unit.lastmile.decision.models import PAYMENTS, decided, payments, shares

ACTIONS: dict[str, Any] = {
    "fine": {"cost": 0, "risk": 1.0},
    "schedule": {"cost": 150, "risk": 0.4},
    "inspect now": {"cost": 400, "risk": 0.05},
}
OPTIONS: dict[str, Any] = {"event_cost": 10_000, "actions": ACTIONS}


def decide(probability: float, context: Any = (), **changes: Any) -> Any:
    return decided("cost", OPTIONS | changes, PAYMENTS, payments(1.0), shares(probability), context)[0]


def test_the_cheapest_action_is_taken() -> None:
    got = [decide(p) for p in (0.01, 0.05, 0.2)]
    assert [one.decision for one in got] == ["fine", "schedule", "inspect now"]
    assert got[1].details["expected_costs"] == {"fine": 500.0, "schedule": 350.0, "inspect now": 425.0}
    assert got[1].reasons == (
        "The probability of class 1 is 5.0 %, and it would cost 10000.00 EUR.",
        "Expected cost in EUR: fine 500.00, schedule 350.00, inspect now 425.00.",
        "'schedule' costs least; it leaves 40.0 % of the risk.",
    )


def test_a_request_may_say_what_this_machine_would_cost() -> None:
    assert decide(0.05, [{"event_cost": 200_000}]).decision == "inspect now"
    assert decide(0.2, [{"event_cost": 100}]).decision == "fine"


@pytest.mark.parametrize(
    ("changes", "probability", "before", "after"),
    [
        ({"event_cost": 500}, 0.2, "inspect now", "fine"),
        ({"positive": "0"}, 0.01, "fine", "inspect now"),
        ({"actions": ACTIONS | {"schedule": {"cost": 10, "risk": 0.4}}}, 0.01, "fine", "schedule"),
        ({"actions": ACTIONS | {"inspect now": {"cost": 400, "risk": 0.2}}}, 0.1, "inspect now", "schedule"),
    ],
)
def test_every_option_has_an_effect(changes: Any, probability: float, before: str, after: str) -> None:
    assert decide(probability).decision == before
    assert decide(probability, **changes).decision == after


def test_words_and_reviews_are_those_of_the_spec() -> None:
    got = decide(0.2, event="a breakdown", currency="CHF", review=["inspect now"])
    assert got.reasons[0] == "The probability of a breakdown is 20.0 %, and it would cost 10000.00 CHF."
    assert got.review
    assert not decide(0.2).review


actions = some.dictionaries(
    some.sampled_from("abcdef"),
    some.fixed_dictionaries({"cost": some.floats(0, 1e6), "risk": some.floats(0, 1)}),
    min_size=2,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(some.lists(some.floats(0, 1), min_size=2, max_size=8), some.floats(0, 1e7), actions)
def test_a_higher_probability_never_leaves_more_risk_and_nothing_costs_less(
    probabilities: list[float], event_cost: float, table: Any
) -> None:
    ordered = sorted(probabilities)
    options = {"event_cost": event_cost, "actions": table}
    try:
        got = decided("cost", options, PAYMENTS, payments(*[1.0] * len(ordered)), shares(*ordered))
    except InvalidSpec:
        return  # an action that is never the cheapest
    risks = [table[one.decision]["risk"] for one in got]
    assert risks == sorted(risks, reverse=True)
    for one in got:
        expected = one.details["expected_costs"]
        assert expected[one.decision] <= min(expected.values()) + 0.02 + 1e-6 * max(expected.values())


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"actions": {"fine": ACTIONS["fine"]}}, "actions: at least two actions are needed"),
        ({"actions": ACTIONS | {"fine": 3}}, "actions.fine: must be a table"),
        ({"actions": ACTIONS | {"fine": {"cost": 0}}}, "actions.fine.risk: missing"),
        ({"actions": ACTIONS | {"fine": {"cost": 0, "risk": 1, "x": 1}}}, "actions.fine.x: unknown key of 'actions'"),
        (
            {"actions": ACTIONS | {"schedule": {"cost": 500, "risk": 0.4}}},
            "actions.schedule: never costs less than 'inspect now', which leaves no more risk",
        ),
        (
            {"actions": ACTIONS | {"schedule": {"cost": 390, "risk": 0.4}}},
            "actions.schedule: is never the cheapest, however large the risk",
        ),
        ({"event_cost": "much"}, "event_cost: 'much' is no number"),
        ({"actions": []}, "actions: must be a table"),
        ({"review": ["block"]}, "review: 'block' is none of fine, schedule, inspect now"),
    ],
)
def test_what_is_wrong_with_the_options_has_its_key(changes: Any, said: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        decide(0.5, **changes)
    assert str(raised.value) == f"decision.options.{said}"


def test_context_that_does_not_fit_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"context\[0\]: 'event_cost' is -1, a number from 0 is wanted"):
        decide(0.5, [{"event_cost": -1}])
    with pytest.raises(InvalidInput, match=r"context\[0\]: 'cost' is unknown; known are event_cost"):
        decide(0.5, [{"cost": 1}])
    with pytest.raises(InvalidInput, match="context has 2 entries for 1 rows"):
        decide(0.5, [{}, {}])
