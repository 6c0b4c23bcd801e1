"""What the judge looks at: errors, slow answers, other predictions; each with its margin and its weight."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from functions.retraining.judge import Signal, verdict
from functions.retraining.signals import Latency, signals
from lastmile.policies import Canary
from lastmile.profile import LATENCY_EDGES_MS, Layout, Profile
from lastmile.tensors import Array, Signature, TensorSpec

CLASSES = Signature((), (TensorSpec("label", "INT64", (-1,)),))
NUMBERS = Signature((), (TensorSpec("value", "FP32", (-1,)),))


def profiled(values: Any, *, task: str = "classification", errors: int = 0, ms: float = 10.0) -> Profile:
    """One request for each value, all answered in the same time."""
    signature, name = (CLASSES, "label") if task == "classification" else (NUMBERS, "value")
    array = np.asarray(values)
    base = np.array([0, 0, 1, 1]) if task == "classification" else np.linspace(0, 100, 200, dtype=np.float32)
    layout = Layout.from_rows(signature, task, {}, {name: base})
    profile = Profile.of(layout, {}, {name: array}).observed(ms=ms, error=False, at=0.0)
    latency = profile.latency * len(array)
    return replace(profile, requests=len(array), errors=errors, latency=latency)


def judged(champion: Profile, canary: Profile, *, tolerance: float = 0.1, **policy: Any) -> list[Signal]:
    latency = Latency.settle(None, champion, canary, before=champion, least=20)
    return signals(champion, canary, Canary(**policy), tolerance=tolerance, latency=latency)


def half() -> Array:
    return np.arange(1000) % 2


def worse(found: list[Signal]) -> str | None:
    seen = verdict(found, false_alarm=0.05)
    return seen.why if seen.worse else None


def test_no_more_evidence_is_shared_out_than_there_is() -> None:
    for champion in (profiled(half()), profiled(np.linspace(0, 100, 1000, dtype=np.float32), task="regression")):
        found = judged(champion, champion)
        assert sum(signal.weight for signal in found) <= 1 + 1e-9
        assert len({signal.name for signal in found}) == len(found)
        assert worse(found) is None


def test_errors_are_borne_up_to_the_margin() -> None:
    champion, canary = profiled(half(), errors=10), profiled(half(), errors=90)
    assert str(worse(judged(champion, canary))).startswith("errors: 9.00% of 1,000 against 1.00%")
    assert worse(judged(champion, canary, max_error_increase=0.2)) is None


@pytest.mark.parametrize("share", [0.2, 0.8])
def test_more_of_a_class_and_fewer_of_it_both_count(share: float) -> None:
    canary = profiled((np.arange(1000) < share * 1000).astype(np.int64))
    found = worse(judged(profiled(half()), canary))
    assert found is not None
    assert "answered" in found
    assert worse(judged(profiled(half()), canary, tolerance=0.4)) is None


@pytest.mark.parametrize(("captured", "cases"), [(1.0, 10), (0.5, 5)])
def test_all_rows_of_a_request_weigh_as_one_case(captured: float, cases: int) -> None:
    champion, canary = (replace(profiled(values), requests=10) for values in (half(), half() * 0))
    latency = Latency.settle(None, champion, canary, before=champion, least=20)
    found = signals(champion, canary, Canary(), tolerance=0.1, latency=latency, captured=captured)
    (signal,) = [one for one in found if one.name == "label 0 answered"]
    assert (*signal.champion, *signal.canary) == (round(cases / 2), cases, cases, cases)
    assert worse(found) is None


def test_a_class_that_nobody_knew_counts_as_another() -> None:
    champion, canary = profiled(half()), profiled(np.where(np.arange(1000) < 300, 7, half()))
    (signal,) = [one for one in judged(champion, canary) if one.name == "label unseen answered"]
    assert (signal.champion.bad, signal.canary.bad, signal.canary.of) == (0, 300, 1000)
    assert "unseen" in str(worse([signal]))


@pytest.mark.parametrize(("low", "high"), [(0, 40), (60, 100)])
def test_values_that_lie_elsewhere_are_seen(low: float, high: float) -> None:
    champion = profiled(np.linspace(0, 100, 1000, dtype=np.float32), task="regression")
    canary = profiled(np.linspace(low, high, 1000, dtype=np.float32), task="regression")
    found = worse(judged(champion, canary))
    assert found is not None
    assert ("above" if low else "up to") in found


def test_values_that_are_none_are_seen() -> None:
    champion = profiled(np.linspace(0, 100, 1000, dtype=np.float32), task="regression")
    canary = profiled(np.where(half() == 1, np.float32(50), np.float32(np.nan)), task="regression")
    assert "missing or infinite" in str(worse(judged(champion, canary)))


def test_slower_answers_are_borne_up_to_the_ratio() -> None:
    champion, canary = profiled(half(), ms=10), profiled(half(), ms=30)
    assert "slower than" in str(worse(judged(champion, canary, max_latency_ratio=1.5)))
    assert worse(judged(champion, canary, max_latency_ratio=10.0)) is None


def test_what_is_slow_is_settled_once_and_before_it_is_judged() -> None:
    champion, canary = profiled(half(), ms=10), profiled(half(), ms=30)
    unsettled = Latency.settle(None, profiled([0]), profiled([0]), before=None, least=20)
    assert unsettled.to_document() is None
    assert [*unsettled.signals(champion.latency, canary.latency, 1.5)] == []
    now = Latency.settle(None, champion, canary, before=None, least=20)
    assert all(signal.canary.of == 0 for signal in now.signals(champion.latency, canary.latency, 1.5))
    document = now.to_document()
    assert document is not None
    later = Latency.settle(document, profiled(half(), ms=500), canary, before=None, least=20)
    assert later.to_document() == document
    (signal, *_) = later.signals(champion.latency * 2, canary.latency * 2, 1.5)
    assert (signal.canary.bad, signal.canary.of, signal.champion.bad) == (1000, 1000, 0)


def test_a_champion_slower_than_all_edges_has_nobody_slower() -> None:
    champion = profiled(half(), ms=LATENCY_EDGES_MS[-1] * 10)
    assert worse(judged(champion, champion)) is None
