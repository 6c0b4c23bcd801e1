from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lastmile.decision import policy_of
from lastmile.decision.threshold import DECISIONS
from lastmile.errors import InvalidInput, InvalidSpec, ModelFailed
from lastmile.tensors import Signature, TensorSpec
from tests.unit.lastmile.decision.models import MESSAGES, PAYMENTS, REGRESSION, decided, payments, shares

OPTIONS: dict[str, Any] = {
    "amount": "amount",
    "loss_fee": 20.0,
    "review_cost": 6.0,
    "review_finds": 0.9,
    "block_rate": 0.1,
    "block_cost": 10.0,
}


def decide(probability: float, amount: float, /, **changes: Any) -> Any:
    return decided("threshold", OPTIONS | changes, PAYMENTS, payments(amount), shares(probability))[0]


def test_a_likely_fraud_is_blocked_an_unlikely_one_allowed_and_between_a_person_looks() -> None:
    assert [decide(p, 200.0).decision for p in (0.005, 0.2, 0.9)] == ["allow", "review", "block"]


def test_the_more_is_at_stake_the_sooner_a_person_looks() -> None:
    assert [decide(0.03, amount).decision for amount in (20.0, 900.0)] == ["allow", "review"]


def test_the_expected_cost_of_each_option_is_told_and_the_decision_is_the_cheapest() -> None:
    got = decide(0.25, 100.0)
    # allow 0.25 * 120, review 6 + 0.1 of that, block 0.75 * (10 + 10)
    assert got.details["expected_costs"] == {"allow": 30.0, "review": 9.0, "block": 15.0}
    assert got.decision == "review"
    assert got.reasons[0] == "The probability of class 1 is 25.0 % with 100.00 EUR at stake."
    assert got.reasons[1] == "Expected cost in EUR: allow 30.00, review 9.00, block 15.00."
    assert got.reasons[2] == "At this amount review begins at 5.6 % and block at 43.8 %."


def test_where_review_costs_too_much_it_is_allow_or_block() -> None:
    assert [decide(p, 50.0, review_cost=1000.0).decision for p in (0.1, 0.9)] == ["allow", "block"]


def test_a_review_asks_for_a_person_and_the_others_do_not() -> None:
    assert [decide(p, 200.0).review for p in (0.005, 0.2, 0.9)] == [False, True, False]


@pytest.mark.parametrize(
    ("option", "probability", "amount", "before", "after"),
    [
        ({"loss_rate": 0.1}, 0.05, 200.0, "review", "allow"),
        ({"loss_fee": 0.0}, 0.3, 5.0, "review", "allow"),
        ({"review_cost": 1.0}, 0.02, 200.0, "allow", "review"),
        ({"review_finds": 0.2}, 0.05, 200.0, "review", "allow"),
        ({"block_rate": 2.0}, 0.7, 200.0, "block", "review"),
        ({"block_cost": 200.0}, 0.6, 200.0, "block", "review"),
        ({"review_from": 0.01}, 0.02, 20.0, "allow", "review"),
        ({"block_from": 0.2}, 0.3, 100.0, "review", "block"),
        ({"positive": "0"}, 0.01, 200.0, "allow", "block"),
        ({"amount": "hour"}, 0.03, 900.0, "review", "allow"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_every_option_has_an_effect(option: Any, probability: float, amount: float, before: str, after: str) -> None:
    assert decide(probability, amount).decision == before
    assert decide(probability, amount, **option).decision == after


def test_words_of_the_spec_are_those_of_the_reasons_and_reviews_are_what_it_says() -> None:
    got = decide(0.9, 200.0, event="fraud", currency="USD", review=["block"])
    assert "fraud is 90.0 % with 200.00 USD" in got.reasons[0]
    assert got.review
    assert not decide(0.2, 200.0, review=[]).review


def test_a_rule_that_outweighs_the_costs_is_said() -> None:
    got = decide(0.02, 20.0, review_from=0.01)
    assert got.reasons[2] == "From 1.0 % the policy says at least review, although allow costs less."
    assert decide(0.3, 100.0, block_from=0.2).reasons[2] == (
        "From 20.0 % the policy says at least block, although review costs less."
    )


costs = some.floats(0, 1e6)
shares_ = some.floats(0, 1)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    some.lists(shares_, min_size=2, max_size=8),
    some.floats(0, 1e7),
    some.fixed_dictionaries(
        {
            "loss_rate": some.floats(0, 10),
            "loss_fee": costs,
            "review_cost": costs,
            "review_finds": shares_,
            "block_rate": some.floats(0, 10),
            "block_cost": costs,
            "review_from": shares_,
            "block_from": shares_,
        }
    ),
)
def test_a_higher_probability_never_gives_a_more_lenient_decision(
    probabilities: list[float], amount: float, options: dict[str, float]
) -> None:
    ordered = sorted(probabilities)
    feeds = payments(*[amount] * len(ordered))
    got = decided("threshold", {"amount": "amount", **options}, PAYMENTS, feeds, shares(*ordered))
    strictness = [DECISIONS.index(one.decision) for one in got]
    assert strictness == sorted(strictness)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(shares_, some.floats(0, 1e5), costs, shares_, costs)
def test_without_rules_no_other_decision_costs_less(
    p: float, amount: float, cost: float, finds: float, block: float
) -> None:
    options = {"amount": "amount", "review_cost": cost, "review_finds": finds, "block_cost": block}
    got = decided("threshold", options, PAYMENTS, payments(amount), shares(p))[0]
    expected = got.details["expected_costs"]
    assert expected[got.decision] <= min(expected.values()) + 0.01 + 1e-6 * max(expected.values())


def test_an_amount_that_nothing_can_be_said_of_is_refused_before_the_model_runs() -> None:
    with pytest.raises(InvalidInput, match=r"rows\[1\]: 'amount' is missing, and the decision needs it"):
        decided("threshold", OPTIONS, PAYMENTS, payments(1.0, np.nan), None)
    with pytest.raises(InvalidInput, match=r"rows\[0\]: 'amount' is -3, and the decision takes none below 0"):
        decided("threshold", OPTIONS, PAYMENTS, payments(-3.0), None)


def test_a_model_that_gives_no_number_decides_nothing() -> None:
    with pytest.raises(ModelFailed, match="'probabilities' has no number for row 1"):
        decided("threshold", OPTIONS, PAYMENTS, payments(1.0, 2.0), shares(0.5, float("nan")))
    with pytest.raises(ModelFailed, match=r"'probabilities' has -2.5 in row 1: that is no probability"):
        decided("threshold", OPTIONS, PAYMENTS, payments(1.0, 2.0), shares(0.5, 3.5))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"amuont": 1}, "decision.options.amuont: unknown key of 'threshold'"),
        ({"review_cost": None}, "decision.options.review_cost: missing"),
        ({"review_cost": -1}, "decision.options.review_cost: -1 is not a number of at least 0"),
        ({"review_cost": 1e16}, "decision.options.review_cost: 1e+16 is beyond 1e+15"),
        ({"review_cost": True}, "decision.options.review_cost: True is no number"),
        ({"review_finds": 1.5}, "decision.options.review_finds: 1.5 is not a number from 0 to 1"),
        ({"amount": "price"}, "decision.options.amount: there is no feature 'price'; the model takes hour, amount, ca"),
        ({"amount": "category"}, "decision.options.amount: feature 'category' is no number"),
        ({"positive": "yes"}, "decision.options.positive: 'yes' is none of 0, 1"),
        ({"review": ["maybe"]}, "decision.options.review: 'maybe' is none of allow, review, block"),
        ({"review": "block"}, "decision.options.review: must be a list of texts"),
        ({"event": ""}, "decision.options.event: '' is no text"),
    ],
)
def test_what_is_wrong_with_the_options_has_its_key(changes: Any, said: str) -> None:
    options = {key: value for key, value in (OPTIONS | changes).items() if value is not None}
    with pytest.raises(InvalidSpec) as raised:
        decided("threshold", options, PAYMENTS, payments(1.0), shares(0.5))
    assert str(raised.value).startswith(said)


def test_it_needs_probabilities() -> None:
    with pytest.raises(InvalidSpec, match="'threshold' decides by an output 'probabilities' with columns"):
        decided("threshold", OPTIONS, REGRESSION, {}, {})
    with pytest.raises(InvalidSpec, match="no feature 'amount'; the model takes text"):
        decided("threshold", OPTIONS, MESSAGES, {}, {})


def test_an_amount_that_is_a_mistake_is_refused() -> None:
    with pytest.raises(InvalidInput, match="'amount' is 1e.16, and the decision takes none above 1e.15"):
        decide(0.99, 1e16)


@pytest.mark.parametrize("shape", [(2,), (-1, 3, 2)])
def test_probabilities_are_those_of_rows(shape: tuple[int, ...]) -> None:
    outputs = (TensorSpec("probabilities", "FP32", shape, columns=("0", "1")),)
    with pytest.raises(InvalidSpec, match="decides by numbers of shape"):
        policy_of("threshold", OPTIONS, Signature(PAYMENTS.inputs, outputs))


@pytest.mark.parametrize(("shape", "columns"), [((-1, 3), ()), ((-1, 2, 1), ("amount",))])
def test_the_amount_is_one_value_for_each_row(shape: tuple[int, ...], columns: tuple[str, ...]) -> None:
    inputs = (TensorSpec("amount", "FP32", shape, columns=columns),)
    with pytest.raises(InvalidSpec, match="not one value for each row"):
        policy_of("threshold", OPTIONS, Signature(inputs, PAYMENTS.outputs))


@pytest.mark.parametrize("rows", [0, 1, 3])
def test_outputs_of_other_rows_decide_nothing(rows: int) -> None:
    with pytest.raises(ModelFailed, match=r"'label' has shape \[\d] for 2 rows"):
        decided("threshold", OPTIONS, PAYMENTS, payments(1.0, 2.0), shares(*[0.5] * rows))
