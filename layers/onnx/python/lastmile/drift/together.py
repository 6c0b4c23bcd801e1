"""Feature by feature and all of them together, at one stated level."""

from collections.abc import Mapping
from dataclasses import replace

from lastmile.drift.joint import NAME, Rows, joint
from lastmile.drift.report import Aspect, DriftReport
from lastmile.drift.verdict import ALPHA, compare
from lastmile.policies import Drift
from lastmile.profile import Profile


def judge(
    reference: Profile,
    current: Profile,
    rows: tuple[Rows, Rows] | None,
    *,
    policy: Drift,
    alpha: float = ALPHA,
    variation: Mapping[tuple[str, Aspect], float] | None = None,
) -> DriftReport:
    """As `compare`; where the policy wants it and `rows` of both sides are there, with `joint` as one more feature.

    Each of the two gets half of `alpha`, so that together they raise no more false alarms than `compare` alone.
    """
    if not policy.joint or rows is None:
        return compare(reference, current, policy=policy, alpha=alpha, variation=variation)
    report = compare(reference, current, policy=policy, alpha=alpha / 2, variation=variation)
    tolerance = max(policy.tolerance, (variation or {}).get((NAME, "joint"), 0.0))
    together = joint(*rows, policy=replace(policy, tolerance=tolerance), alpha=alpha / 2)
    tests = report.tests + (together.p_value is not None)
    return replace(report, features=(*report.features, together), alpha=alpha, tests=tests)
