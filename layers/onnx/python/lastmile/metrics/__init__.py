"""How good answers are: metrics of every task on numpy alone, with intervals, differences and groups."""

from lastmile.metrics.measuring import Measured, Prepared, bootstrapped, differences, measure, prepare
from lastmile.metrics.table import METRICS, Metric, find, gain, of_task, primary

__all__ = [
    "METRICS",
    "Measured",
    "Metric",
    "Prepared",
    "bootstrapped",
    "differences",
    "find",
    "gain",
    "measure",
    "of_task",
    "prepare",
    "primary",
]
