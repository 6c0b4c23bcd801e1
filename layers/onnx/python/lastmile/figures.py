"""Figures for CloudWatch that travel in a log line, so that publishing them takes no call.

The embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import math
import os
import sys
from collections.abc import Iterable, Mapping

import orjson

NAMESPACE = "Lastmile"

MOST_VALUES = 100  # of one figure in a line

type Values = Mapping[str, float | list[float] | None]


def write_line(text: str) -> None:
    """One log event, past Python's logging: CloudWatch finds figures in a line that is nothing else."""
    sys.stdout.flush()
    os.write(sys.stdout.fileno(), text.encode())


def line(values: Values, *, dimensions: Mapping[str, str], at: float) -> str | None:
    """One log line with the figures of one moment (seconds since 1970); None when there are none.

    What is not there, or is no finite number, is left out. A list is many observations of one figure, from which
    CloudWatch makes percentiles.
    """
    told = {name: value for name, value in values.items() if value is not None and _is_finite(value)}
    if not told:
        return None
    metrics = [{"Name": name} for name in told]
    directive = {"Namespace": NAMESPACE, "Dimensions": [list(dimensions)], "Metrics": metrics}
    document = {"_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]}, **dimensions, **told}
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode()


def observations(values: Iterable[float]) -> list[float]:
    """At most as many as a line may hold, at even ranks: their percentiles are those of all."""
    ordered = sorted(values)
    if len(ordered) <= MOST_VALUES:
        return ordered
    return [ordered[rank * (len(ordered) - 1) // (MOST_VALUES - 1)] for rank in range(MOST_VALUES)]


def _is_finite(value: float | list[float]) -> bool:
    return all(map(math.isfinite, value)) and bool(value) if isinstance(value, list) else math.isfinite(value)
