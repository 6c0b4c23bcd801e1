"""Heavy models on GPUs: SageMaker with AWS's Triton container, asked at once or later, both down to no instance at all.

Only with `-c gpu=true`, and never in the local AWS, which has no SageMaker. `lastmile heavy deploy` does it.
"""

from collections.abc import Sequence

from aws_cdk import Annotations, CfnOutput, CfnTag, Stack, Tags, aws_sns
from aws_cdk.aws_sagemaker import CfnEndpoint, CfnEndpointConfig, CfnInferenceComponent, CfnModel
from constructs import Construct

from infra.accelerators import GB_MONTH_USD, MACHINE_IMAGE, PRICES_OF
from infra.alarms import PERIOD
from infra.asynchronous import START_SECONDS, VARIANT, Asynchronous
from infra.config import Stage
from infra.executing import Executing
from infra.heavy import HeavyVersion, component_name, endpoint_name
from infra.scaling import Scaling, sagemaker
from infra.storage import Storage
from infra.triton import QUIET, image


class Gpu(Stack):
    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        storage: Storage,
        versions: Sequence[HeavyVersion],
    ) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Gpu", description=f"Lastmile {stage.name}: heavy models on GPUs"
        )
        self._stage = stage
        self._storage = storage
        self._subnets, self._groups = [*stage.heavy_subnets], [*stage.heavy_security_groups]
        self._key = None if all(version.instance.own_disk for version in versions) else storage.key.key_arn
        self._image = image(self)
        succeeded, failed = self._topic("Succeeded"), self._topic("Failed")
        self._executing = Executing(
            self,
            stage=stage,
            storage=storage,
            packages=[version.package for version in versions],
            topics=[succeeded, failed],
            with_disks=self._key is not None,
            in_vpc=bool(self._subnets),
        )
        endpoint = self._endpoint(versions)
        for version in versions:
            model = self._model(version)
            self._component(version, model, endpoint)
            beside = Asynchronous(
                self, stage=stage, storage=storage, version=version, model=model, succeeded=succeeded, failed=failed
            )
            for name, value in tags(stage, version).items():
                Tags.of(beside).add(name, value)
        CfnOutput(self, "HeavyEndpoint", value=endpoint_name(stage))
        CfnOutput(self, "HeavyInstance", value=versions[0].settings.instance)
        CfnOutput(self, "HeavyVersions", value=",".join(version.id for version in versions))
        CfnOutput(self, "HeavySucceededTopicArn", value=succeeded.topic_arn)
        CfnOutput(self, "HeavyFailedTopicArn", value=failed.topic_arn)
        CfnOutput(self, "HeavyCost", value=cost(versions))
        Annotations.of(self).add_info(cost(versions))

    def _topic(self, name: str) -> aws_sns.Topic:
        return aws_sns.Topic(self, name, master_key=self._storage.key, enforce_ssl=True)

    def _model(self, version: HeavyVersion) -> CfnModel:
        inside = CfnModel.VpcConfigProperty(subnets=self._subnets, security_group_ids=self._groups)
        return CfnModel(
            self,
            f"Model-{version.id}",
            execution_role_arn=self._executing.role.role_arn,
            enable_network_isolation=True,
            primary_container=CfnModel.ContainerDefinitionProperty(
                image=self._image,
                model_data_url=f"s3://{self._storage.artifacts.bucket_name}/{version.package}",
                environment={"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": version.model, **QUIET},
            ),
            vpc_config=inside if self._subnets else None,
            tags=self._tags(version),
        )

    def _endpoint(self, versions: Sequence[HeavyVersion]) -> CfnEndpoint:
        """One for all versions, each a component of its own; it begins with one instance and may go to none."""
        variant = CfnEndpointConfig.ProductionVariantProperty(
            variant_name=VARIANT,
            instance_type=versions[0].settings.instance,
            initial_instance_count=1,
            inference_ami_version=MACHINE_IMAGE,
            managed_instance_scaling=CfnEndpointConfig.ManagedInstanceScalingProperty(
                status="ENABLED",
                min_instance_count=0,
                max_instance_count=sum(version.settings.max_instances for version in versions),
            ),
            routing_config=CfnEndpointConfig.RoutingConfigProperty(routing_strategy="LEAST_OUTSTANDING_REQUESTS"),
            container_startup_health_check_timeout_in_seconds=START_SECONDS,
            model_data_download_timeout_in_seconds=START_SECONDS,
        )
        inside = CfnEndpointConfig.VpcConfigProperty(subnets=self._subnets, security_group_ids=self._groups)
        config = CfnEndpointConfig(
            self,
            "EndpointConfig",
            execution_role_arn=self._executing.role.role_arn,
            enable_network_isolation=True,
            kms_key_id=self._key,
            production_variants=[variant],
            vpc_config=inside if self._subnets else None,
        )
        name = endpoint_name(self._stage)
        return CfnEndpoint(self, "Endpoint", endpoint_name=name, endpoint_config_name=config.attr_endpoint_config_name)

    def _component(self, version: HeavyVersion, model: CfnModel, endpoint: CfnEndpoint) -> None:
        """One copy at first, so that a version that cannot be loaded fails its deployment; then as many as it takes."""
        name = component_name(self._stage, version)
        needs = CfnInferenceComponent.InferenceComponentComputeResourceRequirementsProperty(
            number_of_accelerator_devices_required=1, min_memory_required_in_mb=version.settings.memory_mb
        )
        component = CfnInferenceComponent(
            self,
            f"Component-{version.id}",
            inference_component_name=name,
            endpoint_name=endpoint_name(self._stage),
            variant_name=VARIANT,
            runtime_config=CfnInferenceComponent.InferenceComponentRuntimeConfigProperty(copy_count=1),
            specification=CfnInferenceComponent.InferenceComponentSpecificationProperty(
                model_name=model.attr_model_name,
                compute_resource_requirements=needs,
                startup_parameters=CfnInferenceComponent.InferenceComponentStartupParametersProperty(
                    container_startup_health_check_timeout_in_seconds=START_SECONDS,
                    model_data_download_timeout_in_seconds=START_SECONDS,
                ),
            ),
            tags=self._tags(version),
        )
        component.node.add_dependency(endpoint)
        Scaling(
            self,
            f"Copies-{version.id}",
            resource=component,
            resource_id=f"inference-component/{name}",
            dimension="inference-component:DesiredCopyCount",
            most=version.most_copies,
            tracked="SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution",
            target=version.settings.concurrency,
            wake=sagemaker("NoCapacityInvocationFailures", "Sum", InferenceComponentName=name),
        )
        self._storage.alarms.ring(
            self,
            f"Failing-{version.id}",
            sagemaker("Invocation5XXErrors", "Sum", period=PERIOD, InferenceComponentName=name),
            at=self._stage.error_alarm_count,
            meaning=f"{name}: the heavy model fails; light answers stand in for it, or requests wait",
        )

    def _tags(self, version: HeavyVersion) -> list[CfnTag]:
        return [CfnTag(key=key, value=value) for key, value in tags(self._stage, version).items()]


def tags(stage: Stage, version: HeavyVersion) -> dict[str, str]:
    """By which a bill can be read."""
    return {"lastmile:stage": stage.name, "lastmile:model": version.model, "lastmile:version": str(version.number)}


def cost(versions: Sequence[HeavyVersion]) -> str:
    """One line for whoever deploys: the most that can run, and what is left when nothing does."""
    kind = versions[0].settings.instance
    price = versions[0].instance.usd_per_hour
    most = 2 * sum(version.settings.max_instances for version in versions)
    return (
        f"Cost, at list prices of us-east-1 ({PRICES_OF}): {kind} {price:.3f} USD an hour for each instance in "
        f"service; at most {most} ({most * price:.2f} USD an hour), half of them for answers that come later; no "
        f"instance when nobody asks (then {GB_MONTH_USD} USD per GB of package and month remain)."
    )
