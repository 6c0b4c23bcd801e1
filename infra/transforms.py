"""Transform jobs for the heavy sides of batches: a model for each job, its role, and what SageMaker is asked.

Only with `-c gpu=true`. A job needs no endpoint: it starts its own machines, and ends them.
"""

from aws_cdk import Aws, aws_iam
from constructs import Construct

from infra import sync_jobs
from infra.accelerators import INSTANCES
from infra.batch_states import Document
from infra.config import Stage
from infra.executing import Executing
from infra.nag import accept, accept_paths
from infra.storage import Storage
from infra.triton import QUIET, image

PACKAGES = "models/*/versions/*/model.tar.gz"
ASKED, ANSWERED = "pending/batches/*/asked/*", "pending/batches/*/answers/*"
LOGS = "TransformJobs:*"
KINDS = ("model", "transform-job")
JOBS = "Models and jobs come into being with each batch: only the beginning of their names is known before."


class Transforms(Construct):
    def __init__(self, scope: Construct, name: str, *, stage: Stage, storage: Storage) -> None:
        super().__init__(scope, name)
        self._stage = stage
        self._storage = storage
        self._image = image(self)
        self._subnets, self._groups = [*stage.heavy_subnets], [*stage.heavy_security_groups]
        self._role = Executing(
            self,
            stage=stage,
            storage=storage,
            packages=[PACKAGES],
            with_disks=True,
            in_vpc=bool(self._subnets),
            asked=ASKED,
            written=[ANSWERED],
            logs=[LOGS],
        ).role
        accept_paths(self._role, storage.artifacts, [PACKAGES])

    @property
    def machines(self) -> Document:
        """What SageMaker is told of each, by name; it takes no key for disks that are the machine's own.

        https://docs.aws.amazon.com/sagemaker/latest/APIReference/API_TransformResources.html
        """
        key = self._storage.key.key_arn
        return {
            name: {"InstanceType": name}
            | ({} if instance.own_disk else {"VolumeKmsKeyId": key})
            | ({} if instance.batch_image is None else {"TransformAmiVersion": instance.batch_image})
            for name, instance in INSTANCES.items()
        }

    @property
    def model(self) -> Document:
        """What begins with $ the order says: functions/batch/transforms.py."""
        inside = {"Subnets": self._subnets, "SecurityGroupIds": self._groups}
        return {
            "ModelName.$": "$.asking.order.name",
            "ExecutionRoleArn": self._role.role_arn,
            "EnableNetworkIsolation": True,
            "PrimaryContainer": {
                "Image": self._image,
                "ModelDataUrl.$": "$.asking.order.package",
                "Environment": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME.$": "$.asking.order.model", **QUIET},
            },
            **({"VpcConfig": inside} if self._subnets else {}),
            "Tags": self._tags,
        }

    @property
    def job(self) -> Document:
        return {
            "TransformJobName.$": "States.Format('{}-{}', $.asking.order.name, $$.State.RetryCount)",
            "ModelName.$": "$.asking.order.name",
            "MaxConcurrentTransforms.$": "$.asking.order.at_once",
            "MaxPayloadInMB.$": "$.asking.order.payload_mb",
            "ModelClientConfig": {"InvocationsTimeoutInSeconds": 600, "InvocationsMaxRetries": 3},
            "TransformInput": {
                "ContentType.$": "$.asking.order.content_type",
                "SplitType": "None",
                "CompressionType": "None",
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri.$": "$.asking.order.asked"}},
            },
            "TransformOutput": {
                "S3OutputPath.$": "$.asking.order.answers",
                "AssembleWith": "None",
                "KmsKeyId": self._storage.key.key_arn,
            },
            "TransformResources.$": "$.asking.order.resources",
            "Tags": self._tags,
        }

    def statements(self) -> list[aws_iam.PolicyStatement]:
        """What the state machine may do with models and jobs."""
        models, jobs = self._arns(Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID)
        return [
            aws_iam.PolicyStatement(
                sid="Models",
                actions=["sagemaker:CreateModel", "sagemaker:DeleteModel", "sagemaker:AddTags"],
                resources=[models],
            ),
            *sync_jobs.statements("Transform", jobs, self._role),
        ]

    def accept_on(self, role: Construct) -> None:
        for arn in self._arns("<AWS::Partition>", "<AWS::Region>", "<AWS::AccountId>"):
            accept(role, f"AwsSolutions-IAM5[Resource::{arn}]", JOBS)

    def _arns(self, partition: str, region: str, account: str) -> list[str]:
        name = f"lastmile-{self._stage.name}-*"
        return [f"arn:{partition}:sagemaker:{region}:{account}:{kind}/{name}" for kind in KINDS]

    @property
    def _tags(self) -> list[Document]:
        return [
            {"Key": "lastmile:stage", "Value": self._stage.name},
            {"Key": "lastmile:model", "Value.$": "$.asking.order.model"},
            {"Key": "lastmile:version", "Value.$": "$.asking.order.version"},
        ]
