from datetime import UTC, datetime

import numpy as np
import pytest

from functions.retraining.recipes.windows import Grid, step_of
from tests.unit.retraining.recipes.examples import texts

DAY = 86_400.0
MONTHS = [datetime(2010 + month // 12, 1 + month % 12, 1, tzinfo=UTC).timestamp() for month in range(120)]
CLOCKS_SET = [DAY * day - (3600 if day > 20 else 0) for day in range(40)]


@pytest.mark.parametrize(
    ("times", "step"), [(MONTHS, 30.43 * DAY), (CLOCKS_SET, DAY), ([0.0, DAY, 2 * DAY, 9 * DAY], DAY), ([5.0], 1.0)]
)
def test_a_step_is_the_usual_time_between_rows(times: list[float], step: float) -> None:
    assert step_of(np.zeros(len(times)), np.array(times)) == pytest.approx(step, rel=1e-3)


def test_no_month_takes_the_place_of_another() -> None:
    times, series = np.array(MONTHS), np.zeros(120)
    grid = Grid.of(series, times, np.arange(120.0), step=step_of(series, times), room=13)
    assert grid.before(1, 12)[-1].tolist() == [*range(107, 119)]


def test_a_row_sees_the_earlier_values_of_its_own_series_and_the_last_of_those_that_are_there_twice() -> None:
    series, times = texts(["a", "b", "a", "a", "a", "b"]), np.array([0.0, 1, 1, 1, 3, 4])
    grid = Grid.of(series, times, np.arange(6.0), step=1.0, room=4)
    np.testing.assert_array_equal(grid.before(1, 3)[[0, 4, 5]], [[np.nan] * 3, [0, 3, np.nan], [1, np.nan, np.nan]])


def test_rows_that_are_few_and_far_between_take_no_memory_for_the_time_without_any() -> None:
    series, times = texts(["a", "a", "b"]), np.array([0.0, 1.0, 1e12])
    assert Grid.of(series, times, np.arange(3.0), step=1.0, room=4).before(1, 2)[1].tolist()[1] == 0
