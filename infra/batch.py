"""Many rows at once: one function that does a slice, and the state machine that gives it slice after slice."""

from aws_cdk import Aws, CfnOutput, Stack, aws_iam, aws_stepfunctions
from constructs import Construct

from infra import endpoints
from infra.alarms import PERIOD
from infra.assets import Assets
from infra.batch_states import Machine
from infra.config import Stage
from infra.duties import BATCH
from infra.function import Function
from infra.layers import Layers
from infra.machine import role_of, state_machine
from infra.nag import accept, accept_paths
from infra.storage import Storage

LATER = "Objects of a bucket that the stage's config names come into being later."
OWN_RUNS = "A distributed map runs executions of its own state machine, whose names come into being with each job."


class Batch(Stack):
    """With `transforms`, jobs of SageMaker answer for heavy sides; without, their endpoints do."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        layers: Layers,
        storage: Storage,
        transforms: bool = False,
    ) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Batch", description=f"Lastmile {stage.name}: predictions of whole files"
        )
        self._stage = stage
        self._storage = storage
        self._transforms = None
        if transforms:
            from infra.transforms import Transforms

            self._transforms = Transforms(self, "Transforms", stage=stage, storage=storage)
        function = Function(
            self,
            "batch",
            stage=stage,
            size=stage.batch,
            code=assets.code("batch"),
            layers=[layers.version(self, "onnx")],
            environment=self._environment(),
            duty=BATCH,
            storage=storage,
            alarms=storage.alarms,
            statements=[*self._others(), endpoints.asking(stage, endpoints.NOW)],
            accepted={
                **{
                    f"AwsSolutions-IAM5[Resource::arn:<AWS::Partition>:s3:::{bucket}/*]": LATER
                    for bucket in stage.batch_buckets
                },
                **endpoints.accepted(stage),
            },
        )
        machine = self._machine(function)
        for name, metric, meaning in (
            ("BatchesFailed", machine.metric_failed(period=PERIOD, statistic="Sum"), "a batch is incomplete"),
            ("BatchesTimedOut", machine.metric_timed_out(period=PERIOD, statistic="Sum"), "a batch took too long"),
        ):
            storage.alarms.ring(
                self, name, metric, at=1, meaning=f"{machine_name(stage)}: {meaning}; see `lastmile batches`"
            )
        CfnOutput(self, "BatchStateMachine", value=machine.state_machine_arn)
        CfnOutput(self, "BatchFunction", value=function.name)

    def _environment(self) -> dict[str, str]:
        return {"LASTMILE_TRANSFORMS": self.to_json_string(self._transforms.machines)} if self._transforms else {}

    def _others(self) -> list[aws_iam.PolicyStatement]:
        """Buckets beside ours that jobs may read from and write to."""
        if not self._stage.batch_buckets:
            return []
        arns = [f"arn:{Aws.PARTITION}:s3:::{bucket}" for bucket in self._stage.batch_buckets]
        objects = [f"{arn}/*" for arn in arns]
        return [
            aws_iam.PolicyStatement(sid="OtherObjects", actions=["s3:GetObject", "s3:PutObject"], resources=objects),
            aws_iam.PolicyStatement(sid="OtherBuckets", actions=["s3:ListBucket"], resources=arns),
        ]

    def _machine(self, function: Function) -> aws_stepfunctions.StateMachine:
        stage, storage, transforms = self._stage, self._storage, self._transforms
        definition = Machine(
            function.live.function_arn,
            storage.data.bucket_name,
            Aws.PARTITION,
            stage.batches_at_once,
            transforms.model if transforms else None,
            transforms.job if transforms else None,
        ).definition()
        return state_machine(
            self,
            "BatchMachine",
            called=machine_name(stage),
            meaning="from a file of rows to files with their predictions",
            definition=definition,
            role=self._role(function),
            stage=stage,
            storage=storage,
        )

    def _role(self, function: Function) -> aws_iam.Role:
        """A distributed map reads its list of slices, and starts, watches and stops executions of its own machine."""
        stage, storage = self._stage, self._storage
        place = [Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID]
        lists = f"{ROOT}/*/items.json"
        role = role_of(
            self,
            "BatchMachine",
            [
                aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.live.function_arn]),
                aws_iam.PolicyStatement(actions=["s3:GetObject"], resources=[storage.data.arn_for_objects(lists)]),
                aws_iam.PolicyStatement(
                    actions=["kms:Decrypt"],
                    resources=[storage.key.key_arn],
                    conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
                ),
                aws_iam.PolicyStatement(
                    actions=["states:StartExecution"], resources=[own_arn("stateMachine", stage, place)]
                ),
                aws_iam.PolicyStatement(
                    actions=["states:DescribeExecution", "states:StopExecution"],
                    resources=[f"{own_arn('execution', stage, place)}/*"],
                ),
                *(self._transforms.statements() if self._transforms else []),
            ],
        )
        if self._transforms:
            self._transforms.accept_on(role)
        accept_paths(role, storage.data, [lists])
        named = [f"<AWS::{name}>" for name in ("Partition", "Region", "AccountId")]
        accept(role, f"AwsSolutions-IAM5[Resource::{own_arn('execution', stage, named)}/*]", OWN_RUNS)
        return role


ROOT = "batches"


def machine_name(stage: Stage) -> str:
    return f"lastmile-{stage.name}-batch"


def own_arn(kind: str, stage: Stage, place: list[str]) -> str:
    return f"arn:{place[0]}:states:{place[1]}:{place[2]}:{kind}:{machine_name(stage)}"
