import json
import time

import numpy as np
import pytest

from lastmile.drift import compare, joint
from lastmile.errors import ProfileMismatch
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

POLICY = Drift()


def pair(random: np.random.Generator, rows: int, correlation: float) -> dict[str, Array]:
    one = random.normal(size=rows)
    other = correlation * one + (1 - correlation**2) ** 0.5 * random.normal(size=rows)
    return {"one": one, "other": other, "kind": random.choice(np.array(["a", "b", "c"], dtype=object), rows)}


def test_a_correlation_that_is_gone_is_seen_only_jointly() -> None:
    random = np.random.default_rng(0)
    before, after = pair(random, 8000, 0.7), pair(random, 8000, 0.0)
    signature = Signature(
        tuple(TensorSpec(name, "FP64", (-1,)) for name in ("one", "other")), (TensorSpec("value", "FP32", (-1,)),)
    )
    profile = reference(signature, "regression", before, {})
    alone = compare(profile, Profile.of(profile.layout, after, {}), policy=POLICY)
    assert {row.verdict for row in alone.rows} == {"stable"}
    row = joint(before, after, policy=POLICY)
    assert (row.verdict, row.aspect) == ("drifted", "joint")
    assert row.effect is not None
    assert row.effect > 0.2
    json.dumps(row.to_document(), allow_nan=False)


def test_rows_of_one_source_are_stable_and_p_values_are_honest() -> None:
    random = np.random.default_rng(0)
    assert joint(pair(random, 8000, 0.7), pair(random, 8000, 0.7), policy=POLICY).verdict == "stable"
    found = [joint(pair(random, 300, 0.7), pair(random, 120, 0.7), policy=POLICY).p_value for _ in range(200)]
    assert np.mean([p is not None and p <= 0.05 for p in found]) <= 0.05 + 3 * (0.05 / 200) ** 0.5


def test_a_few_rows_are_not_enough() -> None:
    random = np.random.default_rng(0)
    assert joint(pair(random, 1000, 0.7), pair(random, 30, 0.0), policy=POLICY).verdict == "not enough data"
    assert joint(pair(random, 1000, 0.7), pair(random, 200, 0.7), policy=POLICY).verdict == "not enough data"
    assert joint({}, {}, policy=POLICY).verdict == "not enough data"


def test_missing_values_constants_and_infinities_are_no_obstacle() -> None:
    random = np.random.default_rng(0)
    odd = random.normal(size=500)
    odd[::7], odd[1::7], odd[2::7] = np.nan, np.inf, -np.inf
    rows = {"odd": odd, "constant": np.ones(500), "missing": np.full(500, np.nan), "same": np.full(500, "x", object)}
    document = joint(rows, rows, policy=POLICY).to_document()
    assert document["verdict"] == "not enough data"
    json.dumps(document, allow_nan=False)


def test_very_many_features_take_bounded_time_and_memory() -> None:
    random = np.random.default_rng(4)
    names = np.array([f"k{number}" for number in range(20)], object)
    before, after = ({f"f{n}": random.choice(names, 60) for n in range(200)} for _ in range(2))
    started = time.process_time()
    assert joint(before, after, policy=POLICY).verdict == "not enough data"
    assert time.process_time() - started < 8


def test_different_features_are_refused() -> None:
    with pytest.raises(ProfileMismatch, match="different features"):
        joint({"a": np.arange(99.0)}, {"b": np.arange(99.0)}, policy=POLICY)
