import json
import math
from typing import Any

import numpy as np
import pytest

from lastmile.capture import MAX_ELEMENTS, Capture, write_line
from lastmile.tensors import Array, TensorSpec


def line(
    inputs: dict[str, Array], outputs: dict[str, Array], *, pii: tuple[str, ...] = (), error: str | None = None
) -> dict[str, Any]:
    lines: list[str] = []
    Capture(lines.append)(
        prediction_id="01ARYZ6S41",
        at=1469918176.3854,
        model="digits",
        version=3,
        role="champion",
        milliseconds=0.12345,
        specs={name: TensorSpec(name, "FP32", (-1,), pii=name in pii) for name in inputs},
        inputs=inputs,
        outputs=outputs,
        error=error,
    )
    (text,) = lines
    assert text.endswith("\n")
    assert text.count("\n") == 1
    record: dict[str, Any] = json.loads(text)
    return record


def test_a_prediction_is_one_line() -> None:
    assert line({"x": np.array([[1.5, math.nan]], np.float32)}, {"y": np.array(["spam"], dtype=object)}) == {
        "marker": "lastmile.capture",
        "id": "01ARYZ6S41",
        "at": 1469918176.385,
        "model": "digits",
        "version": 3,
        "role": "champion",
        "ms": 0.1235,
        "rows": 1,
        "inputs": {"x": [[1.5, None]]},
        "outputs": {"y": ["spam"]},
    }


def test_personal_inputs_never_leave() -> None:
    record = line({"name": np.ones(1, np.float32), "age": np.ones(1, np.float32)}, {}, pii=("name",))
    assert list(record["inputs"]) == ["age"]


def test_a_failure_is_recorded() -> None:
    assert line({"x": np.ones(2, np.float32)}, {}, error="the model failed")["error"] == "the model failed"


def test_a_line_stays_bounded_and_says_what_it_left_out() -> None:
    rows = MAX_ELEMENTS
    record = line({"x": np.zeros((rows, 3), np.float32)}, {"y": np.zeros(rows, np.float32)})
    assert record["rows"] == rows
    assert record["rows_captured"] == rows // 4
    assert len(record["inputs"]["x"]) == len(record["outputs"]["y"]) == rows // 4


def test_bytes_that_are_no_text_do_not_stop_the_line() -> None:
    assert line({"x": np.array([b"\xff"], dtype=object)}, {})["inputs"] == {"x": ["\ufffd"]}


def test_arrays_that_are_views_of_others_are_written_as_they_read() -> None:
    every_other = np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2]
    assert line({"x": every_other}, {"y": every_other.T})["outputs"] == {"y": [[0, 4], [2, 6]]}


def test_a_line_reaches_standard_output_whole(capfd: pytest.CaptureFixture[str]) -> None:
    write_line("é" * 200_000 + "\n")
    assert capfd.readouterr().out == "é" * 200_000 + "\n"
