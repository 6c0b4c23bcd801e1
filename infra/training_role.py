"""What a training job may do: read uploads and the program, write what becomes of them, and nothing else.

https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, of CreateTrainingJob.
"""

from collections.abc import Sequence

from aws_cdk import Aws, aws_iam
from aws_cdk.aws_s3_assets import Asset
from constructs import Construct

from infra import xgboost
from infra.nag import accept, accept_paths
from infra.storage import Storage

READS = ("training/*", "runs/*")
WRITES = ("runs/*",)
PLACE = f"{Aws.REGION}:{Aws.ACCOUNT_ID}"
LOGS = "log-group:/aws/sagemaker/TrainingJobs:*"


class TrainingRole(aws_iam.Role):
    def __init__(self, scope: Construct, *, storage: Storage, code: Sequence[Asset], image: str) -> None:
        """`image` is the repository of our own container's image, below the cache of public ones."""
        statements = [*_data(storage), *_program(code), *_images(image), *_telemetry()]
        super().__init__(
            scope,
            "Role",
            assumed_by=aws_iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={"Job": aws_iam.PolicyDocument(statements=statements)},
        )
        accept_paths(self, storage.data, dict.fromkeys((*READS, *WRITES)))
        accept(
            self,
            "AwsSolutions-IAM5[Resource::*]",
            "Registry tokens and metrics have no resources that these actions could be limited to.",
        )
        group = f"arn:<AWS::Partition>:logs:<AWS::Region>:<AWS::AccountId>:{LOGS}"
        accept(self, f"AwsSolutions-IAM5[Resource::{group}]", "All jobs of an account write to this one log group.")


def _data(storage: Storage) -> list[aws_iam.PolicyStatement]:
    data, key = storage.data, storage.key.key_arn
    return [
        _allow("Read", ["s3:GetObject"], [data.arn_for_objects(path) for path in READS]),
        _allow("Write", ["s3:PutObject"], [data.arn_for_objects(path) for path in WRITES]),
        _allow("List", ["s3:ListBucket"], [data.bucket_arn], StringLike={"s3:prefix": [*READS]}),
        _allow("Key", ["kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey", "kms:DescribeKey"], [key]),
        _allow("Volumes", ["kms:CreateGrant"], [key], Bool={"kms:GrantIsForAWSResource": "true"}),
    ]


def _program(code: Sequence[Asset]) -> list[aws_iam.PolicyStatement]:
    bucket, keys = code[0].bucket, [asset.s3_object_key for asset in code]
    return [
        _allow("Code", ["s3:GetObject"], [bucket.arn_for_objects(key) for key in keys]),
        _allow("ListCode", ["s3:ListBucket"], [bucket.bucket_arn], StringEquals={"s3:prefix": keys}),
    ]


def _images(repository: str) -> list[aws_iam.PolicyStatement]:
    """The first job makes the cache fetch our own, and the repository with it."""
    pulling = ["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    fetching = ["ecr:BatchImportUpstreamImage", "ecr:CreateRepository"]
    theirs = [
        f"arn:{Aws.PARTITION}:ecr:{region}:{account}:repository/{xgboost.REPOSITORY}"
        for region, account in xgboost.ACCOUNTS.items()
    ]
    return [
        _allow("Registry", ["ecr:GetAuthorizationToken"], ["*"]),
        _allow("Image", [*pulling, *fetching], [f"arn:{Aws.PARTITION}:ecr:{PLACE}:repository/{repository}"]),
        _allow("XGBoost", pulling, theirs),
    ]


def _telemetry() -> list[aws_iam.PolicyStatement]:
    logs = ["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"]
    namespace = {"cloudwatch:namespace": "/aws/sagemaker/TrainingJobs"}
    return [
        _allow("Logs", logs, [f"arn:{Aws.PARTITION}:logs:{PLACE}:{LOGS}"]),
        _allow("Metrics", ["cloudwatch:PutMetricData"], ["*"], StringEquals=namespace),
    ]


def _allow(sid: str, actions: list[str], resources: list[str], **conditions: object) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(sid=sid, actions=actions, resources=resources, conditions=conditions or None)
