import time
from typing import Any

import numpy as np
import pytest

from functions.retraining.data.checks import checked
from functions.retraining.data.columns import Column
from functions.retraining.data.leakage import leaks
from functions.retraining.table import Table
from lastmile.spec import ModelSpec
from lastmile.tensors import Array
from tests.unit.retraining.data.files import spec

N = 400
SOME = np.random.default_rng(11)
LABEL = (np.arange(N) % 3 == 0).astype(np.int64)
NOISE = SOME.normal(size=N)


def texts(values: Any) -> Array:
    found = list(values)
    column = np.empty(len(found), object)
    column[:] = found
    return column


def findings(
    check: Any, columns: dict[str, Array], *, kinds: dict[str, Column] | None = None, model: ModelSpec | None = None
) -> list[tuple[str, str]]:
    table = Table({"label": LABEL[: len(next(iter(columns.values())))], **columns})
    known = {"label": Column("label", "integer", "target"), **(kinds or {})}
    described = [known.get(name) or _feature(name, values) for name, values in table.columns.items()]
    return [(each.level, each.sentence) for each in check(table, described, model or spec())]


def _feature(name: str, values: Array) -> Column:
    return Column(name, "text" if values.dtype.kind == "O" else "number", nullable=True)


ABOUT_TABLES = [
    ({"x": np.full(N, 3.0), "y": NOISE}, [("warning", "x is 3.0 in every row")]),
    ({"x": np.full(N, np.nan), "y": NOISE}, [("warning", "x is missing in every row")]),
    ({"x": texts(["a"] * N), "y": NOISE}, [("warning", "x is a in every row")]),
    ({"x": np.arange(N) * 1.0}, [("warning", "x is different in every row, as an id is")]),
    ({"x": texts(f"u{n}" for n in range(N))}, [("warning", "x is different in every row, as an id is")]),
    ({"x": texts(f"please help me with {n}" for n in range(N))}, []),
    ({"x": NOISE}, []),
    ({"x": np.arange(N) * 1000.0}, []),
    ({"x": np.r_[NOISE[: N - 1], NOISE[0]]}, [("note", "1 rows (0.2%) are exact copies of another row")]),
    ({"x": np.tile(NOISE[: N // 4], 4)}, [("warning", "")]),
]


@pytest.mark.parametrize(("columns", "wanted"), ABOUT_TABLES)
def test_what_is_odd_about_a_table_is_said(columns: dict[str, Array], wanted: list[tuple[str, str]]) -> None:
    found = findings(checked, columns)
    assert [level for level, _ in found] == [level for level, _ in wanted]
    for (_, sentence), (_, part) in zip(found, wanted, strict=True):
        assert part in sentence


def test_a_copy_needs_all_columns_to_be_equal() -> None:
    words = texts(["a", "b"] * (N // 2))
    assert findings(checked, {"x": np.repeat(NOISE[: N // 2], 2), "word": words}) == []
    assert findings(checked, {"x": np.repeat(NOISE[: N // 2], 2), "word": texts(["a"] * N)})[-1][1].startswith(
        "66 rows"
    )


def test_classes_must_be_there() -> None:
    three = {"label": Column("label", "integer", "target", categories=("0", "1", "2", "3"))}
    (found,) = findings(checked, {"x": NOISE}, kinds=three)
    assert found == ("refused", "no row has the label '2', '3', which the spec names as a class")
    few = {"x": NOISE, "label": np.r_[np.ones(3, int), np.zeros(N - 3, int)]}
    assert findings(checked, few) == [("warning", "fewer than 10 rows have the label '1'")]


def test_a_constant_number_to_learn_is_refused() -> None:
    kinds = {"label": Column("label", "number", "target")}
    model = spec(task="regression", outputs=[{"name": "value", "datatype": "FP32", "shape": [-1]}])
    found = findings(checked, {"x": NOISE, "label": np.full(N, 2.5)}, kinds=kinds, model=model)
    assert found == [("refused", "label is 2.5 in every row")]


def test_times_are_looked_at() -> None:
    kinds = {"at": Column("at", "time", "time")}
    now = time.time()
    assert findings(checked, {"x": NOISE, "at": now - N + np.arange(N)}, kinds=kinds) == []
    mixed = findings(checked, {"x": NOISE, "at": now - np.arange(N)}, kinds=kinds)
    assert mixed == [("note", "the rows are not in the order of at")]
    same = findings(checked, {"x": NOISE, "at": np.full(N, 1.7e9)}, kinds=kinds)
    assert same == [("warning", "at is 2023-11-14 22:13:20 in every row")]
    ((level, sentence),) = findings(checked, {"x": NOISE, "at": now + 1e6 * np.arange(N)}, kinds=kinds)
    assert level == "warning"
    assert "in the future" in sentence
    days = findings(checked, {"x": NOISE, "at": 20240101.0 + np.arange(N)}, kinds=kinds)
    assert days == [("warning", "at never leaves 1970: its numbers are read as seconds since then")]


LEAKS = [
    ("a threshold", {"x": LABEL + NOISE.clip(-0.4, 0.4)}, "a threshold on it separates the classes without an error"),
    ("turned round", {"x": -LABEL + NOISE.clip(-0.4, 0.4)}, "a threshold on it separates"),
    (
        "a category",
        {"x": texts(f"{label}{n % 4}" for n, label in enumerate(LABEL))},
        "each of its 8 values always goes",
    ),
    ("a code", {"x": LABEL * 10.0 + np.arange(N) % 4}, "each of its"),
    ("missing", {"x": np.where(LABEL == 1, NOISE, np.nan)}, "it is missing for some of the classes"),
]


@pytest.mark.parametrize(("columns", "how"), [each[1:] for each in LEAKS], ids=[each[0] for each in LEAKS])
def test_a_feature_that_gives_the_label_away_is_refused(columns: dict[str, Array], how: str) -> None:
    ((level, sentence),) = findings(leaks, {"y": NOISE, **columns})
    assert level == "refused"
    assert sentence.startswith("x gives label away: ")
    assert how in sentence


HARMLESS = [
    {"id": texts(f"u{n}" for n in range(N))},
    {"id": np.arange(N) * 1.0},
    {"x": LABEL + NOISE},
    {"x": texts("ab"[n % 2] for n in range(N))},
    {"x": np.where(NOISE > 0, np.nan, 1.0)},
    {"x": np.full(N, 1.0)},
]


@pytest.mark.parametrize("columns", HARMLESS)
def test_ids_noise_and_good_features_are_no_leaks(columns: dict[str, Array]) -> None:
    assert findings(leaks, columns) == []


def test_too_few_rows_prove_nothing() -> None:
    assert findings(leaks, {"x": LABEL[:40] * 1.0}) == []
    rare = np.r_[np.ones(3, np.int64), np.zeros(N - 3, np.int64)]
    assert findings(leaks, {"x": rare * 1.0, "label": rare}) == []


def test_almost_perfect_is_a_warning() -> None:
    x = LABEL + SOME.uniform(-0.4, 0.4, N)
    x[np.flatnonzero(LABEL == 1)[0]] = 0.38
    ((level, sentence),) = findings(leaks, {"x": x})
    assert level == "warning"
    assert sentence == "x alone tells label almost without an error (AUC above 0.999)"


def test_one_wrong_row_among_many_is_seen_beyond_the_sample() -> None:
    rows = 60_000
    label = (np.arange(rows) % 2).astype(np.int64)
    leak = texts("ab"[value] for value in label)
    leak[0] = "b"
    table = Table({"label": label, "x": leak})
    columns = [Column("label", "integer", "target"), Column("x", "text")]
    assert [each.level for each in leaks(table, columns, spec())] == []


def test_three_classes_in_the_order_of_a_number_are_a_leak() -> None:
    label = np.arange(N) % 3
    ((level, _),) = findings(leaks, {"x": label * 10 + NOISE.clip(-4, 4), "label": label})
    assert level == "refused"


def test_a_number_that_is_the_target_in_other_units_is_refused() -> None:
    model = spec(task="regression", outputs=[{"name": "value", "datatype": "FP32", "shape": [-1]}])
    kinds = {"label": Column("label", "number", "target")}
    ((level, sentence),) = findings(
        leaks, {"celsius": NOISE, "other": SOME.normal(size=N), "label": NOISE * 1.8 + 32}, kinds=kinds, model=model
    )
    assert level == "refused"
    assert sentence == "celsius gives label away: one is a multiple of the other, plus a constant"
