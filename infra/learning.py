"""What makes a better version of an upload: one function, the state machine that calls it, and what starts both."""

import json

from aws_cdk import (
    Aws,
    CfnOutput,
    Duration,
    FileSystem,
    Stack,
    aws_events,
    aws_events_targets,
    aws_iam,
    aws_sqs,
    aws_stepfunctions,
)
from aws_cdk.aws_events import EventField, RuleTargetInput
from constructs import Construct

from infra import undelivered
from infra.alarms import PERIOD
from infra.assets import Assets
from infra.config import Stage
from infra.duties import RETRAINING
from infra.function import Function
from infra.jobs import Jobs
from infra.layers import Layers
from infra.machine import role_of, state_machine
from infra.nag import accept
from infra.states import Document, Machine
from infra.storage import Storage

PLACE = [Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID]
EXECUTIONS = "Executions come into being with each upload: of theirs only the state machine's name is known before."
UPLOADS = ("csv", "csv.gz", "jsonl", "jsonl.gz", "parquet")


class Learning(Stack):
    """With `training_jobs`, what the function cannot hold is trained on in SageMaker."""

    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        layers: Layers,
        storage: Storage,
        training_jobs: bool = False,
    ) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Learning", description=f"Lastmile {stage.name}: from an upload to a version"
        )
        self._stage = stage
        self._storage = storage
        self._layers = layers
        self._alarms = storage.alarms
        self._unheard = self._queue()
        self._jobs = Jobs(self, "Jobs", stage=stage, assets=assets, storage=storage) if training_jobs else None
        function = self._function(assets)
        machine = self._machine(function)
        self._start(machine)
        self._put_in_order(machine, function)
        undelivered.keep(function, storage)
        self._watch(machine)
        CfnOutput(self, "LearningStateMachine", value=machine.state_machine_arn)
        CfnOutput(self, "RetrainingFunction", value=function.name)

    def _queue(self) -> aws_sqs.Queue:
        """Events that could not be delivered."""
        queue = aws_sqs.Queue(
            self,
            "Unheard",
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=Duration.days(14),
        )
        accept(queue, "AwsSolutions-SQS3", "It is itself where events go that could not be delivered.")
        return queue

    def _function(self, assets: Assets) -> Function:
        return Function(
            self,
            "retraining",
            stage=self._stage,
            size=self._stage.retraining,
            code=assets.code("retraining"),
            layers=[self._layers.version(self, name) for name in ("onnx", "training")],
            environment={
                "LASTMILE_LARGEST_MB": str(self._stage.largest_upload_mb),
                "LASTMILE_CODE": self._code(assets),
                **({"LASTMILE_TRAINING_JOBS": "on"} if self._jobs else {}),
            },
            duty=RETRAINING,
            storage=self._storage,
            alarms=self._alarms,
            statements=self._statements(),
            accepted=any_execution(self._stage),
        )

    def _code(self, assets: Assets) -> str:
        """What trains, by content: the lineage of every version says it."""
        layers = {f"{name}-layer": self._layers.content(name) for name in ("onnx", "training")}
        return json.dumps({"retraining": FileSystem.fingerprint(str(assets.path("retraining")))[:16], **layers})

    def _statements(self) -> list[aws_iam.PolicyStatement]:
        """Beside its duty: the very version of an upload, executions that it meets, events given up."""
        return [
            aws_iam.PolicyStatement(
                sid="Uploads",
                actions=["s3:GetObjectVersion"],
                resources=[self._storage.data.arn_for_objects("training/*")],
            ),
            following(self._stage),
            waking(self._stage),
            *undelivered.statements(self._storage),
        ]

    def _machine(self, function: Function) -> aws_stepfunctions.StateMachine:
        definition = self._definition(function)
        role = role_of(
            self,
            "Machine",
            [
                aws_iam.PolicyStatement(actions=["lambda:InvokeFunction"], resources=[function.live.function_arn]),
                *(self._jobs.statements() if self._jobs else []),
            ],
        )
        if self._jobs is not None:
            self._jobs.accept_on(role)
        return state_machine(
            self,
            "Machine",
            called=machine_name(self._stage),
            meaning="from an upload to a version",
            definition=definition,
            role=role,
            stage=self._stage,
            storage=self._storage,
        )

    def _definition(self, function: Function) -> Document:
        jobs = self._jobs
        if jobs is None:
            return Machine(function.live.function_arn, Aws.PARTITION).definition()
        asked = jobs.requests()
        return Machine(function.live.function_arn, Aws.PARTITION, asked, jobs.seconds).definition()

    def _start(self, machine: aws_stepfunctions.StateMachine) -> None:
        """An upload of training data starts a run; which version of the object it was travels with the event.

        One rule for each ending: EventBridge refuses a pattern in which too many wildcards could match at once, with
        "Rule is too complex". https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html
        """
        target = aws_events_targets.SfnStateMachine(
            machine,
            input=RuleTargetInput.from_object({"run": {"object": EventField.from_path("$.detail.object")}}),
            dead_letter_queue=self._unheard,
            retry_attempts=20,
        )
        for suffix in UPLOADS:
            aws_events.Rule(
                self,
                f"Uploads-{suffix}",
                rule_name=f"lastmile-{self._stage.name}-uploads-{suffix}",
                description=f"Lastmile {self._stage.name}: training data was uploaded as .{suffix}",
                event_pattern=aws_events.EventPattern(
                    source=["aws.s3"],
                    detail_type=["Object Created"],
                    detail={
                        "bucket": {"name": [self._storage.data.bucket_name]},
                        "object": {"key": [{"wildcard": f"training/*/*.{suffix}"}]},
                    },
                ),
                targets=[target],
            )

    def _put_in_order(self, machine: aws_stepfunctions.StateMachine, function: Function) -> None:
        """Somebody stopped an execution, or its last step broke off: its canary is ended, and its report written."""
        # The event as it is: an input that is JSON in a string cannot be put into another document.
        target = aws_events_targets.LambdaFunction(function.live, dead_letter_queue=self._unheard, retry_attempts=20)
        aws_events.Rule(
            self,
            "Abandoned",
            rule_name=f"lastmile-{self._stage.name}-abandoned",
            description=f"Lastmile {self._stage.name}: an execution was stopped, or ran out of time",
            event_pattern=aws_events.EventPattern(
                source=["aws.states"],
                detail_type=["Step Functions Execution Status Change"],
                detail={
                    "stateMachineArn": [machine.state_machine_arn],
                    "status": ["ABORTED", "FAILED", "TIMED_OUT"],
                },
            ),
            targets=[target],
        )

    def _watch(self, machine: aws_stepfunctions.StateMachine) -> None:
        name = machine_name(self._stage)
        self._alarms.ring(
            self,
            "RunsFailed",
            machine.metric_failed(period=PERIOD, statistic="Sum"),
            at=1,
            meaning=f"{name}: a run broke off; see `lastmile runs`",
        )
        self._alarms.ring(
            self,
            "RunsTimedOut",
            machine.metric_timed_out(period=PERIOD, statistic="Sum"),
            at=1,
            meaning=f"{name}: a run took too long",
        )
        self._alarms.ring(
            self,
            "EventsUnheard",
            self._unheard.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"),
            at=1,
            meaning=f"{name}: events could not be delivered; they lie in its queue",
        )


def machine_name(stage: Stage) -> str:
    return f"lastmile-{stage.name}-learning"


def executions_arn(stage: Stage, named: str | None = None) -> str:
    """Of every execution; `named` is how partition, region and account are written down, by default for a template."""
    parts = [named.format(name) for name in ("Partition", "Region", "AccountId")] if named else PLACE
    return f"arn:{parts[0]}:states:{parts[1]}:{parts[2]}:execution:{machine_name(stage)}:*"


def following(stage: Stage) -> aws_iam.PolicyStatement:
    """The right to see whether executions still run, and how they ended."""
    return aws_iam.PolicyStatement(
        sid="Executions", actions=["states:DescribeExecution"], resources=[executions_arn(stage)]
    )


def any_execution(stage: Stage) -> dict[str, str]:
    """Why that right is for every execution, for cdk-nag."""
    return {f"AwsSolutions-IAM5[Resource::{executions_arn(stage, '<AWS::{}>')}]": EXECUTIONS}


def waking(stage: Stage) -> aws_iam.PolicyStatement:
    """The right to let executions go on that wait for a person."""
    arn = f"arn:{Aws.PARTITION}:states:{Aws.REGION}:{Aws.ACCOUNT_ID}:stateMachine:{machine_name(stage)}"
    return aws_iam.PolicyStatement(sid="Waking", actions=["states:SendTaskSuccess"], resources=[arn])
