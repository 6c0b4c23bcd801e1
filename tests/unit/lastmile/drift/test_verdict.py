import json
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastmile.drift import ALPHA, DriftReport, Row, compare
from lastmile.drift.verdict import significant_up_to
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

NUMBERS, CATEGORIES = 20, (2, 10, 50, 200, 10)
WIDE = Signature(
    inputs=(
        TensorSpec("x", "FP32", (-1, NUMBERS), columns=tuple(f"n{i}" for i in range(NUMBERS))),
        *(TensorSpec(f"c{i}", "BYTES", (-1,)) for i in range(len(CATEGORIES))),
    ),
    outputs=(TensorSpec("value", "FP32", (-1,)),),
)
ONE = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("value", "FP32", (-1,)),))
NAMED = Signature((TensorSpec("x", "BYTES", (-1,)),), (TensorSpec("value", "FP32", (-1,)),))


def wide(random: np.random.Generator, count: int, *, shift: float = 0.0, common: float = 0.0) -> dict[str, Array]:
    """`common` is the correlation of the numbers with each other."""
    shared = random.normal(size=(count, 1))
    rows: dict[str, Array] = {
        "x": common**0.5 * shared + (1 - common) ** 0.5 * random.normal(size=(count, NUMBERS)) + shift
    }
    for index, categories in enumerate(CATEGORIES):
        names = np.array([f"v{n}" for n in range(categories)], dtype=object)
        rows[f"c{index}"] = names[random.integers(0, categories, count)]
    return rows


def judged(
    signature: Signature, before: dict[str, Array], after: dict[str, Array], *, tolerance: float = 0.1
) -> DriftReport:
    profile = reference(signature, "regression", before, {})
    return compare(profile, Profile.of(profile.layout, after, {}), policy=Drift(tolerance=tolerance))


def only(before: Array, after: Array, *, tolerance: float = 0.1) -> Row:
    signature = NAMED if before.dtype == object else ONE
    report = judged(signature, {"x": before}, {"x": after}, tolerance=tolerance)
    json.dumps(report.to_document(), allow_nan=False)
    return report.by_feature()[0]


def test_enough_rows_of_one_source_are_stable() -> None:
    random = np.random.default_rng(0)
    report = judged(WIDE, wide(random, 5000), wide(random, 5000))
    assert {row.verdict for row in report.by_feature()} == {"stable"}
    assert not report.alarm
    assert report.tests == 25


def test_a_shift_is_drift_and_the_row_says_how_much() -> None:
    random = np.random.default_rng(0)
    row = only(random.normal(size=5000), random.normal(0.5, size=1000))
    assert (row.verdict, row.statistic, row.tolerance) == ("drifted", "energy", 0.1)
    assert row.effect == pytest.approx(0.5, abs=0.1)
    assert row.p_value is not None
    assert row.p_value < 1e-9
    assert row.reference_noise == pytest.approx(1 / 6)
    assert row.distances["psi"] > 0.1


def test_the_tolerance_decides_what_is_too_small_to_matter() -> None:
    random = np.random.default_rng(0)
    before, after = random.normal(size=5000), random.normal(0.15, size=20_000)
    assert only(before, after, tolerance=0.1).verdict == "drifted"
    small = only(before, after, tolerance=0.3)
    assert small.verdict == "stable"
    assert "within the tolerance of 0.3" in small.reason


def test_a_tiny_shift_in_a_million_rows_is_no_alarm() -> None:
    random = np.random.default_rng(0)
    row = only(random.normal(size=5000), random.normal(0.02, size=1_000_000))
    assert row.verdict == "stable"


def test_a_fifth_of_a_deviation_at_500_rows_is_found_in_four_of_five_runs() -> None:
    random = np.random.default_rng(0)
    found = [only(random.normal(size=5000), random.normal(0.2, size=500)).verdict == "drifted" for _ in range(60)]
    assert np.mean(found) >= 0.8


def test_too_few_rows_for_the_tolerance_are_not_called_stable() -> None:
    random = np.random.default_rng(0)
    row = only(random.normal(size=5000), random.normal(size=100))
    assert row.verdict == "not enough data"
    assert row.detectable == pytest.approx(0.293, abs=0.02)
    assert only(random.normal(size=5000), random.normal(4, size=100)).verdict == "drifted"


@pytest.mark.parametrize("rows", [50, 500])
@pytest.mark.parametrize("common", [0.0, 0.9])
def test_25_features_of_one_source_raise_an_alarm_in_at_most_one_run_of_twenty(rows: int, common: float) -> None:
    random = np.random.default_rng(rows)
    alarms = [
        judged(WIDE, wide(random, 2000, common=common), wide(random, rows, common=common), tolerance=0.0).alarm
        for _ in range(40)
    ]
    assert sum(alarms) <= 6  # with 4 % a run, 7 or more come once in five hundred times


def test_discoveries_need_bonferroni_first_and_are_benjamini_and_hochbergs_then() -> None:
    assert significant_up_to([], 0.05) == -1
    assert significant_up_to([0.026, 0.027], 0.05) == -1  # theirs alone would discover both
    assert significant_up_to([0.001, 0.03, 0.04, 0.9], 0.08) == 0.04
    assert significant_up_to([0.001, 0.9], 0.05) == 0.001


def test_a_smaller_alpha_asks_for_more() -> None:
    random = np.random.default_rng(3)
    profile = reference(ONE, "regression", {"x": random.normal(size=5000)}, {})
    current = Profile.of(profile.layout, {"x": random.normal(0.25, size=200)}, {})
    verdicts = [compare(profile, current, policy=Drift(), alpha=alpha).verdict for alpha in (ALPHA, 1e-6, 0.0)]
    assert verdicts == ["drifted", "not enough data", "not enough data"]


def texts(*values: str) -> Array:
    return np.array(values, dtype=object)


NAN = np.full(500, np.nan)
NORMAL = np.random.default_rng(0).normal(size=2000)
LARGEST = np.array([-1.7e308, 1.7e308] * 2000)
HOSTILE: dict[str, tuple[Array, Array, str, str]] = {
    "constant": (np.ones(500), np.ones(2000), "stable", "values"),
    "another constant": (np.ones(500), np.zeros(500), "drifted", "values"),
    "a constant that moved a little": (np.ones(500), np.nextafter(np.ones(500), 2), "drifted", "values"),
    "all missing": (NAN, NAN, "not enough data", "values"),
    "missing now": (NORMAL, NAN, "drifted", "missing"),
    "missing before": (NAN, NORMAL, "drifted", "missing"),
    "one row": (NORMAL, np.array([0.0]), "not enough data", "values"),
    "one row of each": (np.array([0.0]), np.array([9.0]), "not enough data", "values"),
    "no row": (NORMAL, np.empty(0), "not enough data", "values"),
    "no row at all": (np.empty(0), np.empty(0), "not enough data", "values"),
    "infinities now": (NORMAL, np.concatenate([NORMAL, np.full(300, np.inf)]), "drifted", "infinite"),
    "only infinities": (NORMAL, np.full(300, -np.inf), "drifted", "infinite"),
    "the largest numbers": (LARGEST, LARGEST, "stable", "values"),
    "subnormal": (np.full(500, 5e-324), np.full(2000, 5e-324), "stable", "values"),
    "unseen now": (texts("a", "b") .repeat(500), texts("a", "c").repeat(200), "drifted", "values"),
    "one category": (texts("a").repeat(500), texts("a").repeat(900), "stable", "values"),
    "empty texts": (texts("").repeat(500), texts("").repeat(500), "not enough data", "values"),
    "every row another": (
        texts(*map(str, range(4000))), texts(*map(str, range(4000, 8000))), "stable", "values",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_odd_columns_get_a_verdict(name: str) -> None:
    before, after, verdict, aspect = HOSTILE[name]
    row = only(before, after)
    assert (row.verdict, row.aspect) == (verdict, aspect)
    assert row.reason


def test_unseen_categories_and_missing_values_have_rows_of_their_own() -> None:
    document = judged(
        NAMED, {"x": texts("a", "b").repeat(500)}, {"x": texts("a", "b", "c", "").repeat(250)}
    ).to_document()
    assert [row["verdict"] for row in document["unseen"] + document["missing"]] == ["drifted", "drifted"]
    assert len(document["features"]) == 1


def test_rows_with_many_elements_count_as_rows() -> None:
    signature = Signature((TensorSpec("x", "FP64", (-1, 100)),), (TensorSpec("value", "FP32", (-1,)),))
    random = np.random.default_rng(0)

    def rows(count: int) -> dict[str, Array]:
        return {"x": np.repeat(random.normal(size=(count, 1)), 100, axis=1)}

    alarms = [judged(signature, rows(1000), rows(100), tolerance=0.0).alarm for _ in range(60)]
    assert sum(alarms) <= 7


def test_texts_drift_in_length_or_words() -> None:
    random = np.random.default_rng(0)

    def rows(count: int, words: list[str], length: int) -> dict[str, Array]:
        return {"x": texts(*(" ".join(random.choice(words, length)) for _ in range(count)))}

    usual = [f"word{n}" for n in range(40)]
    before = rows(4000, usual, 12)
    assert judged(NAMED, before, rows(4000, usual, 12)).verdict == "stable"
    other = judged(NAMED, before, rows(500, [f"other{n}" for n in range(10, 50)], 12))
    assert ("words", "drifted") in {(row.aspect, row.verdict) for row in other.features}
    longer = judged(NAMED, before, rows(500, usual, 30))
    assert ("values", "drifted") in {(row.aspect, row.verdict) for row in longer.features}


def test_predictions_have_rows_of_their_own() -> None:
    random = np.random.default_rng(0)
    profile = reference(ONE, "regression", {"x": random.normal(size=2000)}, {"value": random.normal(size=2000)})
    current = Profile.of(profile.layout, {"x": random.normal(size=5000)}, {"value": random.normal(1, size=5000)})
    document = compare(profile, current, policy=Drift()).to_document()
    assert [row["verdict"] for row in document["features"]] == ["stable"]
    assert [row["verdict"] for row in document["predictions"]] == ["drifted"]
    assert document["verdict"] == "drifted"


def test_profiles_of_another_layout_are_refused() -> None:
    with pytest.raises(ProfileMismatch, match="x differ"):
        compare(
            reference(ONE, "regression", {"x": NORMAL}, {}),
            reference(ONE, "regression", {"x": NORMAL + 1}, {}),
            policy=Drift(),
        )


COLUMN = st.lists(st.floats() | st.sampled_from([0.0, 1.0]), max_size=80).map(np.array)


@settings(max_examples=150, deadline=None)
@given(COLUMN, COLUMN)
def test_any_two_columns_get_a_verdict_and_no_nan(before: Array, after: Array) -> None:
    row = only(before.astype(np.float64), after.astype(np.float64))
    assert row.verdict in ("stable", "drifted", "not enough data")
    assert (row.verdict == "not enough data") or min(row.reference_rows, row.current_rows) >= 20


WORDS = st.lists(st.text(max_size=2), max_size=80).map(lambda words: np.array(words, dtype=object))


@settings(max_examples=100, deadline=None)
@given(WORDS, WORDS)
def test_any_two_columns_of_texts_get_a_verdict_and_no_nan(before: Array, after: Array) -> None:
    assert only(before, after).verdict in ("stable", "drifted", "not enough data")


def test_a_check_takes_a_few_milliseconds_whatever_the_traffic() -> None:
    random = np.random.default_rng(0)
    profile = reference(WIDE, "regression", wide(random, 5000), {})
    current = Profile.of(profile.layout, wide(random, 5000), {})
    for _ in range(16):
        current = current.merge(current)
    assert current.rows > 300_000_000
    took = []
    for _ in range(3):
        start = time.process_time()
        compare(profile, current, policy=Drift())
        took.append(time.process_time() - start)
    assert min(took) < 1.0  # 10 ms on a quiet machine, and minutes if it grew with the rows
