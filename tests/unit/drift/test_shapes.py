import numpy as np
import pytest

from functions.drift.shapes import bars, missing_share, unseen_share
from lastmile.profile import FeatureLayout, FeatureProfile


def numbers(values: list[float], edges: tuple[float, ...] = (0.0, 1.0, 2.0)) -> FeatureProfile:
    layout = FeatureLayout("numeric", "x", edges=edges)
    return FeatureProfile.of(layout, np.array(values)[:, None])


def words(values: list[str], categories: tuple[str, ...] = ("a", "b"), *, closed: bool = True) -> FeatureProfile:
    layout = FeatureLayout("category", "x", categories=categories, closed=closed)
    return FeatureProfile.of(layout, np.array(values, object)[:, None])


def test_bins_are_named_by_their_edges() -> None:
    found = bars(numbers([-1, 0.5, 1.5, 9]), numbers([0.5, 0.6, 1.5, 1.6]))
    assert found.labels == ["≤ 0", "0 to 1", "1 to 2", "> 2"]
    assert found.reference == [0.25, 0.25, 0.25, 0.25]
    assert found.current == [0, 0.5, 0.5, 0]


def test_a_value_with_a_bin_to_itself_is_named_as_people_write_it() -> None:
    edges = tuple(sorted(edge for value in (0.0, 3.0) for edge in (value, float(np.nextafter(value, -np.inf)))))
    found = bars(numbers([0, 0, 1, 3, 4], edges), numbers([0], edges))
    assert found.labels == ["0", "0 to 3", "3", "> 3"]


def test_bins_that_nobody_uses_at_the_ends_are_not_drawn() -> None:
    found = bars(numbers([0.5]), numbers([1.5]))
    assert (found.labels, found.reference, found.current) == (["0 to 1", "1 to 2"], [1, 0], [0, 1])


def test_many_bins_are_drawn_together() -> None:
    edges = tuple(float(edge) for edge in range(100))
    values = [edge + 0.5 for edge in range(-1, 100)]
    found = bars(numbers(values, edges), numbers(values[:50], edges))
    assert len(found.labels) <= 24
    assert sum(found.reference) == pytest.approx(1, abs=1e-4)
    assert found.labels[0] == "≤ 4"
    assert found.labels[-1] == "> 99"


def test_what_is_missing_or_infinite_has_its_own_bar() -> None:
    found = bars(numbers([0.5, float("nan")]), numbers([0.5, float("inf")]))
    assert found.labels == ["0 to 1", "missing", "infinite"]
    assert (found.reference, found.current) == ([0.5, 0.5, 0], [0.5, 0, 0.5])


def test_categories_keep_their_order_and_rare_ones_are_put_together() -> None:
    names = tuple(f"c{number:02}" for number in range(30))
    found = bars(words([*names, *["c29"] * 5], names), words(["c00", "c29", "new"], names))
    assert found.labels[:2] == ["c00", "c01"]
    assert {"c29", "unseen"} <= set(found.labels)
    assert found.labels[-1] == "19 more"
    assert sum(found.current) == pytest.approx(1, abs=1e-4)


def test_unseen_and_missing_are_shares_or_nothing() -> None:
    assert unseen_share(words(["a", "new"])) == 0.5
    assert unseen_share(words([])) is None
    assert unseen_share(numbers([1])) is None
    assert missing_share(numbers([float("nan"), 1])) == 0.5
    assert missing_share(numbers([])) is None


def test_nothing_at_all_has_no_bars() -> None:
    assert bars(numbers([]), numbers([])) == ([], [], [])
    assert bars(words([]), words([])) == ([], [], [])
