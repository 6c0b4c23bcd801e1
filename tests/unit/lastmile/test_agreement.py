import numpy as np
import pytest

from lastmile.agreement import compare
from lastmile.tensors import Array


def values(*numbers: float) -> dict[str, Array]:
    return {"value": np.array(numbers, np.float32)}


def test_numbers_agree_within_the_tolerance_and_what_float32_can_tell() -> None:
    (found,) = compare("sample", values(1, 2, 1e6), values(1, 2.01, 1e6 + 0.5), 0.02)
    assert (found.rows, found.output, found.count, found.beyond, found.worst) == ("sample", "value", 3, 0, None)
    assert found.is_within(0.0)


def test_the_worst_row_is_told_with_both_answers() -> None:
    (found,) = compare("sample", values(1, 2, 3), values(1.5, 2, 9), 0.1)
    assert (found.beyond, found.worst, found.expected, found.found) == (2, 2, "3.0", "9.0")
    assert found.largest_difference == pytest.approx(6)
    assert not found.is_within(1.0), "no share of the rows excuses a number"


def test_two_missing_values_agree_and_one_alone_does_not() -> None:
    nan = float("nan")
    assert compare("sample", values(nan), values(nan), 0)[0].beyond == 0
    assert compare("sample", values(nan), values(1), 1e9)[0].beyond == 1


def test_labels_may_differ_in_a_share_of_the_rows() -> None:
    mine = {"label": np.array(["a", "b", "c", "d"], object)}
    (found,) = compare("sample", mine, {"label": np.array(["a", "b", "c", "x"], object)}, 0)
    assert (found.beyond, found.is_within(0.25), found.is_within(0.2)) == (1, True, False)


def test_items_may_change_places_where_their_scores_are_level() -> None:
    mine = {"items": np.array([["a", "b", "c"]], object), "scores": np.array([[3.0, 2.0, 2.0]])}
    theirs = mine | {"items": np.array([["a", "c", "b"]], object)}
    assert compare("sample", mine, theirs, 0)[0].beyond == 0
    theirs = mine | {"items": np.array([["b", "a", "c"]], object)}
    assert compare("sample", mine, theirs, 0)[0].beyond == 1


def test_another_shape_is_no_agreement() -> None:
    (found,) = compare("sample", values(1, 2), values(1), 9)
    assert (found.beyond, found.worst, found.expected, found.found) == (2, None, "shape [2]", "shape [1]")


def test_texts_of_any_output_are_equal_or_not() -> None:
    (found,) = compare("sample", {"team": np.array(["a", "b"], object)}, {"team": np.array(["a", "c"], object)}, 1)
    assert (found.beyond, found.worst, found.expected, found.found) == (1, 1, "b", "c")


def test_no_rows_agree() -> None:
    (found,) = compare("sample", {"value": np.zeros((0, 3))}, {"value": np.zeros((0, 3))}, 0)
    assert (found.count, found.beyond, found.worst) == (0, 0, None)
