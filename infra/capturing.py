"""The function that keeps what was predicted, and the subscriptions that hand it the logs."""

from collections.abc import Sequence

from aws_cdk import aws_lambda, aws_logs, aws_logs_destinations
from aws_cdk.aws_cloudwatch import Metric
from constructs import Construct

from infra import undelivered
from infra.alarms import PERIOD, Alarms
from infra.assets import Assets
from infra.config import Stage
from infra.duties import CAPTURE
from infra.function import Function
from infra.storage import Storage

MARKER = '"lastmile.capture"'  # a plain term: what JSON a line is of, the function itself finds out
NAMESPACE = "Lastmile"


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
            statements=undelivered.statements(storage),
        )
        undelivered.keep(self.function, storage)
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
        quarantined = Metric(
            namespace=NAMESPACE,
            metric_name="QuarantinedCaptures",
            dimensions_map={"stage": self._stage.name},
            period=PERIOD,
            statistic="Sum",
        )
        meaning = "lines were put aside below quarantine/captures/ in the data bucket, each with its reason"
        alarms.ring(self, "Quarantined", quarantined, at=1, meaning=f"{self.function.name}: {meaning}")
