import math

import numpy as np
import pytest
import scipy.spatial.distance
import scipy.stats
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from lastmile.drift import statistics
from lastmile.tensors import Array

TABLES = st.integers(1, 12).flatmap(
    lambda bins: st.tuples(*(arrays(np.int64, bins, elements=st.integers(0, 500)) for _ in range(2)))
)


def filled(table: tuple[Array, Array]) -> bool:
    return all(side.sum() for side in table)


@given(TABLES.filter(filled))
def test_jensen_shannon_is_scipys(table: tuple[Array, Array]) -> None:
    wanted = scipy.spatial.distance.jensenshannon(*table, base=2)
    assert statistics.jensen_shannon(*table) == pytest.approx(wanted, abs=1e-7)


@given(TABLES.filter(filled))
def test_psi_is_the_symmetric_entropy_of_scipy(table: tuple[Array, Array]) -> None:
    p, q = (side + 0.5 for side in table)
    assert statistics.psi(*table) == pytest.approx(scipy.stats.entropy(p, q) + scipy.stats.entropy(q, p), abs=1e-9)


@given(TABLES.filter(lambda table: all(side.sum() > 1 for side in table)))
def test_kolmogorov_smirnov_is_scipys_on_the_bins_numbers(table: tuple[Array, Array]) -> None:
    samples = [np.repeat(np.arange(len(side)), side) for side in table]
    wanted = scipy.stats.ks_2samp(*samples, method="asymp").statistic
    assert statistics.kolmogorov_smirnov(*table) == pytest.approx(wanted, abs=1e-9)


@given(TABLES.filter(filled))
def test_wasserstein_and_energy_are_scipys_at_the_bins_positions(table: tuple[Array, Array]) -> None:
    positions = np.cumsum(np.arange(len(table[0]), dtype=float))
    weighted = {"u_weights": table[0], "v_weights": table[1]}
    wanted = scipy.stats.wasserstein_distance(positions, positions, **weighted)
    assert statistics.wasserstein(*table, positions) == pytest.approx(wanted, abs=1e-9)
    wanted = scipy.stats.energy_distance(positions, positions, **weighted) ** 2 / 2
    assert statistics.energy(*table, positions) == pytest.approx(wanted, abs=1e-9)


@given(
    arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)),
    arrays(np.float64, st.integers(1, 20), elements=st.floats(-1e6, 1e6)),
)
def test_wasserstein_of_samples_is_scipys(one: Array, other: Array) -> None:
    wanted = scipy.stats.wasserstein_distance(one, other)
    assert statistics.wasserstein_of_samples(one, other) == pytest.approx(wanted, abs=1e-6)


@given(TABLES)
def test_chi_square_is_scipys_where_scipy_has_one(table: tuple[Array, Array]) -> None:
    value, freedom = statistics.chi_square(*table)
    there = np.array(table)[:, np.sum(table, axis=0) > 0]
    if freedom:
        wanted = scipy.stats.chi2_contingency(there, correction=False)
        assert freedom == wanted.dof
        assert value == pytest.approx(wanted.statistic)
    else:
        assert value == 0.0


@given(TABLES.filter(filled))
def test_pooling_keeps_every_row_and_leaves_no_thin_cell(table: tuple[Array, Array]) -> None:
    one, other = statistics.pooled(*table)
    assert (one.sum(), other.sum()) == (table[0].sum(), table[1].sum())
    smaller = min(one.sum(), other.sum()) / (one.sum() + other.sum())
    assert len(one) == 1 or ((one + other) * smaller >= 5 - 1e-9).all()


@given(TABLES.filter(filled))
def test_every_row_of_the_table_is_finite_and_zero_for_equal_samples(table: tuple[Array, Array]) -> None:
    for row in statistics.STATISTICS.values():
        assert math.isfinite(row.measure(*table))
        assert row.measure(table[0], table[0]) == pytest.approx(0.0, abs=1e-7)


def test_the_choices_are_in_the_table() -> None:
    for kind, choice in statistics.CHOICES.items():
        for name in choice:
            assert kind in statistics.STATISTICS[name].kinds


def test_scores_measure_a_normal_feature_in_standard_deviations() -> None:
    random = np.random.default_rng(0)
    edges = np.quantile(random.normal(size=100_000), np.linspace(0, 1, 21)[1:-1])
    one, other = (
        np.bincount(np.searchsorted(edges, random.normal(shift, size=100_000)), minlength=20) for shift in (0, 0.3)
    )
    assert statistics.wasserstein(one, other, statistics.scores(one)) == pytest.approx(0.3, abs=0.02)
