"""Drift, judged from profiles alone: tests of both samples, effects without their bias, verdicts that own up."""

from lastmile.drift.budget import Budget
from lastmile.drift.estimate import Estimate, Feedback, accuracy
from lastmile.drift.joint import joint
from lastmile.drift.report import DriftReport, Row, Verdict
from lastmile.drift.together import judge
from lastmile.drift.variation import natural_variation
from lastmile.drift.verdict import ALPHA, compare

__all__ = [
    "ALPHA",
    "Budget",
    "DriftReport",
    "Estimate",
    "Feedback",
    "Row",
    "Verdict",
    "accuracy",
    "compare",
    "joint",
    "judge",
    "natural_variation",
]
