"""What SageMaker may do for heavy models, and nothing else."""

from collections.abc import Sequence

from aws_cdk import Aws, aws_iam, aws_sns
from constructs import Construct

from infra.accelerators import TRITON, TRITON_ACCOUNTS
from infra.config import Stage
from infra.nag import accept, accept_paths
from infra.storage import Storage

ASKED = "pending/*"
WRITTEN = ("pending/answers/*", "pending/failures/*")
LOGS = ("Endpoints", "InferenceComponents")
NETWORK = (
    "ec2:CreateNetworkInterface",
    "ec2:CreateNetworkInterfacePermission",
    "ec2:DeleteNetworkInterface",
    "ec2:DeleteNetworkInterfacePermission",
    "ec2:DescribeDhcpOptions",
    "ec2:DescribeNetworkInterfaces",
    "ec2:DescribeSecurityGroups",
    "ec2:DescribeSubnets",
    "ec2:DescribeVpcs",
)


class Executing(Construct):
    """`role` reads the packages named and what was asked, writes answers, and tells topics. `logs` are the log groups
    that SageMaker makes.

    https://docs.aws.amazon.com/sagemaker/latest/dg/sagemaker-roles.html, of CreateModel.
    """

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        storage: Storage,
        packages: Sequence[str],
        topics: Sequence[aws_sns.ITopic] = (),
        with_disks: bool,
        in_vpc: bool,
        asked: str = ASKED,
        written: Sequence[str] = WRITTEN,
        logs: Sequence[str] | None = None,
    ) -> None:
        super().__init__(scope, "Executing")
        self._asked, self._written = asked, written
        self._logs = [f"{kind}/lastmile-{stage.name}-*" for kind in LOGS] if logs is None else logs
        statements = [
            *self._objects(storage, packages),
            *self._telemetry(),
            *self._image(),
            *([_telling(topics)] if topics else []),
            *([_disks(storage)] if with_disks else []),
            *([aws_iam.PolicyStatement(sid="Network", actions=[*NETWORK], resources=["*"])] if in_vpc else []),
        ]
        self.role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal(
                "sagemaker.amazonaws.com", conditions={"StringEquals": {"aws:SourceAccount": Aws.ACCOUNT_ID}}
            ),
            inline_policies={"Duty": aws_iam.PolicyDocument(statements=statements)},
        )
        self._accept(storage)

    def _objects(self, storage: Storage, packages: Sequence[str]) -> list[aws_iam.PolicyStatement]:
        data = storage.data
        return [
            aws_iam.PolicyStatement(
                sid="Packages",
                actions=["s3:GetObject"],
                resources=[storage.artifacts.arn_for_objects(path) for path in packages],
            ),
            aws_iam.PolicyStatement(
                sid="Asked", actions=["s3:GetObject"], resources=[data.arn_for_objects(self._asked)]
            ),
            aws_iam.PolicyStatement(
                sid="Answers",
                actions=["s3:PutObject", "s3:AbortMultipartUpload"],
                resources=[data.arn_for_objects(path) for path in self._written],
            ),
            aws_iam.PolicyStatement(
                sid="Places",
                actions=["s3:ListBucket", "s3:GetBucketLocation"],
                resources=[storage.artifacts.bucket_arn, data.bucket_arn],
            ),
            aws_iam.PolicyStatement(
                sid="Key",
                actions=["kms:Decrypt", "kms:GenerateDataKey", "kms:DescribeKey"],
                resources=[storage.key.key_arn],
                conditions={
                    "StringEquals": {
                        "kms:ViaService": [f"{service}.{Aws.REGION}.amazonaws.com" for service in ("s3", "sns")]
                    }
                },
            ),
            # Whoever names a key for answers must be able to encrypt with it himself:
            # https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TransformOutput.html
            aws_iam.PolicyStatement(sid="Encrypt", actions=["kms:Encrypt"], resources=[storage.key.key_arn]),
        ]

    def _telemetry(self) -> list[aws_iam.PolicyStatement]:
        return [
            aws_iam.PolicyStatement(
                sid="Logs",
                actions=["logs:CreateLogGroup", "logs:CreateLogStream", "logs:DescribeLogStreams", "logs:PutLogEvents"],
                resources=[_group(name, Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID) for name in self._logs],
            ),
            aws_iam.PolicyStatement(
                sid="Metrics",
                actions=["cloudwatch:PutMetricData"],
                resources=["*"],
                conditions={"StringLike": {"cloudwatch:namespace": "/aws/sagemaker/*"}},
            ),
        ]

    def _image(self) -> list[aws_iam.PolicyStatement]:
        repository = TRITON.partition(":")[0]
        return [
            aws_iam.PolicyStatement(sid="Login", actions=["ecr:GetAuthorizationToken"], resources=["*"]),
            aws_iam.PolicyStatement(
                sid="Image",
                actions=["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"],
                resources=[
                    f"arn:{Aws.PARTITION}:ecr:{Aws.REGION}:{account}:repository/{repository}"
                    for account in sorted(set(TRITON_ACCOUNTS.values()))
                ],
            ),
        ]

    def _accept(self, storage: Storage) -> None:
        accept(
            self.role,
            "AwsSolutions-IAM5[Resource::*]",
            "Logging in to registries, metrics and network interfaces have no resources to be limited to.",
        )
        for name in self._logs:
            arn = _group(name, "<AWS::Partition>", "<AWS::Region>", "<AWS::AccountId>")
            accept(
                self.role,
                f"AwsSolutions-IAM5[Resource::{arn}]",
                "SageMaker makes the log groups, and names their streams by its instances.",
            )
        accept_paths(self.role, storage.data, [self._asked, *self._written])


def _group(name: str, partition: str, region: str, account: str) -> str:
    return f"arn:{partition}:logs:{region}:{account}:log-group:/aws/sagemaker/{name}"


def _telling(topics: Sequence[aws_sns.ITopic]) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid="Topics", actions=["sns:Publish"], resources=[topic.topic_arn for topic in topics]
    )


def _disks(storage: Storage) -> aws_iam.PolicyStatement:
    """Of instances whose disks are no part of them."""
    return aws_iam.PolicyStatement(
        sid="Disks",
        actions=["kms:CreateGrant"],
        resources=[storage.key.key_arn],
        conditions={"Bool": {"kms:GrantIsForAWSResource": "true"}},
    )
