import numpy as np
import pytest

from functions.retraining.recipes.split import apart, default, drawn, folds
from functions.retraining.table import Table
from lastmile.errors import DataRefused
from tests.unit.retraining.recipes.examples import classified, rows, sales, sold


def test_every_class_has_the_same_share_held_out() -> None:
    table = rows(1000)
    training, held_out = default(table, classified())
    assert (training.rows, held_out.rows) == (800, 200)
    assert abs(training["y"].mean() - held_out["y"].mean()) < 0.01


def test_a_rare_class_is_on_both_sides() -> None:
    labels = np.array([1] * 10 + [0] * 990)
    mask = drawn(1000, 0.2, 0, labels)
    assert labels[mask].sum() == 2


def test_a_row_is_on_the_same_side_in_the_next_upload_and_with_its_copies() -> None:
    table, more = rows(1000), rows(300, 1)
    labels = table["y"].astype(float)  # as they are beside missing ones
    first = apart(Table({**table.columns, "y": labels}), 0.2, 0, labels)
    joined = Table({name: np.concatenate([more[name], table[name], table[name]]) for name in table.columns})
    later = apart(joined, 0.2, 0, joined["y"])
    assert (later[300:1300] == first).mean() > 0.97
    assert (later[300:1300] == later[1300:]).mean() > 0.99
    assert apart(table, 0.2, 1).sum() == first.sum() == 200
    assert not np.array_equal(apart(table, 0.2, 1), apart(table, 0.2, 2))


def test_the_only_row_of_a_class_is_learnt_from() -> None:
    labels = np.array(["a"] * 9 + ["b"])
    table = Table({"a": np.arange(10.0)})
    for seed in range(20):
        assert not drawn(10, 0.5, seed, labels)[9]
        assert not apart(table, 0.5, seed, labels)[9]


def test_another_seed_draws_other_rows_and_the_same_seed_the_same() -> None:
    assert np.array_equal(drawn(100, 0.2, 1), drawn(100, 0.2, 1))
    assert not np.array_equal(drawn(100, 0.2, 1), drawn(100, 0.2, 2))


def test_with_a_time_the_newest_rows_are_held_out_and_no_moment_is_divided() -> None:
    training, held_out = default(sold(), sales())
    assert training["date"].max() < held_out["date"].min()
    assert held_out.rows == 48


def test_rows_that_cannot_be_divided_are_refused() -> None:
    with pytest.raises(DataRefused, match="1 rows cannot be divided"):
        default(Table({"a": np.zeros(1), "y": np.zeros(1, np.int64)}), classified())


def test_rows_of_one_moment_are_refused_because_of_their_time() -> None:
    with pytest.raises(DataRefused, match="240 rows cannot be .*: date is the same in all of them"):
        default(Table({**sold().columns, "date": np.zeros(240)}), sales())


def test_folds_are_of_equal_size_and_mix() -> None:
    labels = np.repeat([0, 1], [90, 10])
    fold = folds(100, 5, 0, labels)
    assert np.bincount(fold).tolist() == [20] * 5
    assert [int(labels[fold == number].sum()) for number in range(5)] == [2] * 5
