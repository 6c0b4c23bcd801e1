import json
import math
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lastmile.errors import ProfileMismatch
from lastmile.policies import Feature
from lastmile.profile import LATENCY_EDGES_MS, Layout, Profile, quantile_edges, reference
from lastmile.tensors import Array, Signature, TensorSpec

SIGNATURE = Signature(
    inputs=(
        TensorSpec("x", "FP32", (-1, 2), columns=("age", "income"), nullable=True),
        TensorSpec("country", "BYTES", (-1,)),
        TensorSpec("message", "BYTES", (-1, 1)),
        TensorSpec("secret", "FP32", (-1,), pii="drop"),
    ),
    outputs=(
        TensorSpec("label", "INT64", (-1,)),
        TensorSpec("probabilities", "FP32", (-1, 3), columns=("a", "b", "c")),
    ),
)


def rows(count: int, seed: int = 0) -> tuple[dict[str, Array], dict[str, Array]]:
    random = np.random.default_rng(seed)
    probabilities = random.dirichlet([1, 1, 1], count).astype(np.float32)
    return {
        "x": random.normal(size=(count, 2)).astype(np.float32),
        "country": random.choice(np.array(["DE", "FR", "IT"], dtype=object), count),
        "message": np.array([[f"order {n} is broken and late"] for n in range(count)], dtype=object),
        "secret": random.normal(size=count),
    }, {"label": probabilities.argmax(axis=1), "probabilities": probabilities}


def made(count: int = 500, seed: int = 0) -> Profile:
    return reference(SIGNATURE, "classification", *rows(count, seed))


def test_features_are_columns_or_tensors_and_personal_ones_are_not_counted() -> None:
    profile = made()
    assert list(profile.features) == ["age", "income", "country", "message"]
    assert list(profile.outputs) == ["label", "confidence", "probability:a", "probability:b", "probability:c"]
    assert {name: row.layout.kind for name, row in profile.features.items()} == {
        "age": "numeric",
        "income": "numeric",
        "country": "category",
        "message": "text",
    }


def test_texts_are_masked_as_they_are_captured() -> None:
    signature = Signature((TensorSpec("x", "BYTES", (-1,), pii="mask"),), (TensorSpec("value", "FP32", (-1,)),))
    raw = np.array([f"write to me{n}@example.org about this order" for n in range(50)], dtype=object)
    hidden = np.array(["write to <email> about this order"] * 50, dtype=object)
    one, other = (reference(signature, "regression", {"x": texts}, {}) for texts in (raw, hidden))
    assert one.to_document() == other.to_document()


def test_every_value_is_counted_once() -> None:
    profile = made(500)
    for row in (*profile.features.values(), *profile.outputs.values()):
        assert row.rows == row.elements == row.values == 500
    assert profile.rows == 500
    assert profile.features["message"].words.sum() == 500 * 6


def test_moments_are_those_of_the_values() -> None:
    inputs, outputs = rows(1000)
    age = reference(SIGNATURE, "classification", inputs, outputs).features["age"]
    values = inputs["x"][:, 0].astype(float)
    assert age.mean == pytest.approx(values.mean(), abs=1e-4)
    assert age.deviation == pytest.approx(values.std(), rel=1e-4)
    assert (age.minimum, age.maximum) == (values.min(), values.max())


def test_missing_and_infinite_values_are_counted_apart() -> None:
    layout = made().layout
    inputs, outputs = rows(6)
    inputs["x"][:, 0] = [math.nan, math.inf, -math.inf, -math.inf, 0, 1]
    inputs["country"] = np.array(["", None, "DE", "XX", b"FR", "\udc80"], dtype=object)
    found = Profile.of(layout, inputs, outputs).features
    assert (found["age"].missing, found["age"].below, found["age"].above, found["age"].values) == (1, 2, 1, 2)
    assert (found["country"].missing, found["country"].unseen, found["country"].values) == (2, 2, 4)


def test_declared_categories_make_all_others_unseen() -> None:
    known = {"country": Feature(categories=("DE", "US"))}
    profile = reference(SIGNATURE, "classification", *rows(300), features=known)
    assert profile.features["country"].layout.categories == ("DE", "US")
    assert profile.features["country"].unseen > 100


def test_rare_categories_are_other_and_not_unseen() -> None:
    inputs, outputs = rows(600)
    inputs["country"] = np.array([f"C{n // 2}" for n in range(600)], dtype=object)
    layout = Layout.from_rows(SIGNATURE, "classification", inputs, outputs)
    fresh, _ = rows(2)
    fresh["country"] = np.array(["C99", "C1000"], dtype=object)
    country = Profile.of(layout, fresh, {}).features["country"]
    assert country.counts[-2:].tolist() == [1, 1]


def test_rows_that_choose_the_categories_of_an_open_feature_are_not_those_that_count_them() -> None:
    inputs, outputs = rows(5000)
    random = np.random.default_rng(0)
    inputs["country"] = random.integers(0, 20_000, 5000).astype(str).astype(object)
    profile = reference(SIGNATURE, "classification", inputs, outputs)
    fresh, _ = rows(5000)
    fresh["country"] = random.integers(0, 20_000, 5000).astype(str).astype(object)
    counted, current = profile.features["country"], Profile.of(profile.layout, fresh, {}).features["country"]
    assert counted.rows == 2500
    assert profile.features["age"].rows == 5000
    assert counted.counts[-2:] / counted.values == pytest.approx(current.counts[-2:] / current.values, abs=0.02)


def test_an_absent_tensor_is_not_counted() -> None:
    inputs, _ = rows(10)
    profile = Profile.of(made().layout, {"x": inputs["x"]}, {})
    assert profile.features["country"].rows == 0
    assert profile.outputs["label"].rows == 0


def test_a_default_layout_serves_versions_without_a_reference() -> None:
    layout = Layout.default(SIGNATURE, "classification")
    profile = Profile.of(layout, *rows(100))
    assert profile.features["age"].values == 100
    assert profile.features["country"].words.sum() == 100


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([5.0, 5.0], [0, 2, 0]),
        ([0.0, 1.0, 1.0], [0, 1, 2, 0]),
        ([0.0] * 60 + list(np.linspace(1, 2, 40)), None),
        ([-1.7976931348623157e308, 1.7976931348623157e308], None),
    ],
)
def test_edges_tell_apart_what_lies_outside_and_what_is_shared(values: list[float], expected: list[int] | None) -> None:
    edges = np.array(quantile_edges(np.array(values)))
    counts = np.bincount(np.searchsorted(edges, values), minlength=len(edges) + 1)
    assert (np.diff(edges) > 0).all()
    assert counts[-1] == 0
    if expected is not None:
        assert counts.tolist() == expected
    if 0.0 in values:
        assert values.count(0.0) in counts.tolist()


def test_a_feature_of_numbers_takes_no_texts() -> None:
    with pytest.raises(ProfileMismatch, match="'x' has object elements"):
        Profile.of(made().layout, {"x": np.array([["a", "b"]], dtype=object)}, {})


def test_a_tensor_without_columns_is_one_feature_of_many_elements() -> None:
    signature = Signature((TensorSpec("pixels", "FP32", (-1, 4, 4)),), (TensorSpec("value", "FP32", (-1,)),))
    profile = reference(signature, "regression", {"pixels": np.ones((5, 4, 4))}, {"value": np.arange(5.0)})
    assert profile.features["pixels"].rows == 5
    assert profile.features["pixels"].values == 80


def test_requests_errors_latency_and_times_are_counted() -> None:
    profile = Profile.empty(made().layout)
    profile = profile.observed(ms=3.0, error=False, at=20.0).observed(ms=900.0, error=True, at=10.0)
    profile = profile.merge(Profile.empty(profile.layout).observed(ms=3.1, error=False, at=30.0))
    assert (profile.requests, profile.errors, profile.first_at, profile.last_at) == (3, 1, 10.0, 30.0)
    assert profile.latency_quantile(0.5) == pytest.approx(3.1, rel=0.26)
    assert profile.latency_quantile(1.0) == pytest.approx(900, rel=0.26)
    assert Profile.empty(profile.layout).latency_quantile(0.5) is None
    assert Profile.empty(profile.layout).observed(ms=1e9, error=False, at=0).latency_quantile(0.5) == 1e5
    assert len(profile.latency) == len(LATENCY_EDGES_MS) + 1


def test_documents_hold_everything_and_no_nan() -> None:
    profile = made().observed(ms=1.0, error=False, at=1.5)
    document = json.loads(json.dumps(profile.to_document(), allow_nan=False))
    again = Profile.from_document(document)
    assert again.to_document() == profile.to_document()
    assert again.layout.digest == profile.layout.digest
    empty = Profile.empty(profile.layout)
    assert Profile.from_document(json.loads(json.dumps(empty.to_document()))).to_document() == empty.to_document()


def test_profiles_of_different_layouts_do_not_merge() -> None:
    with pytest.raises(
        ProfileMismatch, match="age, income, confidence, probability:a, probability:b and 1 more differ"
    ):
        made(seed=0).merge(made(seed=1))


@pytest.mark.parametrize("document", [{}, {"format": 0}, {"format": 1}, {"format": 1, "layout": {"features": 3}}])
def test_what_is_no_profile_is_refused(document: dict[str, object]) -> None:
    with pytest.raises(ProfileMismatch):
        Profile.from_document(document)


def test_a_profile_with_too_few_counts_is_refused() -> None:
    document = made().to_document()
    document["features"]["age"]["counts"] = [1, 2]
    with pytest.raises(ProfileMismatch, match="'age' has 2 counts"):
        Profile.from_document(document)


LAYOUT = made(200).layout
FLOATS = st.floats(width=32) | st.sampled_from([0.0, 1.0, math.nan, math.inf, -math.inf])
CELLS = st.tuples(FLOATS, FLOATS, st.sampled_from(["DE", "FR", "XX", ""]), st.text(max_size=8))


def of_cells(cells: list[tuple[float, float, str, str]]) -> Profile:
    inputs = {
        "x": np.array([cell[:2] for cell in cells], np.float32).reshape(-1, 2),
        "country": np.array([cell[2] for cell in cells], dtype=object),
        "message": np.array([cell[3] for cell in cells], dtype=object).reshape(-1, 1),
    }
    profile = Profile.of(LAYOUT, inputs, {"label": np.zeros(len(cells), np.int64)})
    for number in range(len(cells)):
        profile = profile.observed(ms=float(number), error=number % 2 == 0, at=float(number))
    return profile


@settings(max_examples=60, deadline=None)
@given(st.lists(CELLS, max_size=12), st.lists(CELLS, max_size=12), st.lists(CELLS, max_size=12))
def test_merging_is_associative_and_commutative_and_the_same_as_counting_at_once(
    one: list[tuple[float, float, str, str]],
    two: list[tuple[float, float, str, str]],
    three: list[tuple[float, float, str, str]],
) -> None:
    a, b, c = of_cells(one), of_cells(two), of_cells(three)
    assert a.merge(b).to_document() == b.merge(a).to_document()
    assert a.merge(b).merge(c).to_document() == a.merge(b.merge(c)).to_document()
    assert a.merge(Profile.empty(LAYOUT)).to_document() == a.to_document()
    together, apart = of_cells(one + two), a.merge(b)
    assert {n: f.to_document() for n, f in together.features.items()} == {
        n: f.to_document() for n, f in apart.features.items()
    }


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=60))
def test_every_finite_value_finds_a_bin_and_the_document_has_no_nan(values: list[float]) -> None:
    signature = Signature((TensorSpec("x", "FP64", (-1,)),), (TensorSpec("value", "FP32", (-1,)),))
    profile = reference(signature, "regression", {"x": np.array(values)}, {})
    assert profile.features["x"].values == len(values)
    json.dumps(profile.to_document(), allow_nan=False)
    assert math.isfinite(profile.features["x"].deviation or 0.0)


def test_it_is_imported_quickly_and_needs_numpy_alone() -> None:
    code = (
        "import sys; import numpy, orjson; before = {*sys.modules}; import lastmile.profile; "
        "print(len({*sys.modules} - before), "
        "*{'scipy', 'pandas', 'pydantic', 'sklearn', 'onnxruntime'} & {*sys.modules})"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert len(said) == 1
    assert int(said[0]) < 40  # modules: it is 19
