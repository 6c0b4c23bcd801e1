import base64
import json
import math
from typing import Any, Literal

import numpy as np
import pytest

from lastmile.capture import MAX_BYTES, Capture, Recording, Tier, is_sampled, read_line, write_line
from lastmile.errors import InvalidCapture
from lastmile.manifest import Artefact, Manifest
from lastmile.tensors import Array, Signature, TensorSpec
from lastmile.ulid import new_ulid

ID = "01ARYZ6S41TSV4RRFFQ69G5FAV"
DATATYPES = {
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "int64": "INT64",
    "object": "BYTES",
    "bool": "BOOL",
    "int8": "INT8",
}

type Pii = Literal["drop", "hash", "mask"]


def recording(
    inputs: dict[str, Array],
    outputs: dict[str, Array],
    *,
    pii: dict[str, Pii] | None = None,
    rate: float = 1.0,
    key: bytes | None = b"k" * 32,
) -> Recording:
    def specs(arrays: dict[str, Array]) -> tuple[TensorSpec, ...]:
        return tuple(
            TensorSpec(name, DATATYPES[str(array.dtype)], array.shape, pii=(pii or {}).get(name))
            for name, array in arrays.items()
        )

    manifest = Manifest(
        "digits",
        3,
        "2026-01-01T00:00:00.000Z",
        Artefact("model.onnx", "", 1),
        Signature(specs(inputs), specs(outputs)),
        {},
        {},
        {},
        policy={"task": "classification", "capture": {"rate": rate}, "decision": None},
    )
    return Recording.of(manifest, key=key)


def line(inputs: dict[str, Array], outputs: dict[str, Array], *, about: Recording | None = None, **facts: Any) -> bytes:
    lines: list[bytes] = []
    call = {
        "prediction_id": ID,
        "at": 1469918176.3854,
        "role": "champion",
        "milliseconds": 0.12345,
        "recording": about or recording(inputs, outputs),
        "inputs": inputs,
        "outputs": outputs,
        **facts,
    }
    Capture(lines.append)(**call)
    (written,) = lines
    assert written.endswith(b"\n")
    assert written.count(b"\n") == 1
    assert len(written) <= MAX_BYTES
    return written


def document(inputs: dict[str, Array], outputs: dict[str, Array], **facts: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(line(inputs, outputs, **facts))
    return found


def texts(*values: Any) -> Array:
    return np.array(values, dtype=object)


def test_a_prediction_is_one_line() -> None:
    assert document({"x": np.array([[1.5, math.nan]], np.float32)}, {"y": texts("spam")}) == {
        "marker": "lastmile.capture",
        "id": ID,
        "at": 1469918176.385,
        "model": "digits",
        "version": 3,
        "role": "champion",
        "ms": 0.1235,
        "rows": 1,
        "types": {"x": "<f4"},
        "inputs": {"x": [[1.5, None]]},
        "outputs": {"y": ["spam"]},
    }


def test_many_numbers_are_packed() -> None:
    few, more = np.ones((16, 2), np.float32), np.ones((11, 3), np.float32)
    written = document({"few": few, "more": more}, {})["inputs"]
    assert written["few"] == few.tolist()
    assert written["more"] == {"dtype": "<f4", "shape": [11, 3], "b64": base64.b64encode(more.tobytes()).decode()}


@pytest.mark.parametrize(
    "array",
    [
        np.array([0.1, 1 / 3, -0.0], np.float32),
        np.array([0.1, 1 / 3, 1e300]),
        np.array([[0.1, math.nan, 3.0]], np.float32),
        np.array([[math.inf, -math.inf, math.nan]], np.float32),
        np.full((5, 7), 0.1, np.float32),
        np.array([0.1, 65504], np.float16),
        np.full((7, 10), math.inf)[:, ::2],
        np.arange(8, dtype=np.float32).reshape(2, 4)[:, ::2],
        np.arange(6).reshape(2, 3),
        np.arange(100, dtype=np.int8),
        np.array([2**62, -(2**62)]),
        np.array([[True], [False]]),
        texts("one", "", "zwei ü"),
        np.array([["a", "b"], ["c", "d"]], dtype=object),
        np.zeros((0, 3), np.float32),
        np.float32(0.1) * np.ones((), np.float32),
    ],
    ids=lambda array: f"{array.dtype}{list(array.shape)}",
)
def test_a_line_is_read_back_as_it_was(array: Array) -> None:
    record = read_line(line({"x": array}, {"y": array}))
    for found in (record.inputs["x"], record.outputs["y"]):
        assert found.dtype == array.dtype
        np.testing.assert_array_equal(found, array)


def test_the_facts_are_read_back() -> None:
    decisions = [{"row": 0, "decision": "review", "reasons": ["0.5 is near"], "review": True}]
    record = read_line(line({"x": np.ones(1)}, {}, error="the model failed", decisions=decisions, role="shadow"))
    assert record[:7] == (ID, 1469918176.385, "digits", 3, "shadow", 0.1235, 1)
    assert (record.error, record.decisions, record.sampled, record.rows_captured) == (
        "the model failed",
        tuple(decisions),
        True,
        1,
    )


def test_dropped_inputs_never_leave() -> None:
    arrays: dict[str, Array] = {"name": texts("Ann"), "age": np.ones(1, np.float32)}
    about = recording(arrays, {}, pii={"name": "drop"})
    assert document(arrays, {}, about=about)["inputs"] == {"age": [1.0]}


def test_hashed_inputs_are_the_same_for_the_same_person_and_key() -> None:
    arrays: dict[str, Array] = {"customer": np.array([7, 8, 7]), "name": texts("Ann", "", b"Ann")}
    pii: dict[str, Pii] = {"customer": "hash", "name": "hash"}
    one, other = (document(arrays, {}, about=recording(arrays, {}, pii=pii, key=key * 32)) for key in (b"1", b"2"))
    customers, names = one["inputs"]["customer"], one["inputs"]["name"]
    assert customers[0] == customers[2] != customers[1]
    assert names[0] == names[2] != names[1] == ""
    assert len(names[0]) == 32
    assert other["inputs"]["customer"][0] != customers[0]
    assert read_line(json.dumps(one)).inputs["customer"].tolist() == customers


def test_without_its_key_nothing_is_hashed_and_nothing_leaves() -> None:
    arrays: dict[str, Array] = {"customer": np.array([7])}
    assert document(arrays, {}, about=recording(arrays, {}, pii={"customer": "hash"}, key=None))["inputs"] == {}


def test_masked_inputs_keep_their_text_without_the_addresses() -> None:
    arrays: dict[str, Array] = {"ticket": texts("please call +49 30 1234567 or write to ann@example.com")}
    about = recording(arrays, {}, pii={"ticket": "mask"})
    assert document(arrays, {}, about=about)["inputs"]["ticket"] == ["please call <phone> or write to <email>"]


def test_a_rate_of_the_predictions_is_kept_and_the_others_are_counted() -> None:
    x = {"x": np.ones(1, np.float32)}
    about = recording(x, x, rate=0.25)
    lines = [line(x, x, about=about, prediction_id=new_ulid(), error="it failed") for _ in range(2000)]
    records = [read_line(one) for one in lines]
    kept = [record for record in records if record.sampled]
    assert 400 < len(kept) < 600
    assert all(record.inputs and record.outputs for record in kept)
    for record in records:
        assert record.sampled is is_sampled(record.id, 0.25)
        assert (record.rows, record.ms, record.error) == (1, 0.1235, "it failed")
    left_out = next(one for one in lines if b"sampled" in one)
    assert json.loads(left_out).keys().isdisjoint({"inputs", "outputs"})
    assert read_line(left_out).rows_captured == 0


@pytest.mark.parametrize(
    ("inputs", "least"),
    [
        ({"x": np.zeros((200_000, 3), np.float32)}, 10_000),
        ({"x": texts(*["x" * 1000] * 1000)}, 200),
        ({"x": texts("ü" * 300_000, "ü")}, 0),
        ({"x": texts(*['"' * 100] * 3000), "n": np.zeros(3000)}, 700),
    ],
    ids=["numbers", "texts", "a long text", "escaped texts"],
)
def test_a_line_stays_bounded_and_says_what_it_left_out(inputs: dict[str, Array], least: int) -> None:
    rows = len(inputs["x"])
    record = read_line(line(inputs, {"y": np.zeros(rows, np.float32)}))
    assert record.rows == rows
    assert least <= record.rows_captured < rows
    assert all(len(array) == record.rows_captured for array in [*record.inputs.values(), *record.outputs.values()])


def test_decisions_that_fill_a_line_lose_their_reasons() -> None:
    decisions = [{"row": row, "decision": "review", "reasons": ["x" * 2000], "review": True} for row in range(256)]
    record = read_line(line({"x": np.ones(256)}, {}, decisions=decisions, error="e" * 300_000))
    assert [one["row"] for one in record.decisions if one["review"]] == list(range(256))
    assert len(record.error or "") == 1000


def test_bytes_that_are_no_text_do_not_stop_the_line() -> None:
    assert document({"x": np.array([[b"\xff"]], dtype=object)}, {})["inputs"] == {"x": [["\ufffd"]]}


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"marker": "other"}, "marker"),
        ({"id": "01"}, "'id'"),
        ({"at": -1}, "'at'"),
        ({"at": 1e300}, "'at'"),
        ({"at": True}, "'at'"),
        ({"model": "../x"}, "'model'"),
        ({"version": 0}, "'version'"),
        ({"version": "1"}, "'version'"),
        ({"role": "king"}, "'role'"),
        ({"ms": None}, "'ms'"),
        ({"rows": -1}, "'rows'"),
        ({"sampled": 0}, "'sampled'"),
        ({"types": []}, "'types'"),
        ({"inputs": []}, "'inputs'"),
        ({"outputs": None}, "'outputs'"),
        ({"inputs": {"x": [[1], [2, 3]]}}, "'inputs.x'"),
        ({"inputs": {"x": [1, "a"]}}, "'inputs.x'"),
        ({"inputs": {"x": [{"a": 1}]}}, "'inputs.x'"),
        ({"inputs": {"x": [300]}, "types": {"x": "|i1"}}, "'inputs.x'"),
        ({"inputs": {"x": {"dtype": "|O8", "shape": [1], "b64": "AAAA"}}}, "'inputs.x'"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [-1], "b64": "AAAA"}}}, "'inputs.x'"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [1], "b64": "?"}}}, "base64"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [1], "b64": 7}}}, "base64"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [1 << 60], "b64": "AAAA"}}}, "fill"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [0, 1 << 63], "b64": ""}}}, "'inputs.x'"),
        ({"inputs": {"x": {"dtype": "<f4", "shape": [1] * 70, "b64": "AAAAAA=="}}}, "'inputs.x'"),
        ({"error": 7}, "'error'"),
        ({"decisions": {}}, "'decisions'"),
        ({"decisions": [{"row": "0"}]}, "'decisions'"),
        ({"rows_captured": -1}, "'rows_captured'"),
    ],
)
def test_a_line_that_is_no_record_is_refused_by_name(change: dict[str, Any], problem: str) -> None:
    good = document({"x": np.ones(1)}, {})
    with pytest.raises(InvalidCapture, match=problem):
        read_line(json.dumps(good | change))


@pytest.mark.parametrize("broken", ["", "{", "[]", "null", b"\xff", '{"marker": "lastmile.capture"}'])
def test_what_is_no_line_at_all_is_refused(broken: str | bytes) -> None:
    with pytest.raises(InvalidCapture):
        read_line(broken)


def test_a_line_reaches_standard_output_whole(capfd: pytest.CaptureFixture[str]) -> None:
    write_line("é".encode() * 200_000 + b"\n")
    assert capfd.readouterr().out == "é" * 200_000 + "\n"


def test_who_answered_is_told_where_a_version_has_a_heavy_side() -> None:
    x = {"x": np.ones((3, 2), np.float32)}
    assert read_line(line(x, {})).tier is None
    written = line(x, {}, tier=Tier("cascade", 2, 7.5, "asleep"))
    record = read_line(written)
    assert (record.tier, record.heavy_rows, record.heavy_ms, record.degraded) == ("cascade", 2, 7.5, "asleep")
    assert read_line(line(x, {}, tier=Tier("light"))).degraded is None
    for wrong in ({"tier": "medium"}, {"heavy_rows": -1}, {"heavy_ms": "1"}, {"degraded": 1}):
        with pytest.raises(InvalidCapture, match=next(iter(wrong))):
            read_line(json.dumps(json.loads(written) | wrong))
