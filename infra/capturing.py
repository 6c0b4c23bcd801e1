"""The function that keeps what was predicted, and the subscriptions that hand it the logs."""

from collections.abc import Sequence
from typing import cast

from aws_cdk import (
    Duration,
    aws_iam,
    aws_lambda,
    aws_lambda_destinations,
    aws_logs,
    aws_logs_destinations,
)
from aws_cdk.aws_cloudwatch import Metric
from constructs import Construct

from infra.alarms import PERIOD, Alarms
from infra.assets import Assets
from infra.config import Stage
from infra.duties import CAPTURE
from infra.function import Function
from infra.nag import accept_paths
from infra.storage import Storage

MARKER = '"lastmile.capture"'  # a plain term: what JSON a line is of, the function itself finds out
NAMESPACE = "Lastmile"
KEEP_TRYING = Duration.hours(6)
UNDELIVERED = "aws/lambda/async/*"  # where Lambda leaves the deliveries that it has given up


class Capturing(Construct):
    """`watched` are functions whose log groups are there already, by their names in `functions/`."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        storage: Storage,
        layers: Sequence[aws_lambda.ILayerVersion],
        alarms: Alarms,
        watched: Sequence[str],
    ) -> None:
        super().__init__(scope, "Capturing")
        self._stage = stage
        self.function = Function(
            self,
            "capture",
            stage=stage,
            size=stage.capturing,
            code=assets.code("capture"),
            layers=layers,
            environment={},
            duty=CAPTURE,
            storage=storage,
            alarms=alarms,
            statements=[
                aws_iam.PolicyStatement(
                    sid="Undelivered",
                    actions=["s3:PutObject"],
                    resources=[storage.data.arn_for_objects(UNDELIVERED)],
                ),
                aws_iam.PolicyStatement(
                    sid="UndeliveredBucket", actions=["s3:ListBucket"], resources=[storage.data.bucket_arn]
                ),
            ],
        )
        accept_paths(cast(Construct, self.function.node.find_child("Role")), storage.data, [UNDELIVERED])
        self.function.live.configure_async_invoke(
            on_failure=aws_lambda_destinations.S3Destination(storage.data),
            retry_attempts=2,
            max_event_age=KEEP_TRYING,
        )
        for name in watched:
            self._subscribe(name)
        self._watch(alarms)

    def _subscribe(self, name: str) -> None:
        group = f"/aws/lambda/lastmile-{self._stage.name}-{name}"
        aws_logs.SubscriptionFilter(
            self,
            f"Subscription{name.capitalize()}",
            filter_name=f"lastmile-{self._stage.name}-captures",
            log_group=aws_logs.LogGroup.from_log_group_name(self, f"LogsOf{name.capitalize()}", group),
            destination=aws_logs_destinations.LambdaDestination(self.function.live),
            filter_pattern=aws_logs.FilterPattern.literal(MARKER),
        )

    def _watch(self, alarms: Alarms) -> None:
        name = self.function.name
        for title, metric, meaning in (
            (
                "Undelivered",
                self.function.live.metric("AsyncEventsDropped", period=PERIOD, statistic="Sum"),
                f"{name}: captures were given up; they wait below aws/lambda/async/ in the data bucket",
            ),
            (
                "Lost",
                self.function.live.metric("DestinationDeliveryFailures", period=PERIOD, statistic="Sum"),
                f"{name}: captures were given up and could not even be put aside",
            ),
            (
                "Quarantined",
                Metric(
                    namespace=NAMESPACE,
                    metric_name="QuarantinedCaptures",
                    dimensions_map={"stage": self._stage.name},
                    period=PERIOD,
                    statistic="Sum",
                ),
                f"{name}: lines were put aside below quarantine/captures/ in the data bucket, each with its reason",
            ),
        ):
            alarms.ring(self, title, metric, at=1, meaning=meaning)
