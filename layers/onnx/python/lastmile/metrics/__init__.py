"""How good answers are: metrics of every task on numpy alone, with intervals, differences and groups."""

from lastmile.metrics.measuring import Comparison, Measured, Prepared, bootstrapped, compared, measure, prepare
from lastmile.metrics.table import METRICS, Metric, find, gain, of_task, primary

__all__ = [
    "METRICS",
    "Comparison",
    "Measured",
    "Metric",
    "Prepared",
    "bootstrapped",
    "compared",
    "find",
    "gain",
    "measure",
    "of_task",
    "prepare",
    "primary",
]
