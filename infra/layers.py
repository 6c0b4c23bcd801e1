"""What functions share: one version of each layer, for all stacks."""

from typing import cast

from aws_cdk import CfnDeletionPolicy, CfnResource, FileSystem, RemovalPolicy, Stack, aws_lambda, aws_ssm
from constructs import Construct

from infra.assets import Assets
from infra.config import Stage
from infra.function import ARCHITECTURES, RUNTIME

MEANINGS = {
    "onnx": "ONNX Runtime, numpy and the Lastmile library",
    "training": "scikit-learn, ONNX and the conversion between them",
}


class Layers(Stack):
    """Other stacks find a layer by a parameter whose name holds the layer's content.

    An export would do for one deployment: CloudFormation refuses to change what another stack imports. With another
    content the name is another, and so the functions that use it are published anew. With `keep_replaced` the version
    before stays: a deployment that is rolled back gives it back to functions, and would be stuck without it.
    """

    def __init__(self, scope: Construct, *, stage: Stage, assets: Assets, keep_replaced: bool = True) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Layers", description=f"Lastmile {stage.name}: what functions share"
        )
        self._names: dict[str, str] = {}
        for name, meaning in MEANINGS.items():
            version = aws_lambda.LayerVersion(
                self,
                f"{name.capitalize()}Layer",
                layer_version_name=f"lastmile-{stage.name}-{name}",
                description=meaning,
                code=assets.code(f"{name}-layer"),
                compatible_runtimes=[RUNTIME],
                compatible_architectures=[ARCHITECTURES[stage.architecture]],
                removal_policy=RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY,
            )
            if keep_replaced:
                options = cast(CfnResource, version.node.default_child).cfn_options
                options.update_replace_policy = CfnDeletionPolicy.RETAIN
            content = FileSystem.fingerprint(str(assets.path(f"{name}-layer")))[:16]
            self._names[name] = f"/lastmile/{stage.name}/layers/{name}/{content}"
            aws_ssm.StringParameter(
                self,
                f"{name.capitalize()}Version",
                parameter_name=self._names[name],
                string_value=version.layer_version_arn,
                description=f"Lastmile {stage.name}: the version of the {name} layer with this content",
            )

    def content(self, name: str) -> str:
        """Changes whenever a file of the layer does."""
        return self._names[name].rpartition("/")[2]

    def version(self, scope: Construct, name: str) -> aws_lambda.ILayerVersion:
        """The layer, for functions of the stack `scope`."""
        Stack.of(scope).add_stack_dependency(self)
        arn = aws_ssm.StringParameter.value_for_string_parameter(scope, self._names[name])
        return aws_lambda.LayerVersion.from_layer_version_arn(scope, f"{name.capitalize()}Layer", arn)
