"""What looks after the models that serve: captures, the hourly check for drift, and a page for every model."""

from aws_cdk import CfnOutput, Stack
from constructs import Construct

from infra.assets import Assets
from infra.capturing import Capturing
from infra.config import Stage
from infra.dashboard import ModelDashboard
from infra.drifting import Drifting
from infra.layers import Layers
from infra.model_alarms import ModelAlarms
from infra.storage import Storage

WATCHED = ("inference", "chat")  # whose predictions are captured


class Watching(Stack):
    """`with_queries` where alarms can watch queries, which they cannot in the local AWS."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        layers: Layers,
        storage: Storage,
        with_queries: bool,
    ) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Watching", description=f"Lastmile {stage.name}: captures, drift and quality"
        )
        alarms = storage.alarms
        layer = layers.version(self, "onnx")
        capturing = Capturing(
            self, stage=stage, assets=assets, storage=storage, layers=[layer], alarms=alarms, watched=WATCHED
        )
        drifting = Drifting(self, stage=stage, assets=assets, storage=storage, layers=[layer], alarms=alarms)
        if with_queries:
            ModelAlarms(self, stage=stage, alarms=alarms)
        ModelDashboard(
            self,
            stage=stage,
            functions={"capture": (capturing.function, stage.capturing), "drift": (drifting.function, stage.drift)},
        )
        CfnOutput(self, "CaptureFunction", value=capturing.function.name)
        CfnOutput(self, "DriftFunction", value=drifting.function.name)
