import math
import random
from collections.abc import Mapping
from functools import cache

import pytest

from cli.cost import _sentence
from cli.cost_crossovers import Crossover, crossovers, three_figures, where_cheaper
from cli.cost_curves import HIGHEST, LOWEST, RATES, Costs
from cli.cost_load import spread
from cli.cost_options import Market, Measured, cheapest
from cli.prices import Prices


def of(profile: str, ms: float, memory_mb: float = 40.0) -> Costs:
    market = Market(Prices.read(), Measured(ms, 2 * ms, ms, 50.0, memory_mb, 400.0, 100.0, 0.6, "by a test"))

    @cache
    def costs(rate: float) -> Mapping[str, float]:
        return {family: one.monthly for family, one in cheapest(market.all(spread(profile, rate))).items()}

    return costs


def true(one: Crossover, at: Mapping[str, float]) -> bool:
    others = [cost for family, cost in at.items() if family != one.cheaper]
    return at[one.cheaper] < (min(others) if one.cheapest else at[one.dearer])


def linear(rate: float) -> Mapping[str, float]:
    return {"by request": rate, "by the hour": 7.0, "dear": 5 + 2 * rate}


def by_machine(rate: float, each: float = 1.55) -> Mapping[str, float]:
    """So much a request, or 10 for each machine that serves ten of them."""
    return {"by request": each * rate, "by machine": 10.0 * math.ceil(rate / 10)}


def test_crossovers_are_where_the_lines_meet() -> None:
    (found,) = crossovers(linear)
    assert (found.dearer, found.cheaper, found.cheapest, found.until) == ("by request", "by the hour", True, None)
    assert 7.0 <= found.rps <= 7.02
    assert found.monthly == 7.0


def test_a_family_that_is_never_the_cheapest_may_still_pass_another() -> None:
    def costs(rate: float) -> Mapping[str, float]:
        return {"one": rate, "two": 5.0, "three": 20.0}

    found = {(one.dearer, one.cheaper): one for one in crossovers(costs)}
    assert found["one", "two"].cheapest
    assert not found["one", "three"].cheapest
    assert found["one", "three"].rps == pytest.approx(20.0, rel=0.01)


def test_a_machine_that_pays_only_until_the_next_one_is_needed() -> None:
    """One pays from 10 / 1.55 = 6.45 to 10, two from 20 / 1.55 = 12.9 to 20, three from 19.4 on, and so always."""
    told = [(one.cheaper, one.rps, one.until, one.monthly) for one in crossovers(by_machine)]
    assert told == [
        ("by machine", 6.46, 10.0, 10.0),
        ("by request", 10.1, pytest.approx(12.9, abs=0.1), pytest.approx(15.655)),
        ("by machine", 13.0, None, 20.0),
    ]


def test_what_holds_for_a_moment_only_is_not_told() -> None:
    """At 1.22 a request one machine pays from 8.2 to 10 alone, two from 16.4 to 20, five from 41 on: six from 49.2."""
    (found,) = [one for one in crossovers(lambda rate: by_machine(rate, 1.22)) if one.cheaper == "by machine"]
    assert found.rps == pytest.approx(41.0, abs=0.1)
    assert found.until is None


def test_nothing_is_told_where_nobody_passes_anybody() -> None:
    assert crossovers(lambda rate: {"one": rate, "two": 2 * rate}) == []
    assert crossovers(lambda rate: {"alone": rate}) == []


def test_two_that_cost_the_same_are_soon_let_be() -> None:
    asked: list[float] = []

    def costs(rate: float) -> Mapping[str, float]:
        asked.append(rate)
        return {"one": rate, "two": rate, "three": 1.0001 * rate}

    assert crossovers(costs) == []
    assert len(asked) < 10 * len(RATES)


def test_what_passes_at_the_very_end_is_not_told() -> None:
    """Beyond what was compared the next step may undo it."""
    assert crossovers(lambda rate: {"one": rate, "two": 0.9 * HIGHEST}) == []


@pytest.mark.parametrize(
    ("rate", "up", "down"),
    [(7.0, 7.0, 7.0), (6.667, 6.67, 6.66), (0.0012345, 0.00124, 0.00123), (1234.0, 1240.0, 1230.0), (99.96, 100, 99.9)],
)
def test_three_figures_stay_on_their_side(rate: float, up: float, down: float) -> None:
    assert (three_figures(rate, math.ceil), three_figures(rate, math.floor)) == (up, down)


@pytest.mark.parametrize(
    ("rps", "until", "sentence"),
    [
        (41.9, 59.9, "From 41.9 to 59.9 requests per second, A is cheaper than B (from $1,234.50 a month)."),
        (1240.0, None, "From 1,240 requests per second on, A is cheaper than B (from $1,234.50 a month)."),
        (0.00124, 1230.0, "From 0.00124 to 1,230 requests per second, A is cheaper than B (from $1,234.50 a month)."),
    ],
)
def test_a_sentence_has_all_the_figures(rps: float, until: float | None, sentence: str) -> None:
    assert _sentence(Crossover(rps, until, "B", "A", 1234.5, cheapest=False)) == sentence


def test_an_endpoint_is_dearer_again_when_it_needs_another_instance() -> None:
    """A model of 20 ms, flat: two vCPUs are 60 % busy at 60 requests a second, and beyond that there are two machines.

    Two cost 167.90 where serverless has not reached that yet, so that it is the cheaper one at 70 again.
    """
    costs = of("flat", 20.0)
    at = costs(70.0)
    assert at["SageMaker serverless"] < at["SageMaker CPU"]
    found = [one for one in crossovers(costs) if one.cheaper == "SageMaker CPU"]
    assert found[0].until == 59.9
    assert found[-1].until is None
    assert found[-1].rps > 100
    assert not any(one.rps <= 70 <= (one.until or HIGHEST) for one in found)


@pytest.mark.parametrize(
    ("profile", "ms", "memory_mb"),
    [
        ("flat", 1.2, 40),
        ("flat", 20, 900),
        ("flat", 200, 40),
        ("diurnal", 20, 40),
        ("weekly", 200, 900),
        ("bursty", 5, 40),
    ],
)
def test_every_crossover_is_true_wherever_it_says_so(profile: str, ms: float, memory_mb: float) -> None:
    """At 250 rates of all seven decades, and where it begins and ends."""
    costs, chance = of(profile, ms, memory_mb), random.Random(7)
    found = crossovers(costs)
    assert found
    rates = [10 ** chance.uniform(math.log10(LOWEST), math.log10(HIGHEST)) for _ in range(250)]
    for one in found:
        rates += [one.rps, one.rps * 1.0002, one.rps * 1.002, one.until or HIGHEST]
    for rate in rates:
        assert all(true(one, costs(rate)) for one in found if one.rps <= rate <= (one.until or HIGHEST))


def test_every_step_of_an_instance_is_seen() -> None:
    """Just before and just after each of the first forty steps of CPUs and of GPUs; 20 ms, flat."""
    costs = of("flat", 20.0)
    found = crossovers(costs)
    steps = [count * unit for unit in (60.0, 120.0, 300.0) for count in range(1, 41)]  # 60 % of 2, 4 vCPUs, and one GPU
    for rate in [step * side for step in steps for side in (0.9999, 1.0001) if step < HIGHEST]:
        at = costs(rate)
        assert all(true(one, at) for one in found if one.rps <= rate <= (one.until or HIGHEST))


def test_ranges_that_touch_are_one() -> None:
    assert where_cheaper(linear, RATES, "by request", ["dear"]) == [(LOWEST, RATES[-1])]
