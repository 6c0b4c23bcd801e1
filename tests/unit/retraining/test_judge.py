import math

import numpy as np
import pytest

from functions.retraining.judge import Count, Signal, log_evidence, verdict

FALSE_ALARM = 0.05


def errors(champion: Count, canary: Count, *, margin: float = 0.02, weight: float = 0.5) -> Signal:
    return Signal("errors", champion, canary, margin, weight)


def looked_at(rng: np.random.Generator, champion: float, canary: float, *, requests: int, looks: int) -> bool:
    """Whether one canary of a quarter of the requests is ever called worse, with this many looks at it."""
    counts = np.zeros(4, np.int64)
    for _ in range(looks):
        mine = rng.binomial(requests // looks, 0.25)
        its = requests // looks - mine
        counts += [rng.binomial(its, champion), its, rng.binomial(mine, canary), mine]
        signal = errors(Count(*map(int, counts[:2])), Count(*map(int, counts[2:])))
        if verdict([signal], false_alarm=FALSE_ALARM).worse:
            return True
    return False


@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_an_equal_canary_is_almost_never_called_worse_however_often_one_looks(share: float) -> None:
    rng = np.random.default_rng(1)
    called = sum(looked_at(rng, share, share, requests=20_000, looks=50) for _ in range(60))
    assert called <= FALSE_ALARM * 60


def test_a_canary_at_the_very_margin_is_called_worse_no_more_often_than_promised() -> None:
    rng = np.random.default_rng(2)
    called = sum(looked_at(rng, 0.01, 0.03, requests=20_000, looks=50) for _ in range(100))
    assert called <= FALSE_ALARM * 100


@pytest.mark.parametrize("share", [0.0, 0.01, 0.05])
def test_five_per_cent_more_errors_are_found(share: float) -> None:
    rng = np.random.default_rng(3)
    called = sum(looked_at(rng, share, share + 0.05, requests=40_000, looks=50) for _ in range(40))
    assert called >= 0.9 * 40


def test_the_evidence_is_an_e_value_when_there_is_no_excess() -> None:
    """Its mean over what may be seen is at most 1: added up over every outcome, so no chance is in it."""
    of, canary_of, share, margin = 12, 9, 0.3, 0.1
    mean = 0.0
    for bad in range(of + 1):
        for canary_bad in range(canary_of + 1):
            chance = math.comb(of, bad) * share**bad * (1 - share) ** (of - bad)
            chance *= math.comb(canary_of, canary_bad)
            chance *= (share + margin) ** canary_bad * (1 - share - margin) ** (canary_of - canary_bad)
            mean += chance * math.exp(log_evidence(Count(bad, of), Count(canary_bad, canary_of), margin))
    assert mean <= 1


def test_nothing_seen_is_no_evidence() -> None:
    assert log_evidence(Count(0, 0), Count(0, 0), 0.02) == pytest.approx(0)


def test_a_smaller_margin_finds_a_smaller_excess() -> None:
    champion, canary = Count(50, 5000), Count(80, 2000)
    assert log_evidence(champion, canary, 0.0) > log_evidence(champion, canary, 0.02)
    assert verdict([errors(champion, canary, margin=0.0)], false_alarm=FALSE_ALARM).worse
    assert not verdict([errors(champion, canary, margin=0.02)], false_alarm=FALSE_ALARM).worse


def test_a_smaller_false_alarm_needs_more_evidence() -> None:
    signal = errors(Count(0, 1000), Count(35, 500))
    assert verdict([signal], false_alarm=0.05).worse
    assert not verdict([signal], false_alarm=1e-9).worse


def test_a_lower_weight_needs_more_evidence() -> None:
    found = [verdict([errors(Count(0, 1000), Count(40, 600), weight=w)], false_alarm=0.05) for w in (0.5, 0.05)]
    assert found[0].evidence == pytest.approx(10 * found[1].evidence)


def test_the_verdict_names_the_strongest_signal() -> None:
    quiet = Signal("slow", Count(1, 100), Count(1, 100), 0.0, 0.25)
    found = verdict([quiet, errors(Count(0, 2000), Count(100, 1000))], false_alarm=FALSE_ALARM)
    assert found.worse
    assert found.why == "errors: 10.00% of 1,000 against 0.00% of 2,000"


def test_huge_counts_give_finite_figures() -> None:
    found = verdict([errors(Count(0, 10**9), Count(10**9, 10**9))], false_alarm=FALSE_ALARM)
    assert found.worse
    assert math.isfinite(found.evidence)
