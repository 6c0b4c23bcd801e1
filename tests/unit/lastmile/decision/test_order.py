import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

from lastmile.errors import InvalidInput, InvalidSpec, ModelFailed
from lastmile.tensors import Signature, TensorSpec
from tests.unit.lastmile.decision.models import SALES, decided

QUANTILES = (4.0, 6.0, 10.0, 15.0, 20.0)  # at 0.1, 0.25, 0.5, 0.75, 0.9
FEEDS = {"lags": np.zeros((1, 7), np.float32)}


def decide(entry: Any, quantiles: Any = QUANTILES, **changes: Any) -> Any:
    outputs = {"quantiles": np.array([quantiles], np.float64)}
    return decided("order", {"service_level": 0.9} | changes, SALES, FEEDS, outputs, [entry])[0]


def up_to(got: Any) -> float:
    return float(got.details["order_up_to"])


def test_one_period_is_covered_by_its_quantile() -> None:
    got = decide({"stock": 8})
    assert (got.decision, got.details["quantity"], up_to(got)) == ("order", 12, 20.0)
    assert got.reasons == (
        "Demand over 1 period is 10.0 in the median, and stays below 20.0 with 90.0 %.",
        "8 in stock and 0 on order make 8, so 12 are ordered.",
    )


def test_what_is_there_may_be_enough() -> None:
    got = decide({"stock": 15, "on_order": 5})
    assert (got.decision, got.details["quantity"]) == ("enough", 0)
    assert got.reasons[1] == "15 in stock and 5 on order make 20, which is enough."


def test_over_several_periods_the_spread_grows_with_the_root_unless_errors_go_together() -> None:
    entry = {"stock": 0, "lead_time": 3}
    assert up_to(decide(entry)) == 60.0  # 4 * 10 + 2 * (20 - 10)
    assert up_to(decide(entry, correlation=1.0)) == 80.0  # 4 * 20


def test_between_two_quantiles_the_straight_line_counts_and_crossed_ones_are_straightened() -> None:
    assert up_to(decide({"stock": 0}, service_level=0.8)) == pytest.approx(15 + 5 / 3, abs=0.01)
    assert up_to(decide({"stock": 0, "service_level": 0.25})) == 6.0
    assert up_to(decide({"stock": 0}, (4.0, 6.0, 10.0, 15.0, 9.0))) == 15.0


def test_demand_is_never_negative() -> None:
    assert up_to(decide({"stock": 0}, (-9.0, -7.0, -5.0, -3.0, -1.0))) == 0.0


@pytest.mark.parametrize(
    ("changes", "quantity"),
    [
        ({"service_level": 0.5}, 10),
        ({"lead_time": 3.0}, 60),
        ({"review_period": 4.0}, 60),
        ({"pack_size": 12}, 24),
        ({"correlation": 1.0, "lead_time": 3.0}, 80),
    ],
)
def test_every_option_has_an_effect(changes: Any, quantity: int) -> None:
    assert decide({"stock": 0}).details["quantity"] == 20
    assert decide({"stock": 0}, **changes).details["quantity"] == quantity


@pytest.mark.parametrize(
    ("entry", "quantity"),
    [({"stock": 5}, 15), ({"on_order": 7}, 13), ({"lead_time": 3}, 60), ({"service_level": 0.5}, 10)],
)
def test_everything_that_a_request_says_has_an_effect(entry: Any, quantity: int) -> None:
    assert decide({"stock": 0} | entry).details["quantity"] == quantity


def test_words_and_reviews_are_those_of_the_spec() -> None:
    got = decide({"stock": 0, "lead_time": 1}, period="day", review=["order"])
    assert got.reasons[0].startswith("Demand over 2 days is 20.0")
    assert got.review
    assert not decide({"stock": 99}, review=["order"]).review


@settings(max_examples=100, deadline=None, derandomize=True)
@given(
    some.lists(some.floats(-10, 1e5), min_size=5, max_size=5),
    some.floats(0.1, 0.9),
    some.floats(0.1, 0.9),
    some.floats(-100, 1e5),
    some.floats(0, 1e4),
    some.floats(0, 30),
)
def test_more_service_never_orders_less_and_more_stock_never_orders_more(
    quantiles: list[float], one: float, other: float, stock: float, more: float, lead_time: float
) -> None:
    low, high = sorted((one, other))

    def quantity(level: float, there: float) -> int:
        entry = {"stock": there, "service_level": level, "lead_time": lead_time}
        found = decide(entry, quantiles, pack_size=4).details["quantity"]
        assert found % 4 == 0
        return int(found)

    assert quantity(low, stock) <= quantity(high, stock) + 4 * math.ceil(1e-9 * max(map(abs, quantiles)))
    assert quantity(low, stock + more) <= quantity(low, stock)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "service_level: missing"),
        ({"service_level": 0.95}, "service_level: 0.95 is not a number from 0.1 to 0.9"),
        ({"service_level": 0.9, "pack_size": 0}, "pack_size: 0 is not a number from 1 to 1e+15"),
        ({"service_level": 0.9, "pack_size": 2.5}, "pack_size: 2.5 is not a whole number"),
        ({"service_level": 0.9, "correlation": 2}, "correlation: 2 is not a number from 0 to 1"),
        ({"service_level": 0.9, "horizon": 2}, "horizon: unknown key of 'order'"),
        ({"service_level": 0.9, "leadtime": 2}, "leadtime: unknown key of 'order'; did you mean 'lead_time'?"),
    ],
)
def test_what_is_wrong_with_the_options_has_its_key(options: Any, said: str) -> None:
    with pytest.raises(InvalidSpec) as raised:
        decided("order", options, SALES, FEEDS, {}, [{"stock": 1}])
    assert str(raised.value) == f"decision.options.{said}"


@pytest.mark.parametrize("columns", [("low", "high"), ("0.5",), ("0.9", "0.5"), ("0.6", "0.9")])
def test_quantiles_that_are_none_are_refused(columns: tuple[str, ...]) -> None:
    signature = Signature(SALES.inputs, (TensorSpec("quantiles", "FP32", (-1, len(columns)), columns=columns),))
    with pytest.raises(InvalidSpec, match="levels around 0.5 are needed"):
        decided("order", {"service_level": 0.5}, signature, FEEDS, {}, [{"stock": 1}])


@pytest.mark.parametrize(
    ("context", "said"),
    [
        ([], "context is missing: the decision needs each row's 'stock'"),
        ([{}], "context[0]: 'stock' is missing, and the decision needs it"),
        ([{"stock": "7"}], "context[0]: 'stock' is '7', a number is wanted"),
        ([{"stock": 7, "on_order": -1}], "context[0]: 'on_order' is -1, a number from 0 is wanted"),
        (
            [{"stock": 7, "service_level": 0.99}],
            "context[0]: 'service_level' is 0.99, a number from 0.1 to 0.9 is want",
        ),
    ],
)
def test_context_that_does_not_fit_is_named(context: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as raised:
        decided("order", {"service_level": 0.9}, SALES, FEEDS, {}, context)
    assert str(raised.value).startswith(said)


@pytest.mark.parametrize(
    "entry", [{"stock": -1e300}, {"stock": 1e308, "on_order": 1e308}, {"stock": 0, "on_order": 1e16}]
)
def test_a_stock_that_is_a_mistake_is_refused(entry: dict[str, float]) -> None:
    with pytest.raises(InvalidInput, match="and nothing beyond 1e.15 is decided about"):
        decide(entry)


def test_a_forecast_beyond_all_numbers_decides_nothing() -> None:
    with pytest.raises(ModelFailed, match="make 3e.38 for 1 periods"):
        decide({"stock": 1}, (1.0, 2.0, 3.0, 4.0, 3e38))
