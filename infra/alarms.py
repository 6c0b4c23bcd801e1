"""Alarms and the topic they ring on."""

from aws_cdk import Aws, Duration, aws_cloudwatch, aws_cloudwatch_actions, aws_iam, aws_kms, aws_sns
from aws_cdk.aws_cloudwatch import ComparisonOperator, TreatMissingData
from constructs import Construct

PERIOD = Duration.minutes(5)


class Alarms(Construct):
    """Subscribe people or pagers to `topic`; it accepts TLS only and keeps its messages encrypted."""

    def __init__(self, scope: Construct, *, key: aws_kms.IKey) -> None:
        super().__init__(scope, "Alarms")
        self.topic = aws_sns.Topic(self, "Topic", master_key=key, enforce_ssl=True)
        # Whoever has a policy of his own loses SNS's default one, by which CloudWatch may publish.
        self.topic.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="Alarms",
                principals=[aws_iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["sns:Publish"],
                resources=[self.topic.topic_arn],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        self._action = aws_cloudwatch_actions.SnsAction(self.topic)

    def ring(
        self, scope: Construct, name: str, metric: aws_cloudwatch.IMetric, *, at: float, meaning: str, periods: int = 1
    ) -> None:
        """Rings when one of the last periods reaches `at`; no data is silence, not trouble."""
        alarm = aws_cloudwatch.Alarm(
            scope,
            name,
            metric=metric,
            threshold=at,
            comparison_operator=ComparisonOperator.GREATER_THAN_OR_EQUAL_TO_THRESHOLD,
            evaluation_periods=periods,
            datapoints_to_alarm=1,
            treat_missing_data=TreatMissingData.NOT_BREACHING,
            alarm_description=meaning,
        )
        alarm.add_alarm_action(self._action)
