"""The function that compares, every hour, what has been predicted with what was learned from."""

from collections.abc import Sequence

from aws_cdk import Duration, aws_events, aws_events_targets, aws_lambda
from constructs import Construct

from infra.alarms import Alarms
from infra.assets import Assets
from infra.config import Stage
from infra.duties import DRIFT
from infra.function import Function
from infra.storage import Storage

EVERY = Duration.hours(1)  # a model is looked at when its spec says so; this is how often it is asked


class Drifting(Construct):
    """One rule ticks for all models, so that a model pushed later is watched without a deployment."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        storage: Storage,
        layers: Sequence[aws_lambda.ILayerVersion],
        alarms: Alarms,
    ) -> None:
        super().__init__(scope, "Drifting")
        self.function = Function(
            self,
            "drift",
            stage=stage,
            size=stage.drift,
            code=assets.code("drift"),
            layers=layers,
            environment={},
            duty=DRIFT,
            storage=storage,
            alarms=alarms,
        )
        aws_events.Rule(
            self,
            "Hourly",
            rule_name=f"lastmile-{stage.name}-drift",
            description=f"Lastmile {stage.name}: look for drift in every model that is due",
            schedule=aws_events.Schedule.rate(EVERY),
            targets=[aws_events_targets.LambdaFunction(self.function.live, retry_attempts=2)],
        )
