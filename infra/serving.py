"""The functions that answer requests, the API in front of them, and what watches both."""

from collections.abc import Mapping, Sequence

from aws_cdk import CfnOutput, Stack, aws_iam
from constructs import Construct

from infra import endpoints
from infra.api import Api
from infra.assets import Assets
from infra.config import Size, Stage
from infra.dashboard import Dashboard
from infra.duties import CONTROL, INFERENCE, Duty
from infra.function import NOTHING, Function
from infra.identity import Identity
from infra.layers import Layers
from infra.learning import any_execution, following, waking
from infra.routes import Door
from infra.storage import Storage


class Serving(Stack):
    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        layers: Layers,
        storage: Storage,
        identity: Identity,
        hook: Function,
    ) -> None:
        """`hook` answers what chat platforms send."""
        super().__init__(
            scope, f"Lastmile-{stage.name}-Serving", description=f"Lastmile {stage.name}: the API and its functions"
        )
        self._stage = stage
        self._assets = assets
        self._storage = storage
        self._alarms = storage.alarms
        self._layer = layers.version(self, "onnx")
        inference = self._function(
            "inference",
            size=stage.inference,
            duty=INFERENCE,
            environment={
                "LASTMILE_RELEASE_SECONDS": str(stage.release_seconds),
                "LASTMILE_DEFAULT_MODEL": stage.default_model,
                "LASTMILE_CAPTURE": stage.capture,
                "LASTMILE_CORS_ORIGINS": ",".join(stage.cors_origins),
                "LASTMILE_TOKEN_URL": identity.token_url,
            },
            statements=[endpoints.asking(stage, endpoints.NOW, endpoints.LATER)],
            accepted=endpoints.accepted(stage),
        )
        control = self._function(
            "control",
            size=stage.control,
            duty=CONTROL,
            environment={"LASTMILE_TOKEN_URL": identity.token_url},
            statements=[following(stage), waking(stage)],
            accepted=any_execution(stage),
        )
        functions: dict[Door, Function] = {"inference": inference, "control": control, "hook": hook}
        api = Api(self, stage=stage, functions=functions, storage=storage, identity=identity, alarms=self._alarms)
        Dashboard(self, stage=stage, api=api.http, functions=functions)
        CfnOutput(self, "ApiId", value=api.http.api_id)
        CfnOutput(self, "ApiUrl", value=api.http.api_endpoint)
        CfnOutput(self, "InferenceFunction", value=inference.name)
        CfnOutput(self, "ControlFunction", value=control.name)
        CfnOutput(self, "LogGroupPrefix", value=f"/aws/lambda/lastmile-{stage.name}-")

    def _function(
        self,
        name: Door,
        *,
        size: Size,
        duty: Duty,
        environment: Mapping[str, str],
        statements: Sequence[aws_iam.PolicyStatement] = (),
        accepted: Mapping[str, str] = NOTHING,
    ) -> Function:
        return Function(
            self,
            name,
            stage=self._stage,
            size=size,
            code=self._assets.code(name),
            layers=[self._layer],
            environment=environment,
            duty=duty,
            storage=self._storage,
            alarms=self._alarms,
            statements=statements,
            accepted=accepted,
        )
