"""What looks after the models that serve: the hourly check for drift, its alarms, and a page for every model."""

from aws_cdk import CfnOutput, Stack, aws_lambda
from constructs import Construct

from infra.assets import Assets
from infra.config import Stage
from infra.dashboard import ModelDashboard
from infra.drifting import Drifting
from infra.function import ARCHITECTURES, RUNTIME
from infra.storage import Storage


class Watching(Stack):
    def __init__(self, scope: Construct, *, stage: Stage, assets: Assets, storage: Storage) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Watching", description=f"Lastmile {stage.name}: captures, drift and quality"
        )
        alarms = storage.alarms
        layer = aws_lambda.LayerVersion(
            self,
            "OnnxLayer",
            layer_version_name=f"lastmile-{stage.name}-watching-onnx",
            description="ONNX Runtime, numpy and the Lastmile library",
            code=assets.code("onnx-layer"),
            compatible_runtimes=[RUNTIME],
            compatible_architectures=[ARCHITECTURES[stage.architecture]],
        )
        drifting = Drifting(self, stage=stage, assets=assets, storage=storage, layers=[layer], alarms=alarms)
        ModelDashboard(self, stage=stage, functions={"drift": (drifting.function, stage.drift)})
        CfnOutput(self, "DriftFunction", value=drifting.function.name)
