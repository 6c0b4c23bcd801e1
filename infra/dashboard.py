"""One page of CloudWatch: how fast, how much, what fails."""

from collections.abc import Mapping

from aws_cdk import aws_apigatewayv2
from aws_cdk.aws_cloudwatch import Dashboard as CloudWatchDashboard
from aws_cdk.aws_cloudwatch import GraphWidget, IMetric
from constructs import Construct

from infra.alarms import PERIOD
from infra.config import Stage
from infra.function import Function
from infra.routes import Door

PERCENTILES = ("p50", "p90", "p99")


class Dashboard(Construct):
    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        api: aws_apigatewayv2.HttpApi,
        functions: Mapping[Door, Function],
    ) -> None:
        super().__init__(scope, "Dashboard")
        page = CloudWatchDashboard(self, "Page", dashboard_name=f"lastmile-{stage.name}")
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


def graph(title: str, metrics: list[IMetric]) -> GraphWidget:
    return GraphWidget(title=title, left=metrics, width=8)
