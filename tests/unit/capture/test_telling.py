import json
from typing import Any

import numpy as np
import pytest

from functions.capture.telling import lines
from lastmile.capture import Record, Tier, read_line
from tests.unit.watching import NOW, predicted, spec


def record(**details: Any) -> Record:
    _, line = predicted(np.array([1]), ["DE"], at=NOW, **details)
    return read_line(line)


def test_each_model_has_a_line_with_its_predictions_failures_and_times() -> None:
    records = [record(), record(outputs={}, error="the model failed"), record(of=spec(name="other"))]
    first, second = map(json.loads, lines(records, stage="dev", at=NOW))
    assert (first["stage"], first["model"], second["model"]) == ("dev", "fraud", "other")
    assert (first["Predictions"], first["PredictionErrors"], first["ModelMilliseconds"]) == (2, 1, [1.0, 1.0])
    assert first["ModelSeconds"] == 0.002
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["stage", "model"]]


def test_shadows_are_not_what_callers_meet() -> None:
    assert list(lines([record(role="shadow")], stage="dev", at=NOW)) == []


NAMES = ("HeavyRows", "LightRows", "HeavyShare", "DegradedPredictions")


def test_the_share_and_the_savings_of_a_cascade_are_told() -> None:
    amounts, countries = np.array([1, 2, 3, 4]), ["DE"] * 4

    def answered(*tier: Any, **details: Any) -> Record:
        return read_line(predicted(amounts, countries, at=NOW, tier=Tier(*tier), **details)[1])

    def told(*records: Record) -> dict[str, Any]:
        (line,) = lines(records, stage="dev", at=NOW)
        found: dict[str, Any] = json.loads(line)
        return {name: found.get(name) for name in (*NAMES, "HeavySecondsSaved")}

    cascade, light, degraded = answered("cascade", 1, 30.0), answered("light"), answered("light", 0, 0.0, "asleep")
    # Three and four rows were spared at 30 ms each; what was degraded is no saving.
    assert list(told(cascade, light, degraded).values()) == [1, 11, 1 / 12, 1, pytest.approx(0.21)]
    assert list(told(light, answered("heavy", 4)).values()) == [4, 4, 0.5, 0, None]
    assert list(told(record()).values()) == [None] * 5
    assert told(answered("heavy", 0, 30.0))["HeavySecondsSaved"] is None
