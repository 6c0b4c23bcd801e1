import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastmile.drift.homogeneity import bridge, category_test, number_test
from lastmile.profile import quantile_edges
from lastmile.tensors import Array

TABLES = st.integers(1, 12).flatmap(
    lambda bins: st.tuples(*(arrays(np.int64, bins, elements=st.integers(0, 40)) for _ in range(2)))
)


def binned(reference: Array, current: Array) -> tuple[Array, Array]:
    edges = np.array(quantile_edges(reference))
    one, other = (np.bincount(np.searchsorted(edges, side), minlength=len(edges) + 1) for side in (reference, current))
    return one, other


@given(TABLES)
@settings(max_examples=200, deadline=None)
def test_p_values_are_probabilities_and_do_not_know_which_side_is_which(table: tuple[Array, Array]) -> None:
    for test in (category_test, number_test):
        found = test(*table)
        assert 0 <= found.p_value <= 1
        assert found.value >= 0
        if not table[0].sum() or not table[1].sum():
            assert found.p_value == 1.0
        elif found.p_value > 0.11:  # what is simulated depends on the order of drawing
            assert test(*reversed(table)).p_value == pytest.approx(found.p_value, rel=1e-6)


def test_dense_tables_have_the_chi_square_p_value_of_scipy() -> None:
    table = np.array([[300, 200, 250, 250], [120, 110, 90, 100]])
    assert category_test(*table).p_value == pytest.approx(scipy.stats.chi2_contingency(table).pvalue)


def test_two_categories_have_fishers_p_value() -> None:
    table = np.array([[900, 100], [40, 10]])
    assert category_test(*table).p_value == pytest.approx(scipy.stats.fisher_exact(table)[1])


def test_the_covariance_of_the_bridge_is_that_of_drawing_without_replacement() -> None:
    both, n = np.array([30, 50, 20, 100]), 60
    draws = np.random.default_rng(0).multivariate_hypergeometric(both, n, size=200_000)
    apart = np.cumsum((both - draws) / (both.sum() - n) - draws / n, axis=1)[:, :-1]
    found = bridge(both - draws[0], draws[0])
    assert found == pytest.approx(np.cov(apart.T), rel=0.02)


@pytest.mark.parametrize("rows", [50, 500, 5000])
def test_numbers_of_one_source_have_uniform_p_values(rows: int) -> None:
    random = np.random.default_rng(rows)
    p_values = [number_test(*binned(random.normal(size=5000), random.normal(size=rows))).p_value for _ in range(1000)]
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * np.sqrt(level / 1000)


@pytest.mark.parametrize(("rows", "categories"), [(50, 2), (50, 200), (200, 200), (1000, 50)])
def test_categories_of_one_source_have_uniform_p_values(rows: int, categories: int) -> None:
    random = np.random.default_rng(rows + categories)
    even = np.full(categories, 1 / categories)
    p_values = [
        category_test(random.multinomial(5000, even), random.multinomial(rows, even)).p_value for _ in range(1000)
    ]
    for level in (0.01, 0.05, 0.2):
        assert np.mean(np.array(p_values) <= level) <= level + 3 * np.sqrt(level / 1000)


def test_mostly_zeros_have_honest_p_values_too() -> None:
    random = np.random.default_rng(0)

    def rows(count: int) -> Array:
        return np.asarray((random.random(count) < 0.02) * random.lognormal(size=count))

    p_values = [number_test(*binned(rows(5000), rows(60))).p_value for _ in range(1000)]
    assert np.mean(np.array(p_values) <= 0.05) <= 0.05 + 3 * np.sqrt(0.05 / 1000)


def test_p_values_of_thin_tables_go_as_far_down_as_evidence_does() -> None:
    reference, current = np.full(200, 25), np.zeros(200, np.int64)
    current[3] = 50
    assert category_test(reference, current).p_value < 1e-12
    shifted = binned(np.random.default_rng(0).normal(size=5000), np.full(50, 9.0))
    assert number_test(*shifted).p_value < 1e-12


def test_the_energy_distance_finds_a_shift_a_spread_and_two_humps() -> None:
    random = np.random.default_rng(0)
    reference = random.normal(size=5000)
    for current in (
        random.normal(0.2, size=800),
        random.normal(scale=1.4, size=800),
        random.choice([-1.0, 1.0], 800) + random.normal(scale=0.2, size=800),
    ):
        assert number_test(*binned(reference, current)).p_value < 1e-3
