"""Training jobs for what the retraining function cannot hold: their images, their role, and what they are asked.

Our own program runs in the image that Lambda's Python itself comes from, on the very files that the function mounts, so
that both train with the same bytes. AWS's scikit-learn container cannot do that: its newest has Python 3.12, and the
function's packages are built for 3.13. The image comes through ECR's cache of the public gallery, since a job takes
images from ECR alone: https://docs.aws.amazon.com/AmazonECR/latest/userguide/pull-through-cache.html
"""

from dataclasses import replace

from aws_cdk import Aws, CfnMapping, aws_ecr, aws_iam, aws_s3_assets
from constructs import Construct

from infra import sync_jobs, xgboost
from infra.assets import Assets
from infra.config import Stage
from infra.nag import accept
from infra.states import Document
from infra.storage import Storage
from infra.training_role import PLACE, TrainingRole

IMAGE = "lambda/python:3.13-x86_64"  # of public.ecr.aws; SageMaker trains on no other architecture
# In the order of their folders' precedence, as Lambda has them.
CODE = ("onnx-layer", "training-layer", "retraining")
PROGRAM = (
    "cd /opt/ml/input/data; for c in onnx-layer training-layer retraining; "
    "do python3 -m zipfile -e $c/*.zip /tmp/$c; done; cd /tmp/retraining; "
    "PYTHONPATH=/tmp/onnx-layer/python:/tmp/training-layer/python exec python3 -m functions.retraining.job"
)


def are_wanted(stage: Stage, asked: str | None, token_url: str | None) -> bool:
    """As `-c training_jobs` says, else the stage; but who names a place for tokens deploys to the local AWS."""
    return stage.training_jobs.on and token_url is None if asked is None else asked == "true"


class Jobs(Construct):
    def __init__(self, scope: Construct, name: str, *, stage: Stage, assets: Assets, storage: Storage) -> None:
        super().__init__(scope, name)
        self._stage = stage
        self._storage = storage
        self._code = {
            name: aws_s3_assets.Asset(self, name, path=str(replace(assets, architecture="x86_64").path(name)))
            for name in CODE
        }
        self._prefix = f"lastmile-{stage.name}"
        aws_ecr.CfnPullThroughCacheRule(
            self,
            "PublicImages",
            ecr_repository_prefix=self._prefix,
            upstream_registry="ecr-public",
            upstream_registry_url="public.ecr.aws",
        )
        self._accounts = CfnMapping(
            self,
            "XGBoostAccounts",
            mapping={region: {"account": account} for region, account in xgboost.ACCOUNTS.items()},
        )
        self.role = TrainingRole(
            self, storage=storage, code=[*self._code.values()], image=f"{self._prefix}/{IMAGE.partition(':')[0]}"
        )

    @property
    def seconds(self) -> int:
        return self._stage.training_jobs.hours * 3600

    def requests(self) -> dict[str, Document]:
        """By the state's name; what begins with $.job was said by the step before."""
        size = self._stage.training_jobs
        ours = {
            "TrainingImage": self._uri(Aws.ACCOUNT_ID, f"{self._prefix}/{IMAGE}"),
            "TrainingInputMode": "File",
            "ContainerEntrypoint": ["/bin/bash", "-ec"],
            "ContainerArguments": [PROGRAM],
        }
        theirs = {
            "TrainingImage": self._uri(
                self._accounts.find_in_map(Aws.REGION, "account"), f"{xgboost.REPOSITORY}:{xgboost.TAG}"
            ),
            "TrainingInputMode": "File",
        }
        code = [
            _channel(name, "S3Prefix", S3Uri=f"s3://{asset.s3_bucket_name}/{asset.s3_object_key}")
            for name, asset in self._code.items()
        ]
        given = [
            _channel("request", "S3Prefix", **self._at("request")),
            _channel("upload", "ManifestFile", **self._at("manifest")),
        ]
        shards = _channel("train", "S3Prefix", share="ShardedByS3Key", **self._at("shards", "/"))
        return {
            "job": self._request(ours, [*given, *code], size.instance, 1, size.volume_gb)
            | {"CheckpointConfig": _uri(self._at("shards", "/")), "Environment": {"ORT_DISABLE_TELEMETRY": "1"}},
            "boost": self._request(
                theirs,
                [shards | {"ContentType": "text/csv"}],
                size.boost_instance,
                size.boost_instances,
                size.volume_gb,
            )
            | {"EnableInterContainerTrafficEncryption": True},
        }

    def statements(self) -> list[aws_iam.PolicyStatement]:
        """What the state machine may do with them."""
        jobs = f"arn:{Aws.PARTITION}:sagemaker:{PLACE}:training-job/{self._prefix}-*"
        return sync_jobs.statements("Training", jobs, self.role)

    def accept_on(self, role: Construct) -> None:
        jobs = f"arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>:training-job/{self._prefix}-*"
        accept(role, f"AwsSolutions-IAM5[Resource::{jobs}]", "Jobs come into being with each run: only their name is.")

    def _request(
        self, algorithm: Document, channels: list[Document], instance: str, count: int, volume_gb: int
    ) -> Document:
        name = f"States.Format('{self._prefix}-{{}}-{{}}', $.job.name, $$.State.RetryCount)"
        return {
            "TrainingJobName.$": name,
            "AlgorithmSpecification": algorithm,
            "RoleArn": self.role.role_arn,
            "HyperParameters.$": "$.job.hyperparameters",
            "InputDataConfig": channels,
            "OutputDataConfig": {"KmsKeyId": self._storage.key.key_arn, **_uri(self._at("output"), "S3OutputPath")},
            "ResourceConfig": {
                "InstanceCount": count,
                "InstanceType": instance,
                "VolumeSizeInGB": volume_gb,
                "VolumeKmsKeyId": self._storage.key.key_arn,
            },
            "StoppingCondition": {"MaxRuntimeInSeconds": self.seconds},
            # It calls nobody: SageMaker itself brings what it reads, and takes what it leaves.
            "EnableNetworkIsolation": True,
        }

    def _at(self, name: str, more: str = "") -> Document:
        return {"S3Uri.$": f"States.Format('s3://{self._storage.data.bucket_name}/{{}}{more}', $.job.{name})"}

    def _uri(self, account: str, name: str) -> str:
        return f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{name}"


def _channel(name: str, kind: str, *, share: str = "FullyReplicated", **place: str) -> Document:
    source = {"S3DataType": kind, "S3DataDistributionType": share, **place}
    return {"ChannelName": name, "DataSource": {"S3DataSource": source}, "InputMode": "File"}


def _uri(place: Document, name: str = "S3Uri") -> Document:
    return {key.replace("S3Uri", name): value for key, value in place.items()}
