import json
import time

import pytest

from benchmarks.hook import SECRET, events
from benchmarks.support import GRID, NOTHING, Routed, accuracy, curve, highest
from functions.chat import signatures

KNOWN = [("how do I pay", "pay"), ("which cards do you take", "pay"), ("where is my order", "order")]


def routed(intent: str, confidence: float, done: str = "routed") -> Routed:
    return Routed(done, intent, confidence)


def test_what_is_not_routed_is_not_right() -> None:
    found = [routed("a", 0.9), routed("a", 0.4), routed("b", 0.9), routed("a", 0.9, "asked")]
    assert accuracy(found, ["a"] * 4) == 0.5
    assert accuracy(found, ["a"] * 4, least=0.5) == 0.25


def test_the_threshold_is_the_highest_that_keeps_the_accuracy() -> None:
    found = [routed("a", 0.5)] * 8 + [routed("a", 0.795)] * 92
    assert highest(found, ["a"] * 100) == pytest.approx(0.79)
    assert highest([routed("b", 0.9)], ["a"]) == GRID[0]


def test_a_curve_counts_what_nobody_knows() -> None:
    asked = [("how do I pay", "pay"), ("where is my order", "order"), ("qqq zzz", NOTHING)]
    values = curve(KNOWN, asked)
    assert len(values) == len(GRID)
    assert max(values) == pytest.approx(1.0)
    assert curve(KNOWN, [(text, NOTHING) for text, _ in asked])[0] == 0.0


def test_the_events_are_signed_and_no_two_are_alike() -> None:
    made = events(3)
    assert all(signatures.slack(event["headers"], event["body"].encode(), SECRET, time.time()) for event in made)
    assert len({json.loads(event["body"])["event"]["ts"] for event in made}) == 3
