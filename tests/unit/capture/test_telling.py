import json
from typing import Any

import numpy as np

from functions.capture.telling import lines
from lastmile.capture import Record, read_line
from tests.unit.watching import NOW, predicted, spec


def record(**details: Any) -> Record:
    _, line = predicted(np.array([1]), ["DE"], at=NOW, **details)
    return read_line(line)


def test_each_model_has_a_line_with_its_predictions_failures_and_times() -> None:
    records = [record(), record(outputs={}, error="the model failed"), record(of=spec(name="other"))]
    first, second = map(json.loads, lines(records, stage="dev", at=NOW))
    assert (first["stage"], first["model"], second["model"]) == ("dev", "fraud", "other")
    assert (first["Predictions"], first["PredictionErrors"], first["ModelMilliseconds"]) == (2, 1, [1.0, 1.0])
    (directive,) = first["_aws"]["CloudWatchMetrics"]
    assert directive["Dimensions"] == [["stage", "model"], ["stage"]]


def test_shadows_are_not_what_callers_meet() -> None:
    assert list(lines([record(role="shadow")], stage="dev", at=NOW)) == []
