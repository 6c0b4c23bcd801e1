from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.audit import DONE, Order, Serving, new_entry
from lastmile.errors import InvalidInput, ReleaseConflict
from lastmile.release import (
    Release,
    promoted,
    registered,
    rolled_back,
    serve,
    with_canary,
    with_shadow,
    without,
)

HEAD = new_entry(
    "m", Order("create", None, "a", "w"), outcome=DONE, revisions=(0, 0), states=(Serving(), Serving()), last=None
)
EMPTY = Release("m", 0, None, None, 0.0, None, None, latest=9, head=HEAD)
SERVING = serve(EMPTY, Serving(champion=2, previous=1))
CANARY = with_canary(SERVING, 3, 0.25)


def test_the_first_promotion_has_nothing_before_it() -> None:
    assert promoted(EMPTY, 4).serving == Serving(champion=4)


def test_a_promotion_ends_the_canary_and_keeps_the_way_back() -> None:
    assert promoted(CANARY, 3).serving == Serving(champion=3, previous=2)
    assert promoted(CANARY, 4).serving == Serving(champion=4, previous=2)


def test_promoting_the_champion_only_ends_the_canary() -> None:
    assert promoted(CANARY, 2).serving == SERVING.serving
    assert promoted(SERVING, 2) == SERVING


def test_a_shadow_that_is_promoted_is_no_shadow_any_more() -> None:
    shadowed = with_shadow(SERVING, 5)
    assert promoted(shadowed, 5).shadow is None
    assert promoted(shadowed, 6).shadow == 5


def test_a_canary_has_a_share_and_ends_with_none_or_zero() -> None:
    assert CANARY.serving == Serving(champion=2, challenger=3, weight=0.25, previous=1)
    assert with_canary(CANARY, None, 0.5).serving == SERVING.serving
    assert with_canary(CANARY, 3, 0).serving == SERVING.serving
    assert with_canary(CANARY, 4, 1).serving == Serving(champion=2, challenger=4, weight=1.0, previous=1)


@pytest.mark.parametrize("weight", [-0.1, 1.1, float("nan"), float("inf"), "0.5", None, True])
def test_a_weight_is_a_number_from_0_to_1(weight: float) -> None:
    with pytest.raises(InvalidInput, match="weight must be a number from 0 to 1"):
        with_canary(SERVING, 3, weight)


def test_nothing_runs_beside_a_champion_that_is_not_there_or_is_itself() -> None:
    for change in (lambda release, version: with_canary(release, version, 0.5), with_shadow):
        with pytest.raises(ReleaseConflict, match="has no champion"):
            change(EMPTY, 3)
        with pytest.raises(ReleaseConflict, match="version 2 is the champion"):
            change(SERVING, 2)


def test_a_shadow_comes_and_goes() -> None:
    assert with_shadow(SERVING, 5).serving == Serving(champion=2, shadow=5, previous=1)
    assert with_shadow(with_shadow(SERVING, 5), None) == SERVING


def test_a_rollback_ends_the_canary_first_and_then_restores_the_previous_version() -> None:
    assert rolled_back(CANARY).serving == SERVING.serving
    assert rolled_back(SERVING).serving == Serving(champion=1)
    with pytest.raises(ReleaseConflict, match="no canary and no previous champion"):
        rolled_back(rolled_back(SERVING))


def test_a_shadow_that_becomes_champion_by_a_rollback_is_no_shadow_any_more() -> None:
    assert rolled_back(with_shadow(SERVING, 1)).serving == Serving(champion=1)
    assert rolled_back(with_shadow(SERVING, 5)).serving == Serving(champion=1, shadow=5)


def test_a_rejected_version_serves_nowhere() -> None:
    everywhere = serve(EMPTY, Serving(champion=2, challenger=3, weight=0.5, shadow=3, previous=1))
    assert without(everywhere, 3).serving == Serving(champion=2, previous=1)
    assert without(everywhere, 1).serving == replace(everywhere.serving, previous=None)
    assert without(everywhere, 7) == everywhere
    with pytest.raises(ReleaseConflict, match="version 2 is the champion"):
        without(everywhere, 2)


def test_numbers_that_were_skipped_are_gaps_until_they_are_registered() -> None:
    release = replace(EMPTY, latest=2)
    after = registered(release, 5)
    assert (after.latest, after.gaps) == (5, (3, 4))
    assert [number for number in range(-1, 8) if after.has(number)] == [1, 2, 5]
    late = registered(after, 3)
    assert (late.latest, late.gaps) == (5, (4,))


@pytest.mark.parametrize("version", [0, -1, 10, True, 1.0, "1", None])
def test_what_is_no_registered_number_is_no_version(version: object) -> None:
    assert not EMPTY.has(version)


numbers = st.none() | st.integers(1, 9)


@given(
    st.builds(Serving, champion=numbers, challenger=numbers, weight=st.floats(0, 1), shadow=numbers, previous=numbers)
)
def test_a_release_comes_back_from_its_bytes(serving: Serving) -> None:
    release = replace(serve(EMPTY, serving), latest=11, gaps=(10,), revision=8)
    assert Release.from_bytes(release.to_bytes()) == release


moves = st.one_of(
    st.tuples(st.just("promote"), st.integers(1, 9)),
    st.tuples(st.just("canary"), numbers, st.floats(0, 1)),
    st.tuples(st.just("shadow"), numbers),
    st.tuples(st.just("rollback")),
    st.tuples(st.just("reject"), st.integers(1, 9)),
)


@given(st.lists(moves, max_size=30))
def test_no_sequence_of_moves_leads_to_a_release_that_makes_no_sense(orders: list[tuple[Any, ...]]) -> None:
    changes: dict[str, Callable[..., Release]] = {
        "promote": promoted,
        "canary": with_canary,
        "shadow": with_shadow,
        "rollback": rolled_back,
        "reject": without,
    }
    release = EMPTY
    for name, *arguments in orders:
        try:
            release = changes[name](release, *arguments)
        except ReleaseConflict:
            continue
        assert (release.challenger is None) == (release.weight == 0)
        assert release.champion is None or release.champion not in (
            release.challenger,
            release.shadow,
            release.previous,
        )
        assert release.champion is not None or release.serving == Serving()
