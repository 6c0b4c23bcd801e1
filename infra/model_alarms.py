"""Alarms of single models, those pushed tomorrow too."""

from typing import NamedTuple

from aws_cdk import Duration
from aws_cdk.aws_cloudwatch import MathExpression
from constructs import Construct

from infra.alarms import PERIOD, Alarms
from infra.config import Stage
from infra.dashboard import HOUR, NAMESPACE


class Watched(NamedTuple):
    """Rings when a model's `figure` reaches `at` in one of the last `periods`; `grouped` is a dimension beside stage
    and model."""

    name: str
    figure: str
    function: str  # of CloudWatch's Metrics Insights, which has no percentiles
    at: float
    meaning: str
    period: Duration = HOUR
    periods: int = 1
    grouped: str | None = None


class ModelAlarms(Construct):
    """Each alarm is a query that gives one series per model, and each series rings for itself, naming its model:
    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Create_Metrics_Insights_Alarm.html."""

    def __init__(self, scope: Construct, *, stage: Stage, alarms: Alarms) -> None:
        super().__init__(scope, "ModelAlarms")
        for watched in all_of(stage):
            series = MathExpression(expression=query(stage, watched), using_metrics={}, period=watched.period)
            meaning = f"lastmile-{stage.name}: {watched.meaning}"
            alarms.ring(self, watched.name, series, at=watched.at, meaning=meaning, periods=watched.periods)


def all_of(stage: Stage) -> tuple[Watched, ...]:
    slow, usd = stage.inference.p99_alarm_ms, stage.model_usd_an_hour
    seconds = usd / stage.model_second_usd
    return (
        Watched("Failing", "PredictionErrors", "SUM", stage.error_alarm_count, "predictions of a model fail", PERIOD),
        Watched(
            "Slow",
            "VersionMillisecondsP99",
            "MAX",
            slow,
            f"a model needs {slow} ms or more for one prediction in a hundred",
            periods=3,  # an hour's figure is told when that hour has settled: up to two hours after its end
            grouped="version",
        ),
        Watched("Costly", "ModelSeconds", "SUM", round(seconds, 1), f"time in a model costs {usd:g} USD an hour"),
        Watched(
            "Drifted",
            "DriftedFeatures",
            "MAX",
            1,
            "inputs or answers of a model have drifted: see `lastmile drift <model>`",
        ),
        Watched(
            "Quality", "GatesMissed", "MAX", 1, "a model is worse than its gates allow: see `lastmile quality <model>`"
        ),
        Watched("Unchecked", "ChecksFailed", "MAX", 1, "a model could not be checked for drift: `lastmile logs drift`"),
    )


def query(stage: Stage, watched: Watched) -> str:
    dimensions = ", ".join(["model", "stage", *([watched.grouped] if watched.grouped else [])])
    return " ".join(
        (
            f"SELECT {watched.function}({watched.figure})",
            f"FROM SCHEMA({NAMESPACE}, {dimensions})",
            f"WHERE stage = '{stage.name}'",
            "GROUP BY model",
            f"ORDER BY {watched.function}() DESC",
        )
    )
