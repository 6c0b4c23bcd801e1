import numpy as np

from lastmile.drift import compare, natural_variation
from lastmile.policies import Drift
from lastmile.profile import Profile, reference
from lastmile.tensors import Array, Signature, TensorSpec

SIGNATURE = Signature(
    (TensorSpec("x", "FP64", (-1, 2), columns=("wave", "plain")),), (TensorSpec("value", "FP32", (-1,)),)
)
WINDOW = 1000


def rows(random: np.random.Generator, weeks: range, *, plain: float = 0.0) -> list[Array]:
    """A wave with a period of eight windows, and a feature without any."""
    return [
        np.stack(
            [random.normal(0.6 * np.sin(week * np.pi / 4), size=WINDOW), random.normal(plain, size=WINDOW)], axis=1
        )
        for week in weeks
    ]


def test_seasons_are_no_drift_and_what_is_new_is() -> None:
    random = np.random.default_rng(0)
    known = rows(random, range(16))
    profile = reference(SIGNATURE, "regression", {"x": np.concatenate(known)}, {})
    variation = natural_variation([Profile.of(profile.layout, {"x": window}, {}) for window in known])
    assert variation["wave", "values"] > 0.5
    assert variation["plain", "values"] < 0.1
    for window in rows(random, range(16, 32)):
        current = Profile.of(profile.layout, {"x": window}, {})
        assert compare(profile, current, policy=Drift(), variation=variation).verdict != "drifted"
    (changed,) = rows(random, range(32, 33), plain=0.4)
    report = compare(profile, Profile.of(profile.layout, {"x": changed}, {}), policy=Drift(), variation=variation)
    assert {row.name: row.verdict for row in report.by_feature()} == {"wave": "stable", "plain": "drifted"}


def test_a_few_windows_say_nothing() -> None:
    random = np.random.default_rng(0)
    known = rows(random, range(3))
    profile = reference(SIGNATURE, "regression", {"x": np.concatenate(known)}, {})
    assert natural_variation([Profile.of(profile.layout, {"x": window}, {}) for window in known]) == {}
