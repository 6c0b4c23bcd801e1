from itertools import pairwise

import numpy as np
import pytest
import scipy.stats

from lastmile.drift.distributions import chi_square_tail, exact_tail, kolmogorov_tail, mixture_tail, normal_tail


@pytest.mark.parametrize("z", [-3.0, 0.0, 0.1, 1.96, 6.0, 30.0])
def test_the_normal_tail_is_scipys(z: float) -> None:
    assert normal_tail(z) == pytest.approx(scipy.stats.norm.sf(z), rel=1e-10)


@pytest.mark.parametrize("freedom", [1, 2, 9, 49, 199, 1000])
@pytest.mark.parametrize("factor", [0.0, 0.2, 0.9, 1.0, 1.1, 2.0, 5.0])
def test_the_chi_square_tail_is_scipys(freedom: int, factor: float) -> None:
    wanted = scipy.stats.chi2.sf(factor * freedom, freedom)
    assert chi_square_tail(factor * freedom, freedom) == pytest.approx(wanted, rel=1e-9, abs=1e-13)


@pytest.mark.parametrize("t", [0.05, 0.3, 0.7, 0.999, 1.0, 1.36, 2.0, 4.0])
def test_the_kolmogorov_tail_is_scipys(t: float) -> None:
    assert kolmogorov_tail(t) == pytest.approx(scipy.stats.kstwobign.sf(t), rel=1e-9)


@pytest.mark.parametrize("urn", [(5, 10, 7, 3), (50, 5000, 50, 2), (2500, 2500, 500, 300), (3, 4, 7, 3), (1, 1, 1, 0)])
def test_the_exact_tail_is_fishers(urn: tuple[int, int, int, int]) -> None:
    white, black, drawn, found = urn
    table = [[found, white - found], [drawn - found, black - drawn + found]]
    assert exact_tail(*urn) == pytest.approx(scipy.stats.fisher_exact(table)[1], rel=1e-6)


def test_the_exact_tail_does_not_overflow_with_millions_of_rows() -> None:
    assert 0 < exact_tail(10**7, 10**9, 10**8, 991_000) < 1
    assert exact_tail(10**7, 10**9, 10**8, 2_000_000) == 0.0


@pytest.mark.parametrize("weights", [[1.0], [1.0] * 9, [1.0, 0.5, 0.2, 0.1], [1.0, 0.0, 1e-12, 0.3]])
def test_the_tail_of_a_mixture_is_within_a_few_per_cent_of_a_simulation(weights: list[float]) -> None:
    random = np.random.default_rng(0)
    drawn = (random.normal(size=(200_000, len(weights))) ** 2) @ np.array(weights)
    for share in (0.5, 0.1, 0.01, 0.001):
        value = float(np.quantile(drawn, 1 - share))
        assert mixture_tail(value, np.array(weights)) == pytest.approx(share, rel=0.05 + 3 / (200_000 * share) ** 0.5)


def test_a_mixture_has_no_gap_at_its_mean_and_none_without_weights() -> None:
    weights = np.array([1.0, 0.5, 0.25])
    tails = [mixture_tail(value, weights) for value in np.linspace(1.7, 1.8, 200)]
    assert all(a >= b - 2e-4 for a, b in pairwise(tails))
    assert mixture_tail(0.0, weights) == 1.0
    assert mixture_tail(1.0, np.zeros(2)) == 0.0
    assert mixture_tail(1e9, weights) == 0.0
    assert mixture_tail(1e-9, weights) == pytest.approx(1.0)
