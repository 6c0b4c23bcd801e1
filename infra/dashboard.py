"""Two pages of CloudWatch: how fast, how much, what fails, what it costs; and how each model fares."""

from collections.abc import Mapping
from typing import NamedTuple

from aws_cdk import Aws, Duration, aws_apigatewayv2
from aws_cdk.aws_cloudwatch import Dashboard as CloudWatchDashboard
from aws_cdk.aws_cloudwatch import GraphWidget, IMetric, MathExpression
from constructs import Construct

from infra.accelerators import INSTANCES
from infra.alarms import PERIOD
from infra.config import GB_SECOND_USD, REQUEST_USD, Size, Stage
from infra.function import Function
from infra.routes import Door

PERCENTILES = ("p50", "p90", "p99")
NAMESPACE = "Lastmile"
GPU_SECOND_USD = INSTANCES["ml.g5.xlarge"].usd_per_hour / 3600
HOUR = Duration.hours(1)


class Dashboard(Construct):
    """The API and the functions behind it."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        api: aws_apigatewayv2.HttpApi,
        functions: Mapping[Door, Function],
    ) -> None:
        super().__init__(scope, "Dashboard")
        page = CloudWatchDashboard(self, "Page", dashboard_name=page_name(stage))
        page.add_widgets(
            graph("API latency, ms", [api.metric_latency(period=PERIOD, statistic=p, label=p) for p in PERCENTILES]),
            graph(
                "API calls",
                [
                    api.metric_count(period=PERIOD, statistic="Sum", label="calls"),
                    api.metric_client_error(period=PERIOD, statistic="Sum", label="4xx"),
                    api.metric_server_error(period=PERIOD, statistic="Sum", label="5xx"),
                ],
            ),
        )
        for name, function in functions.items():
            add_function(page, name, function)
        sizes: dict[Door, Size] = {"inference": stage.inference, "control": stage.control, "hook": stage.hook}
        page.add_widgets(cost(stage, {name: (function, sizes[name]) for name, function in functions.items()}))


class Figure(NamedTuple):
    """A figure that functions put into their logs for each model; `grouped` is one more dimension, and what is shown
    is `factor` times the figure."""

    title: str
    metric: str
    statistic: str
    grouped: str | None = None
    factor: float = 1.0


MODEL_FIGURES = (
    Figure("Predictions", "Predictions", "Sum"),
    Figure("Failed predictions", "PredictionErrors", "Sum"),
    Figure("Time in the model, p50, ms", "ModelMilliseconds", "p50"),
    Figure("Time in the model, p99, ms", "ModelMilliseconds", "p99"),
    Figure("Requests in an hour, by version", "VersionRequests", "Maximum", "version"),
    Figure("Failed requests in an hour, by version", "VersionErrors", "Maximum", "version"),
    Figure("Latency of a version, p50, ms", "VersionMillisecondsP50", "Maximum", "version"),
    Figure("Latency of a version, p99, ms", "VersionMillisecondsP99", "Maximum", "version"),
    Figure("Drifted features", "DriftedFeatures", "Maximum"),
    Figure("Largest drift, in units of its tolerance", "LargestDrift", "Maximum"),
    Figure("Estimated without labels", "EstimatedQuality", "Average"),
    Figure("Measured on labelled rows", "Quality", "Average", "metric"),
    Figure("Gates missed on labelled rows", "GatesMissed", "Maximum"),
    Figure("Share of rows with a label", "LabelCoverage", "Average"),
    Figure("Heavy models: rows on the endpoint", "HeavyRows", "Sum"),
    Figure("Heavy models: rows answered here", "LightRows", "Sum"),
    Figure("Heavy models: share of rows on the endpoint", "HeavyShare", "Average"),
    Figure("Heavy models: degraded answers", "DegradedPredictions", "Sum"),
    Figure(
        "Saved by cascades, USD (endpoint seconds on ml.g5.xlarge)", "HeavySecondsSaved", "Sum", factor=GPU_SECOND_USD
    ),
)


def model_cost(stage: Stage) -> Figure:
    """What the time in a model costs where it is predicted with, without the time around it."""
    usd = stage.model_second_usd
    return Figure("Time in the model, USD an hour (estimated)", "ModelSeconds", "Sum", factor=usd)


class ModelDashboard(Construct):
    """Every model that has figures, those pushed tomorrow too: the page searches for them when it is looked at."""

    def __init__(self, scope: Construct, *, stage: Stage, functions: Mapping[str, tuple[Function, Size]]) -> None:
        super().__init__(scope, "ModelDashboard")
        page = CloudWatchDashboard(self, "Page", dashboard_name=f"{page_name(stage)}-models")
        page.add_widgets(*(searched(stage, figure) for figure in (*MODEL_FIGURES, model_cost(stage))))
        for name, (function, _) in functions.items():
            add_function(page, name, function)
        page.add_widgets(cost(stage, functions))


def page_name(stage: Stage) -> str:
    """Dashboards are an account's, whatever region they are made in, and a second one of the same name is refused:
    https://github.com/aws-solutions-library-samples/qnabot-on-aws/issues/81"""
    return f"lastmile-{stage.name}-{Aws.REGION}"


def searched(stage: Stage, figure: Figure) -> GraphWidget:
    dimensions = ",".join([NAMESPACE, "stage", "model", *([figure.grouped] if figure.grouped else [])])
    found = f'{{{dimensions}}} MetricName="{figure.metric}" stage="{stage.name}"'
    label = " ".join(f"${{PROP('Dim.{name}')}}" for name in ("model", figure.grouped) if name)
    times = "" if figure.factor == 1.0 else f" * {figure.factor:.10f}"
    search = MathExpression(
        expression=f"SEARCH('{found}', '{figure.statistic}', {int(HOUR.to_seconds())}){times}",
        using_metrics={},
        label=label,
        period=HOUR,
    )
    return graph(figure.title, [search])


def add_function(page: CloudWatchDashboard, name: str, function: Function) -> None:
    live = function.live
    page.add_widgets(
        graph(
            f"{name}: duration, ms",
            [live.metric_duration(period=PERIOD, statistic=p, label=p) for p in PERCENTILES],
        ),
        graph(
            f"{name}: calls",
            [
                live.metric_invocations(period=PERIOD, statistic="Sum", label="calls"),
                live.metric_errors(period=PERIOD, statistic="Sum", label="errors"),
                live.metric_throttles(period=PERIOD, statistic="Sum", label="throttles"),
            ],
        ),
        graph(
            f"{name}: at once",
            [live.metric("ConcurrentExecutions", period=PERIOD, statistic="Maximum", label="concurrency")],
        ),
    )


def cost(stage: Stage, functions: Mapping[str, tuple[Function, Size]]) -> GraphWidget:
    """Time and calls at their list price, without what an account gets for nothing."""
    price = f"{GB_SECOND_USD[stage.architecture]:.10f}"
    each = f"{REQUEST_USD:.7f}"
    return graph(
        "Lambda, USD an hour (estimated)",
        [
            MathExpression(
                expression=f"{name}Ms / 1000 * {size.memory_mb / 1024:g} * {price} + {name}Calls * {each}",
                using_metrics={
                    f"{name}Ms": function.live.metric_duration(period=HOUR, statistic="Sum"),
                    f"{name}Calls": function.live.metric_invocations(period=HOUR, statistic="Sum"),
                },
                label=name,
                period=HOUR,
            )
            for name, (function, size) in functions.items()
        ],
    )


def graph(title: str, metrics: list[IMetric]) -> GraphWidget:
    return GraphWidget(title=title, left=metrics, width=8)
