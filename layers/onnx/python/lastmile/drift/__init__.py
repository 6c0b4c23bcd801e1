"""Drift, judged from profiles alone: tests of both samples, effects without their bias, verdicts that own up."""

from lastmile.drift.budget import Budget
from lastmile.drift.report import DriftReport, Row, Verdict
from lastmile.drift.verdict import ALPHA, compare

__all__ = ["ALPHA", "Budget", "DriftReport", "Row", "Verdict", "compare"]
