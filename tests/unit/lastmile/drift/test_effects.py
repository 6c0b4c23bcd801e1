import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastmile.drift.effects import (
    category_effect,
    detectable_divergence,
    detectable_shift,
    divergence_by_chance,
    number_effect,
)
from lastmile.drift.homogeneity import category_test, number_test
from lastmile.drift.statistics import jensen_shannon
from lastmile.tensors import Array
from tests.unit.lastmile.drift.test_homogeneity import TABLES, binned


@pytest.mark.parametrize("rows", [50, 500, 50_000])
@pytest.mark.parametrize("categories", [2, 20, 200])
def test_what_chance_adds_to_the_divergence_is_its_mean_under_homogeneity(rows: int, categories: int) -> None:
    both = np.random.default_rng(0).multinomial(rows + 5000, np.full(categories, 1 / categories))
    draws = np.random.default_rng(1).multivariate_hypergeometric(both, rows, size=300)
    found = np.mean([jensen_shannon(both - draw, draw) ** 2 for draw in draws])
    assert divergence_by_chance(both - draws[0], draws[0]) == pytest.approx(
        found, rel=0.25 if categories == 2 else 0.05
    )


@pytest.mark.parametrize("rows", [50, 200, 2000])
def test_the_effect_of_a_shift_is_about_the_shift_with_few_rows_too(rows: int) -> None:
    random = np.random.default_rng(rows)
    found = []
    for _ in range(100):
        table = binned(random.normal(size=5000), random.normal(0.5, size=rows))
        found.append(number_effect(*table, table))
    assert np.mean(found) == pytest.approx(0.5, abs=0.06)


def test_the_effect_of_no_change_is_about_nothing() -> None:
    random = np.random.default_rng(0)
    even = np.full(50, 0.02)
    found = []
    for _ in range(100):
        table = random.multinomial(5000, even), random.multinomial(200, even)
        found.append((jensen_shannon(*table), category_effect(*table, table)))
    raw, effect = np.mean(found, axis=0)
    assert raw > 0.2
    assert effect < 0.06


def test_a_shift_that_is_detectable_is_found_in_four_of_five_checks() -> None:
    random = np.random.default_rng(0)
    shift = detectable_shift(5000, 500, 0.01)
    found = [
        number_test(*binned(random.normal(size=5000), random.normal(shift, size=500))).p_value <= 0.01
        for _ in range(400)
    ]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


def test_a_divergence_that_is_detectable_is_found_in_four_of_five_checks() -> None:
    random = np.random.default_rng(0)
    p = np.full(10, 0.1)
    distance = detectable_divergence(5000, 500, 9, 0.01)
    direction = np.array([1, -1] * 5) * 0.1
    amounts = np.linspace(0, 0.9, 200)
    distances = [jensen_shannon(p * 1e9, (p + amount * direction) * 1e9) for amount in amounts]
    q = p + amounts[int(np.searchsorted(distances, distance))] * direction
    found = [category_test(random.multinomial(5000, p), random.multinomial(500, q)).p_value <= 0.01 for _ in range(400)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.08)


@given(TABLES.filter(lambda table: all(side.sum() for side in table)))
def test_effects_are_finite_and_never_negative(table: tuple[Array, Array]) -> None:
    for effect in (number_effect, category_effect):
        assert 0 <= effect(*table, table) < 20


@given(arrays(np.int64, 5, elements=st.integers(0, 3)).filter(lambda side: side.sum()))
def test_a_sample_is_at_no_distance_from_itself(side: Array) -> None:
    assert number_effect(side, side, (side, side)) == 0
    assert category_effect(side, side, (side, side)) == 0
