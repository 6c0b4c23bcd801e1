"""The endpoint for what is too large or too slow to wait for, or comes while the other sleeps: its queue wakes it."""

from aws_cdk import aws_sns
from aws_cdk.aws_sagemaker import CfnEndpoint, CfnEndpointConfig, CfnModel
from constructs import Construct

from infra.accelerators import MACHINE_IMAGE
from infra.alarms import PERIOD
from infra.config import Stage
from infra.heavy import HeavyVersion, asynchronous_name
from infra.scaling import Scaling, sagemaker
from infra.storage import Storage

VARIANT = "AllTraffic"
ANSWERS, FAILURES = "pending/answers", "pending/failures"
MOST_AT_ONCE = 1000  # of one instance: SageMaker takes no larger number
START_SECONDS = 900  # to load a container, a model and what TensorRT makes of it
BACKLOG_PER_INSTANCE = 5.0  # as in https://docs.aws.amazon.com/sagemaker/latest/dg/async-inference-autoscale.html


class Asynchronous(Construct):
    """Of one version. What was asked and answered lies below `pending/` in the data bucket."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        storage: Storage,
        version: HeavyVersion,
        model: CfnModel,
        succeeded: aws_sns.ITopic,
        failed: aws_sns.ITopic,
    ) -> None:
        super().__init__(scope, f"Async-{version.id}")
        self._storage = storage
        self._version = version
        self._name = asynchronous_name(stage, version)
        config = self._config(model, succeeded, failed)
        endpoint = CfnEndpoint(
            self, "Endpoint", endpoint_name=self._name, endpoint_config_name=config.attr_endpoint_config_name
        )
        self._scale(endpoint)
        self._ring("Undone", "InvocationFailures", "answers that were to come later will not; see the failures' topic")
        self._ring("Forgotten", "ExpiredRequests", "requests waited longer than six hours and are forgotten")

    def _config(self, model: CfnModel, succeeded: aws_sns.ITopic, failed: aws_sns.ITopic) -> CfnEndpointConfig:
        settings, key = self._version.settings, self._storage.key.key_arn
        variant = CfnEndpointConfig.ProductionVariantProperty(
            variant_name=VARIANT,
            model_name=model.attr_model_name,
            instance_type=settings.instance,
            initial_instance_count=1,
            inference_ami_version=MACHINE_IMAGE,
            container_startup_health_check_timeout_in_seconds=START_SECONDS,
            model_data_download_timeout_in_seconds=START_SECONDS,
        )
        topics = CfnEndpointConfig.AsyncInferenceNotificationConfigProperty(
            success_topic=succeeded.topic_arn, error_topic=failed.topic_arn
        )
        bucket = self._storage.data.bucket_name
        later = CfnEndpointConfig.AsyncInferenceConfigProperty(
            client_config=CfnEndpointConfig.AsyncInferenceClientConfigProperty(
                max_concurrent_invocations_per_instance=min(settings.max_batch, MOST_AT_ONCE)  # enough to fill one
            ),
            output_config=CfnEndpointConfig.AsyncInferenceOutputConfigProperty(
                s3_output_path=f"s3://{bucket}/{ANSWERS}",
                s3_failure_path=f"s3://{bucket}/{FAILURES}",
                kms_key_id=key,
                notification_config=topics,
            ),
        )
        return CfnEndpointConfig(
            self,
            "Config",
            kms_key_id=None if self._version.instance.own_disk else key,
            production_variants=[variant],
            async_inference_config=later,
        )

    def _scale(self, endpoint: CfnEndpoint) -> None:
        """By what waits."""
        Scaling(
            self,
            "Instances",
            resource=endpoint,
            resource_id=f"endpoint/{self._name}/variant/{VARIANT}",
            dimension="variant:DesiredInstanceCount",
            most=self._version.settings.max_instances,
            tracked=sagemaker("ApproximateBacklogSizePerInstance", "Average", EndpointName=self._name),
            target=BACKLOG_PER_INSTANCE,
            wake=sagemaker("HasBacklogWithoutCapacity", "Average", EndpointName=self._name),
        )

    def _ring(self, title: str, metric: str, meaning: str) -> None:
        counted = sagemaker(metric, "Sum", period=PERIOD, EndpointName=self._name)
        self._storage.alarms.ring(self, title, counted, at=1, meaning=f"{self._name}: {meaning}")
