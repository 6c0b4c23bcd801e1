"""From no instance to as many as are needed, and back."""

from aws_cdk import CfnResource, Duration
from aws_cdk.aws_applicationautoscaling import CfnScalableTarget, CfnScalingPolicy
from aws_cdk.aws_cloudwatch import CfnAlarm, Metric
from constructs import Construct

SCALE_IN, SCALE_OUT = 300, 60  # seconds between two steps
MINUTE = Duration.minutes(1)


class Scaling(Construct):
    """Keeps `tracked`, a metric of SageMaker's own or one of CloudWatch, at `target`; `most` instances or copies.

    Tracking cannot leave zero: what is per copy has no value there. So when `wake` says that somebody asks and there is
    none, one is added: https://docs.aws.amazon.com/sagemaker/latest/dg/endpoint-auto-scaling-zero-instances.html
    """

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        resource: CfnResource,
        resource_id: str,
        dimension: str,
        most: int,
        tracked: str | Metric,
        target: float,
        wake: Metric,
    ) -> None:
        super().__init__(scope, name)
        scalable = CfnScalableTarget(
            self,
            "Target",
            service_namespace="sagemaker",
            resource_id=resource_id,
            scalable_dimension=f"sagemaker:{dimension}",
            min_capacity=0,
            max_capacity=most,
        )
        scalable.node.add_dependency(resource)
        self._track(scalable, tracked, target)
        self._wake(scalable, wake)

    def _track(self, scalable: CfnScalableTarget, tracked: str | Metric, target: float) -> None:
        own = isinstance(tracked, str)
        policy = CfnScalingPolicy.TargetTrackingScalingPolicyConfigurationProperty(
            target_value=target,
            scale_in_cooldown=SCALE_IN,
            scale_out_cooldown=SCALE_OUT,
            predefined_metric_specification=CfnScalingPolicy.PredefinedMetricSpecificationProperty(
                predefined_metric_type=str(tracked)
            )
            if own
            else None,
            customized_metric_specification=None if isinstance(tracked, str) else _customized(tracked),
        )
        CfnScalingPolicy(
            self,
            "Track",
            policy_name="track",
            policy_type="TargetTrackingScaling",
            scaling_target_id=scalable.ref,
            target_tracking_scaling_policy_configuration=policy,
        )

    def _wake(self, scalable: CfnScalableTarget, metric: Metric) -> None:
        policy = CfnScalingPolicy(
            self,
            "Wake",
            policy_name="wake",
            policy_type="StepScaling",
            scaling_target_id=scalable.ref,
            step_scaling_policy_configuration=CfnScalingPolicy.StepScalingPolicyConfigurationProperty(
                adjustment_type="ChangeInCapacity",
                metric_aggregation_type="Maximum",
                cooldown=SCALE_OUT,
                step_adjustments=[
                    CfnScalingPolicy.StepAdjustmentProperty(metric_interval_lower_bound=0, scaling_adjustment=1)
                ],
            ),
        )
        CfnAlarm(
            self,
            "Asked",
            alarm_description="It is asked and has no instance: this wakes it, and tells nobody.",
            namespace=metric.namespace,
            metric_name=metric.metric_name,
            dimensions=[{"name": key, "value": value} for key, value in sorted((metric.dimensions or {}).items())],
            statistic=metric.statistic,
            period=int(MINUTE.to_seconds()),
            evaluation_periods=1,
            datapoints_to_alarm=1,
            threshold=1,
            comparison_operator="GreaterThanOrEqualToThreshold",
            treat_missing_data="missing",
            alarm_actions=[policy.ref],
        )


def sagemaker(name: str, statistic: str, *, period: Duration = MINUTE, **dimensions: str) -> Metric:
    """A metric of SageMaker's endpoints."""
    return Metric(
        namespace="AWS/SageMaker", metric_name=name, dimensions_map=dimensions, statistic=statistic, period=period
    )


def _customized(metric: Metric) -> CfnScalingPolicy.CustomizedMetricSpecificationProperty:
    return CfnScalingPolicy.CustomizedMetricSpecificationProperty(
        namespace=metric.namespace,
        metric_name=metric.metric_name,
        dimensions=[
            CfnScalingPolicy.MetricDimensionProperty(name=key, value=value)
            for key, value in sorted((metric.dimensions or {}).items())
        ],
        statistic=metric.statistic,
    )
