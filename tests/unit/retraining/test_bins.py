import numpy as np
import pytest

from functions.retraining.bins import counted

LARGEST = float(np.finfo(float).max)


def test_numbers_are_counted_between_the_bounds() -> None:
    assert counted(np.array([-1.0, 0.0, 0.1, 0.5, 0.99, 1.0, 7.0]), 0.0, 1.0, 2) == (2, 3)


@pytest.mark.parametrize(
    ("low", "high"), [(0.3, 0.1 + 0.2), (1e17, 1e17 + 16), (-LARGEST, LARGEST), (0.0, 5e-324)], ids=str
)
def test_bounds_may_be_neighbours_or_as_far_apart_as_can_be(low: float, high: float) -> None:
    low, high = sorted((low, high))
    assert counted(np.array([low, high, high]), low, high, 24) == (1, *[0] * 22, 2)
