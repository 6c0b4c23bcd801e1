"""From a prediction and its label to the table that a training gets: captured, joined, written, read, validated."""

import io
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from arro3.core import DataType
from arro3.io import read_parquet

from functions.drift.uploads import parquet
from functions.retraining.data import validate
from functions.retraining.recipes import load
from lastmile.capture import Capture, Recording
from lastmile.feedback import Feedback, Label
from lastmile.labelled import Labelled, joined
from lastmile.policies import Feature, Retrain, Training
from lastmile.spec import ModelSpec
from lastmile.store import Store
from lastmile.tensors import DATATYPES, Array, TensorSpec
from lastmile.ulid import new_ulid
from tests.unit.watching import HOUR, NOW, manifest, store_captures

SPECS = [ModelSpec.from_toml(path) for path in sorted(Path("models").glob("*/spec.toml"))]
LEARNING = {spec.name: spec for spec in SPECS if spec.retrain.feedback_rows}
ROWS = 60
REQUESTS = 3
TEXTS = ("", "naïve café", "日本語 🎿", 'it\'s, "quoted"\nand broken', "a" * 500)

OTHERS = ModelSpec(
    name="everything",
    task="regression",
    description="An input of every kind.",
    inputs=(
        *(TensorSpec(name.lower(), name, (-1,)) for name in DATATYPES if name != "FP32"),
        TensorSpec("pair", "FP32", (-1, 2), ("left", "right"), nullable=True),
        TensorSpec("alone", "INT64", (-1, 1)),
        TensorSpec("note", "BYTES", (-1,), pii="mask"),
    ),
    outputs=(TensorSpec("value", "FP32", (-1,)),),
    features={"bytes": Feature(categories=tuple(text for text in TEXTS if text)), "age": Feature(sensitive=True)},
    training=Training(recipe="tabular", target="worth", time="at"),
    retrain=Retrain(feedback_rows=10),
)


def of_kind(spec: ModelSpec, tensor: TensorSpec, count: int, chance: np.random.Generator) -> Array:
    """Rows that the spec allows, the extremes of their type among them."""
    dtype = DATATYPES[tensor.datatype].dtype
    names = tensor.columns or (tensor.name,)
    made = [_column(spec.features.get(name, Feature()), dtype, tensor.nullable, count, chance) for name in names]
    return np.stack(made, axis=1).reshape(count, *tensor.shape[1:])


def _column(feature: Feature, dtype: "np.dtype[Any]", nullable: bool, count: int, chance: np.random.Generator) -> Array:
    match dtype.kind:
        case "O":
            known = [*(feature.categories or TEXTS), ""]
            return np.asarray(np.array(known, object)[chance.permutation(np.arange(count) % len(known))])
        case "b":
            return np.asarray(chance.random(count) < 0.5)
        case "f":
            low, high = feature.minimum or 0.0, feature.maximum or 1e4
            values = (low + (high - low) * chance.random(count)).astype(dtype)
            values[0] = dtype.type(low)
            if nullable:
                values[::7] = np.nan
            return values
        case _:
            limits = np.iinfo(dtype)
            low, high = max(limits.min, -(2**53)), min(limits.max, 2**53)
            return np.append(chance.integers(low, high, count - 1), high).astype(dtype)


def labels_of(spec: ModelSpec, count: int) -> Sequence[Label]:
    outputs = {tensor.name: tensor for tensor in spec.outputs}
    if spec.task != "classification":
        return [place / 7 for place in range(count)]
    classes = outputs["probabilities"].columns
    given = [classes[place % len(classes)] for place in range(count)]
    return given if outputs["label"].datatype == "BYTES" else [int(name) for name in given]


def labelled(spec: ModelSpec, requests: int = REQUESTS) -> tuple[list[Labelled], dict[str, Array]]:
    """What joins captures with labels finds, and what was asked."""
    store, given, feedback = Store.open("memory://", environ={}), [], []
    chance = np.random.default_rng(5)
    lines: list[bytes] = []
    for request in range(requests):
        at = NOW - HOUR + request
        inputs = {tensor.name: of_kind(spec, tensor, ROWS, chance) for tensor in spec.inputs}
        outputs = {
            tensor.name: _column(Feature(), DATATYPES[tensor.datatype].dtype, False, ROWS, chance)
            for tensor in spec.outputs
            if len(tensor.shape) == 1
        }
        prediction_id = new_ulid(at)
        Capture(write=lines.append)(
            prediction_id=prediction_id,
            at=at,
            role="champion",
            milliseconds=1.0,
            recording=Recording.of(manifest(spec)),
            inputs=inputs,
            outputs=outputs,
        )
        truth = labels_of(spec, ROWS)
        feedback += [Feedback(spec.name, prediction_id, row, label, "r", NOW, NOW) for row, label in enumerate(truth)]
        given.append(inputs | {"the time": np.full(ROWS, at), "the label": np.array(truth, object)})
    store_captures(store, lines, at=NOW - HOUR, model=spec.name)
    rows = joined(store, spec.name, feedback).rows
    return rows, {name: np.concatenate([one[name] for one in given]) for name in given[0]}


def validated(spec: ModelSpec, data: bytes) -> Any:
    columns: Callable[[ModelSpec], Any] | None = getattr(load(spec), "columns", None)
    return validate(io.BytesIO(data), "feedback.parquet", spec, columns=columns and columns(spec))


def expected(spec: ModelSpec, given: Mapping[str, Array]) -> dict[str, Array]:
    assert spec.training is not None
    found: dict[str, Array] = {}
    for tensor in spec.inputs:
        values = given[tensor.name].reshape(len(given[tensor.name]), -1)
        names = tensor.columns or (tensor.name,)
        found |= {name: values[:, place] for place, name in enumerate(names)}
    if spec.training.time is not None:
        found[spec.training.time] = given["the time"]
    for name in spec.features.keys() - spec.feature_names:
        found[name] = np.full(len(given["the time"]), "", object)
    return found | {str(spec.training.target): given["the label"]}


@pytest.mark.parametrize("spec", [*LEARNING.values(), OTHERS], ids=lambda spec: spec.name)
def test_labelled_rows_come_out_of_the_validation_as_they_were_asked(spec: ModelSpec) -> None:
    rows, given = labelled(spec)
    assert len(rows) == ROWS * REQUESTS
    found = validated(spec, parquet(spec, rows))
    assert (found.report.form, found.bad_rows.total, found.report.ignored) == ("Parquet", 0, ())
    wanted = expected(spec, given)
    assert found.table.columns.keys() == wanted.keys()
    for name, column in wanted.items():
        values = found.table[name]
        if values.dtype.kind == "O":
            assert values.tolist() == column.tolist(), name
        else:
            np.testing.assert_array_equal(values, column.astype(values.dtype), err_msg=name)
            assert (values.dtype.kind == "i") == (column.dtype.kind in "iub" or is_label(spec, name)), name


def is_label(spec: ModelSpec, name: str) -> bool:
    return spec.training is not None and name == spec.training.target and spec.task == "classification"


def test_three_declared_models_learn_from_labels() -> None:
    assert sorted(LEARNING) == ["fraud", "maintenance", "tickets"]


def test_columns_have_the_types_of_the_spec_and_nulls_where_nothing_is_known() -> None:
    rows, _ = labelled(OTHERS, requests=1)
    table = read_parquet(io.BytesIO(parquet(OTHERS, rows))).read_all()
    found = {name: table.schema.field(name).type for name in table.column_names}
    assert {found[name] for name in ("bool", "int8", "uint32", "int64", "alone")} == {DataType.int64()}
    assert {found[name] for name in ("fp16", "fp64", "left", "worth")} == {DataType.float64()}
    assert {found[name] for name in ("bytes", "note", "age")} == {DataType.utf8()}
    assert (found["uint64"], found["at"]) == (DataType.uint64(), DataType.timestamp("ms", tz="UTC"))
    assert table["age"].null_count == table.num_rows
    assert 0 < table["left"].null_count < table.num_rows
    assert 0 < table["bytes"].null_count < table.num_rows


def test_the_same_rows_are_the_same_bytes() -> None:
    rows, _ = labelled(OTHERS)
    again, _ = labelled(OTHERS)
    assert parquet(OTHERS, rows) == parquet(OTHERS, again)
    assert parquet(OTHERS, rows) != parquet(OTHERS, rows[1:])


def test_what_a_capture_hides_is_no_column_and_the_validation_says_which() -> None:
    spec = replace(OTHERS, inputs=(*OTHERS.inputs[:-1], TensorSpec("note", "BYTES", (-1,), pii="drop")))
    rows, _ = labelled(spec, requests=1)
    (finding,) = validated(spec, parquet(spec, rows)).report.refusals
    assert finding.sentence == "the column note (feature) is missing"


def test_rows_of_a_spec_before_this_one_have_nulls_where_they_do_not_fit() -> None:
    rows, _ = labelled(OTHERS, requests=1)
    strange = {"fp64": np.array("text", object), "int8": np.array(np.inf), "pair": np.zeros(3), "bytes": np.array(1)}
    rows[3] = replace(rows[3], inputs={**rows[3].inputs, **strange})
    del rows[4].inputs["uint64"]  # type: ignore[attr-defined]
    table = read_parquet(io.BytesIO(parquet(OTHERS, rows))).read_all()
    assert [table[name][3].as_py() for name in ("fp64", "int8", "left", "bytes")] == [None, None, None, "1"]
    assert table["uint64"][4].as_py() is None
    assert validated(OTHERS, parquet(OTHERS, rows)).bad_rows.total == 2


def test_groups_that_came_with_the_labels_are_columns() -> None:
    features = OTHERS.features | {"height": Feature(sensitive=True, minimum=0.0)}
    spec = replace(OTHERS, features=features)
    rows, _ = labelled(spec, requests=1)
    groups: list[dict[str, str]] = [{"age": "70+", "height": "1.8"}, {"height": "tall"}]
    rows[:2] = [replace(row, feedback=replace(row.feedback, groups=of)) for row, of in zip(rows, groups, strict=False)]
    table = validated(spec, parquet(spec, rows)).table
    assert table["age"].tolist() == ["70+"] + [""] * (ROWS - 1)
    assert table["height"][0] == 1.8
    assert np.isnan(table["height"][1:]).all()


def test_an_infinite_value_stays_one_and_is_a_bad_row() -> None:
    rows, _ = labelled(OTHERS)
    rows[3] = replace(rows[3], inputs={**rows[3].inputs, "pair": np.array([np.inf, 1], np.float32)})
    found = validated(OTHERS, parquet(OTHERS, rows))
    assert [kind.example for kind in found.bad_rows.by_frequency()] == ["left: inf is infinite"]


def test_a_forecast_is_learnt_from_at_the_time_that_was_asked_about() -> None:
    (spec,) = (spec for spec in SPECS if spec.name == "demand")
    day = 1_800_000_000
    inputs = {
        "history": np.zeros(28, np.float32),
        "time": np.array(day),
        "item": np.array("umbrella", object),
        "plan": np.array([2, 0, 1], np.float32),
    }
    prediction_id = new_ulid(NOW)
    labels = [Feedback("demand", prediction_id, row, row, "r", NOW, NOW) for row in range(12)]
    rows = [Labelled(label, 1, "champion", inputs, {}) for label in labels]
    table = validated(spec, parquet(spec, rows)).table
    assert {name: set(column.tolist()) for name, column in table.columns.items()} == {
        "price": {2},
        "promotion": {0},
        "holiday": {1},
        "item": {"umbrella"},
        "units": set(range(12)),
        "date": {day},
    }


def test_a_check_does_not_load_what_writes_uploads() -> None:
    code = "import sys, functions.drift.door; sys.exit('arro3' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
