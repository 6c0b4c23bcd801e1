"""The two buckets everything is kept in, the key of them and of the logs, and where alarms and events go."""

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack, aws_events, aws_iam, aws_kms, aws_s3
from constructs import Construct

from infra.alarms import Alarms
from infra.config import Stage

WRITTEN_ONCE = ("audit/*", "models/*/versions/*")
PENDING_DAYS = 7  # that an answer is kept for whoever was to come back for it
KEYS = "keys/*"  # with which personal data are hashed: deleting one cuts the link to the persons, and may be wanted


class Storage(Stack):
    def __init__(self, scope: Construct, *, stage: Stage) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Storage", description=f"Lastmile {stage.name}: buckets and their key"
        )
        self._stage = stage
        self._removal = RemovalPolicy.RETAIN if stage.keep_data else RemovalPolicy.DESTROY
        self.key = self._key()
        self._access_logs = self._access_log_bucket()
        self.artifacts = self._bucket("Artifacts")
        self.data = self._bucket("Data")
        self._keep_history(self.artifacts)
        # A bucket with versions only hides what expires, and keeps it as long as anything that was replaced.
        self.data.add_lifecycle_rule(
            prefix="pending/",
            expiration=Duration.days(PENDING_DAYS),
            noncurrent_version_expiration=Duration.days(1),
        )
        announce_uploads(self.data)
        self.alarms = Alarms(self, key=self.key)  # one topic for all stacks, so that a pager subscribes once
        # Of its own: on the account's default bus the operators of one stage would be told of all, with buttons.
        self.bus = aws_events.EventBus(self, "Bus", event_bus_name=f"lastmile-{stage.name}")
        CfnOutput(self, "ArtifactsBucket", value=self.artifacts.bucket_name)
        CfnOutput(self, "DataBucket", value=self.data.bucket_name)
        CfnOutput(self, "KeyArn", value=self.key.key_arn)
        CfnOutput(self, "EventBus", value=self.bus.event_bus_name)
        CfnOutput(self, "AlarmTopicArn", value=self.alarms.topic.topic_arn)

    def _key(self) -> aws_kms.Key:
        key = aws_kms.Key(
            self,
            "Key",
            alias=f"lastmile-{self._stage.name}",
            description=f"Lastmile {self._stage.name}: objects, logs and alarms",
            enable_key_rotation=True,
            removal_policy=self._removal,
        )
        groups = (f"/aws/lambda/lastmile-{self._stage.name}-*", f"/aws/vendedlogs/lastmile-{self._stage.name}-*")
        log_arn = f"arn:{Aws.PARTITION}:logs:{Aws.REGION}:{Aws.ACCOUNT_ID}:log-group:"
        key.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="LogGroups",
                principals=[aws_iam.ServicePrincipal(f"logs.{Aws.REGION}.amazonaws.com")],
                actions=["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                resources=["*"],
                conditions={
                    "ArnLike": {"kms:EncryptionContext:aws:logs:arn": [f"{log_arn}{group}" for group in groups]}
                },
            )
        )
        key.add_to_resource_policy(
            aws_iam.PolicyStatement(
                sid="Alarms",
                principals=[aws_iam.ServicePrincipal("cloudwatch.amazonaws.com")],
                actions=["kms:Decrypt", "kms:GenerateDataKey*"],
                resources=["*"],
                conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}},
            )
        )
        return key

    def _access_log_bucket(self) -> aws_s3.Bucket:
        return aws_s3.Bucket(
            self,
            "AccessLogs",
            encryption=aws_s3.BucketEncryption.S3_MANAGED,  # S3 delivers access logs to no other kind
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            lifecycle_rules=[aws_s3.LifecycleRule(expiration=Duration.days(self._stage.access_log_days))],
            removal_policy=self._removal,
        )

    def _bucket(self, name: str) -> aws_s3.Bucket:
        return aws_s3.Bucket(
            self,
            name,
            versioned=True,
            encryption=aws_s3.BucketEncryption.KMS,
            encryption_key=self.key,
            bucket_key_enabled=True,
            enforce_ssl=True,
            block_public_access=aws_s3.BlockPublicAccess.BLOCK_ALL,
            object_ownership=aws_s3.ObjectOwnership.BUCKET_OWNER_ENFORCED,
            server_access_logs_bucket=self._access_logs,
            server_access_logs_prefix=f"{name.lower()}/",
            lifecycle_rules=[
                aws_s3.LifecycleRule(
                    noncurrent_version_expiration=Duration.days(self._stage.noncurrent_days),
                    abort_incomplete_multipart_upload_after=Duration.days(7),
                )
            ],
            removal_policy=self._removal,
        )

    def _keep_history(self, bucket: aws_s3.Bucket) -> None:
        """Versions and audit entries are written once, by anybody, and releases move only by compare-and-swap."""
        unconditional = {"s3:if-none-match": "true"}
        # Parts of a multipart upload carry no condition; their completion, an object creation, does.
        creates = {"s3:ObjectCreationOperation": "true"}
        once = [bucket.arn_for_objects(path) for path in WRITTEN_ONCE]
        never_replaced = [*once, bucket.arn_for_objects(KEYS)]
        bucket.add_to_resource_policy(
            forbid("WrittenOnce", ["s3:PutObject"], never_replaced, conditions={"Null": unconditional, "Bool": creates})
        )
        bucket.add_to_resource_policy(
            forbid(
                "CompareAndSwap",
                ["s3:PutObject"],
                [bucket.arn_for_objects("models/*/release.json")],
                conditions={"Null": unconditional | {"s3:if-match": "true"}, "Bool": creates},
            )
        )
        bucket.add_to_resource_policy(forbid("NeverDeleted", ["s3:DeleteObject", "s3:DeleteObjectVersion"], once))


def forbid(
    sid: str, actions: list[str], resources: list[str], *, conditions: dict[str, object] | None = None
) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid=sid,
        effect=aws_iam.Effect.DENY,
        principals=[aws_iam.AnyPrincipal()],
        actions=actions,
        resources=resources,
        conditions=conditions,
    )


def announce_uploads(bucket: aws_s3.Bucket) -> None:
    """Sends the bucket's events to EventBridge; the bucket's own switch would do it through a custom resource."""
    resource = bucket.node.default_child
    assert isinstance(resource, aws_s3.CfnBucket)
    resource.notification_configuration = aws_s3.CfnBucket.NotificationConfigurationProperty(
        event_bridge_configuration=aws_s3.CfnBucket.EventBridgeConfigurationProperty(event_bridge_enabled=True)
    )
