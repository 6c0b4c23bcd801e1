import json

import numpy as np

from lastmile.drift import ALPHA, compare, judge
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

SIGNATURE = Signature(
    tuple(TensorSpec(name, "FP64", (-1,)) for name in ("one", "other", "third")), (TensorSpec("value", "FP32", (-1,)),)
)
UNFORGIVING = Drift(tolerance=0.0, joint=True)


def rows(random: np.random.Generator, count: int, correlation: float = 0.6) -> dict[str, Array]:
    common = random.normal(size=count)
    return {
        name: correlation**0.5 * common + (1 - correlation) ** 0.5 * random.normal(size=count)
        for name in ("one", "other", "third")
    }


def test_looking_jointly_too_raises_no_more_false_alarms_than_stated() -> None:
    random = np.random.default_rng(1)
    runs, alarms, joint_alarms = 300, 0, 0
    for _ in range(runs):
        before, after = rows(random, 600), rows(random, 300)
        known = reference(SIGNATURE, "regression", before, {})
        report = judge(known, Profile.of(known.layout, after, {}), (before, after), policy=UNFORGIVING)
        alarms += report.alarm
        joint_alarms += any(row.aspect == "joint" for row in report.drifted)
    chance = 3 * (ALPHA / runs) ** 0.5
    assert alarms / runs <= ALPHA + chance
    assert joint_alarms / runs <= ALPHA / 2 + chance


def test_the_level_is_shared_and_said() -> None:
    random = np.random.default_rng(0)
    before, after = rows(random, 8000), rows(random, 8000, 0.0)
    known = reference(SIGNATURE, "regression", before, {})
    now = Profile.of(known.layout, after, {})
    report = judge(known, now, (before, after), policy=Drift(joint=True), alpha=0.01)
    alone = compare(known, now, policy=Drift(), alpha=0.005)
    assert report.features[:-1] == alone.features
    assert report.features[-1].verdict == "drifted"
    assert (report.alpha, report.tests) == (0.01, alone.tests + 1)
    json.dumps(report.to_document(), allow_nan=False)


def test_without_the_option_or_without_rows_it_is_the_features_alone() -> None:
    random = np.random.default_rng(0)
    before, after = rows(random, 500), rows(random, 500, 0.0)
    known = reference(SIGNATURE, "regression", before, {})
    now = Profile.of(known.layout, after, {})
    alone = compare(known, now, policy=Drift())
    assert judge(known, now, (before, after), policy=Drift()) == alone
    assert judge(known, now, None, policy=Drift(joint=True)) == alone


def test_what_wanders_jointly_by_itself_is_forgiven() -> None:
    random = np.random.default_rng(0)
    before, after = rows(random, 8000), rows(random, 8000, 0.0)
    known = reference(SIGNATURE, "regression", before, {})
    now = Profile.of(known.layout, after, {})
    wide = {("all features together", "joint"): 0.9}
    report = judge(known, now, (before, after), policy=Drift(joint=True), variation=wide)  # type: ignore[arg-type]
    assert (report.features[-1].verdict, report.features[-1].tolerance) == ("stable", 0.9)
