import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lastmile.drift import ALPHA, DriftReport, compare
from lastmile.drift.budget import HOURS_PER_YEAR, MARGIN, Budget
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Signature, TensorSpec

DAILY = Drift(every_hours=24, alarms_per_year=1)
DAY = 24 * 3600.0
SIGNATURE = Signature(
    (TensorSpec("x", "FP32", (-1, 5), columns=tuple("abcde")),), (TensorSpec("value", "FP32", (-1,)),)
)


def report(*, alpha: float = 0.001, drifted: bool = False, tests: int = 1) -> DriftReport:
    profile = reference(SIGNATURE, "regression", {"x": np.random.default_rng(0).normal(size=(1000, 5))}, {})
    current = Profile.of(profile.layout, {"x": np.full((1000 if tests else 0, 5), 9.0 if drifted else np.nan)}, {})
    found = compare(profile, current, policy=DAILY, alpha=alpha)
    return DriftReport(found.features if drifted else (), (), alpha, tests)


def test_a_daily_check_has_a_year_th_of_the_budget() -> None:
    assert Budget().level(DAILY, 0.0) == pytest.approx(MARGIN * 24 / HOURS_PER_YEAR)
    assert Budget().level(Drift(every_hours=1, alarms_per_year=2), 0.0) == pytest.approx(MARGIN * 2 / HOURS_PER_YEAR)


def test_asking_again_at_once_earns_nothing() -> None:
    budget, _ = Budget().after(report(alpha=1.0), DAILY, 0.0)
    assert budget.level(DAILY, 0.0) == 0.0
    assert budget.level(DAILY, 3600.0) == pytest.approx(MARGIN / HOURS_PER_YEAR)


def test_a_check_without_data_leaves_its_share_to_the_next_but_not_for_ever() -> None:
    budget, _ = Budget().after(None, DAILY, 0.0)
    assert budget.level(DAILY, DAY) == pytest.approx(MARGIN * 2 * 24 / HOURS_PER_YEAR)
    budget, _ = Budget().after(report(tests=0), DAILY, 0.0)
    assert budget.level(DAILY, DAY) == pytest.approx(MARGIN * 2 * 24 / HOURS_PER_YEAR)
    assert budget.level(DAILY, 300 * DAY) == pytest.approx(MARGIN * 7 * 24 / HOURS_PER_YEAR)
    assert Budget().level(Drift(every_hours=24 * 365, alarms_per_year=300), 0.0) == ALPHA


def test_an_alarm_begins_once_and_again_only_after_it_was_over() -> None:
    begun, budget = [], Budget()
    for day, found in enumerate([report(drifted=True), report(drifted=True), None, report(), report(drifted=True)]):
        budget, begins = budget.after(found, DAILY, day * DAY)
        begun.append(begins)
    assert begun == [True, False, False, False, True]
    assert budget.alarms == 2


@given(st.lists(st.tuples(st.floats(0, 40), st.booleans()), max_size=60), st.floats(0.1, 50), st.floats(1, 100))
def test_whenever_it_is_asked_no_more_is_spent_than_was_earned(
    checks: list[tuple[float, bool]], alarms: float, every: float
) -> None:
    policy, budget, at = Drift(every_hours=every, alarms_per_year=alarms), Budget(), 0.0
    for days, has_data in checks:
        at += days * DAY
        found = DriftReport((), (), budget.level(policy, at), 1) if has_data else None
        budget, _ = budget.after(found, policy, at)
    assert budget.spent <= alarms * (at / 3600 + every) / HOURS_PER_YEAR * (1 + 1e-9)
    again = Budget.from_document(json.loads(json.dumps(budget.to_document(), allow_nan=False)))
    assert again == budget


def test_the_sentence_says_what_is_promised_and_used() -> None:
    assert "has not checked it yet" in Budget().sentence(DAILY)
    budget, _ = Budget().after(report(drifted=True), DAILY, 1e9)
    assert "0.5 false alarms a year are" in Budget().sentence(Drift(alarms_per_year=0.5))
    assert budget.sentence(DAILY) == (
        "At most 1 false alarm a year is to be expected of this model; "
        "since 2001-09-09 1 check was worth 0.001 of one, and 1 alarm began."
    )


def test_a_budget_of_another_format_is_refused() -> None:
    with pytest.raises(ProfileMismatch, match="format 0"):
        Budget.from_document({"format": 0})


def test_a_year_of_daily_checks_of_stable_data_keeps_the_budget() -> None:
    """Three models, a year each, with a budget of 12: what the threshold lets through is counted, not assumed."""
    random = np.random.default_rng(7)
    policy = Drift(every_hours=24, alarms_per_year=12, tolerance=0.0)
    alarms = 0
    for _ in range(3):
        profile = reference(SIGNATURE, "regression", {"x": random.normal(size=(5000, 5))}, {})
        budget = Budget()
        for day in range(365):
            current = Profile.of(profile.layout, {"x": random.normal(size=(200, 5))}, {})
            found = compare(profile, current, policy=policy, alpha=budget.level(policy, day * DAY))
            budget, _ = budget.after(found, policy, day * DAY)
        assert budget.spent == pytest.approx(MARGIN * 12, rel=0.01)
        alarms += budget.alarms
    assert alarms <= 36 + 3 * 36**0.5
    assert alarms >= 12  # and it does not keep it by sleeping


def test_drift_is_found_under_the_budget_too() -> None:
    random = np.random.default_rng(7)
    profile = reference(SIGNATURE, "regression", {"x": random.normal(size=(5000, 5))}, {})
    current = Profile.of(profile.layout, {"x": random.normal(0.3, size=(500, 5))}, {})
    found = compare(profile, current, policy=DAILY, alpha=Budget().level(DAILY, 0.0))
    assert Budget().after(found, DAILY, 0.0)[1]
