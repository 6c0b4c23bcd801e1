"""Figures for CloudWatch that travel in a log line, so that publishing them takes no call.

The embedded metric format: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html
"""

import math
from collections.abc import Mapping

import orjson

NAMESPACE = "Lastmile"

type Values = Mapping[str, float | None]


def line(values: Values, *, dimensions: Mapping[str, str], at: float, totals: bool = True) -> str | None:
    """One log line with the figures of one moment (seconds since 1970); None when there are none.

    Each figure is told for all dimensions together and, with `totals`, for the first alone: what an alarm can watch
    that cannot know the models. What is not there, or is no finite number, is left out.
    """
    told = {name: value for name, value in values.items() if value is not None and math.isfinite(value)}
    if not told:
        return None
    names = list(dimensions)
    sets = [names, names[:1]] if totals and len(names) > 1 else [names]
    metrics = [{"Name": name} for name in told]
    directive = {"Namespace": NAMESPACE, "Dimensions": sets, "Metrics": metrics}
    document = {"_aws": {"Timestamp": int(at * 1000), "CloudWatchMetrics": [directive]}, **dimensions, **told}
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE).decode()
