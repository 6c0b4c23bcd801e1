"""The chat: a hook that takes what platforms send, a queue in order, a worker that answers, and operations beside."""

import json
from typing import cast

from aws_cdk import Aws, CfnOutput, Duration, RemovalPolicy, Stack, aws_dynamodb, aws_iam, aws_lambda, aws_sqs
from constructs import Construct

from infra.alarms import PERIOD
from infra.assets import Assets
from infra.config import Stage
from infra.duties import CHAT, HOOK
from infra.function import Function
from infra.layers import Layers
from infra.nag import accept
from infra.operating import Operating
from infra.storage import Storage

BATCH = 10
TRIES = 8  # then a message is a dead letter


class Chat(Stack):
    """The platforms' secrets are no part of it: `lastmile chat connect` makes them, and without one a platform's
    requests are refused."""

    def __init__(self, scope: Construct, *, stage: Stage, assets: Assets, layers: Layers, storage: Storage) -> None:
        super().__init__(
            scope, f"Lastmile-{stage.name}-Chat", description=f"Lastmile {stage.name}: chat and ticket webhooks"
        )
        self._stage = stage
        self._storage = storage
        self._assets = assets
        self._alarms = storage.alarms
        self._secrets = f"lastmile/{stage.name}/chat"
        self._dead = self._queue("DeadLetters", keep=Duration.days(14))
        self._messages = self._queue("Messages", keep=Duration.days(4), dead=self._dead)
        accept(self._dead, "AwsSolutions-SQS3", "It is itself the queue where dead letters go.")
        self._table = self._records()
        self._layer = layers.version(self, "onnx")
        self._operating = Operating(
            self,
            stage=stage,
            assets=assets,
            layer=self._layer,
            storage=storage,
            table=self._table,
            secrets=self._secrets,
            shared=[self._reads_secrets(), *self._keeps_records()],
        )
        self.hook = self._hook()
        worker = self._worker()
        for function in (self.hook, worker, self._operating.function):
            accept(
                cast(Construct, function.node.find_child("Role")),
                f"AwsSolutions-IAM5[Resource::{secrets_arn(self._secrets, '<AWS::Partition>')}]",
                "Secrets are made after the deployment, and AWS adds six letters of its own to their names.",
            )
        aws_lambda.EventSourceMapping(
            self,
            "Feed",
            target=worker.live,
            event_source_arn=self._messages.queue_arn,
            batch_size=BATCH,
            report_batch_item_failures=True,
        )
        self._alarms.ring(
            self,
            "Undeliverable",
            self._dead.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"),
            at=1,
            meaning=f"lastmile-{stage.name}-chat: messages that could not be answered: `lastmile chat dead`",
        )
        CfnOutput(self, "ChatQueueUrl", value=self._messages.queue_url)
        CfnOutput(self, "ChatDeadLettersUrl", value=self._dead.queue_url)
        CfnOutput(self, "ChatTable", value=self._table.table_name)
        CfnOutput(self, "ChatSecrets", value=self._secrets)
        CfnOutput(self, "OperationsQueueUrl", value=self._operating.queue.queue_url)
        CfnOutput(self, "OperationsDeadLettersUrl", value=self._operating.dead.queue_url)
        CfnOutput(self, "OperationsFunction", value=self._operating.function.name)
        CfnOutput(self, "HookFunction", value=self.hook.name)
        CfnOutput(self, "ChatFunction", value=worker.name)

    def _queue(self, name: str, *, keep: Duration, dead: aws_sqs.Queue | None = None) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            name,
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=keep,
            # AWS asks for six times the function's own limit, so that a throttled call can be repeated.
            visibility_timeout=Duration.seconds(6 * self._stage.chat.timeout_seconds),
            dead_letter_queue=None if dead is None else aws_sqs.DeadLetterQueue(queue=dead, max_receive_count=TRIES),
        )

    def _records(self) -> aws_dynamodb.Table:
        return aws_dynamodb.Table(
            self,
            "Records",
            partition_key=aws_dynamodb.Attribute(name="pk", type=aws_dynamodb.AttributeType.STRING),
            billing_mode=aws_dynamodb.BillingMode.PAY_PER_REQUEST,
            encryption=aws_dynamodb.TableEncryption.CUSTOMER_MANAGED,
            encryption_key=self._storage.key,
            time_to_live_attribute="expires",
            point_in_time_recovery_specification=aws_dynamodb.PointInTimeRecoverySpecification(
                point_in_time_recovery_enabled=True
            ),
            removal_policy=RemovalPolicy.RETAIN if self._stage.keep_data else RemovalPolicy.DESTROY,
        )

    def _hook(self) -> Function:
        return Function(
            self,
            "hook",
            stage=self._stage,
            size=self._stage.hook,
            code=self._assets.code("chat"),
            layers=[self._layer],
            environment={
                "LASTMILE_CHAT_SECRETS": self._secrets,
                "LASTMILE_CHAT_QUEUE": self._messages.queue_url,
                "LASTMILE_OPERATIONS_QUEUE": self._operating.queue.queue_url,
            },
            duty=HOOK,
            storage=self._storage,
            alarms=self._alarms,
            statements=[self._reads_secrets(), sends(self._messages, self._operating.queue)],
            handler="functions.chat.hook_handler.handler",
        )

    def _worker(self) -> Function:
        return Function(
            self,
            "chat",
            stage=self._stage,
            size=self._stage.chat,
            code=self._assets.code("chat"),
            layers=[self._layer],
            environment={
                "LASTMILE_CHAT_SECRETS": self._secrets,
                "LASTMILE_CHAT_TABLE": self._table.table_name,
                "LASTMILE_CHAT_QUEUE": self._messages.queue_url,
                "LASTMILE_CHAT_DEAD_LETTERS": self._dead.queue_url,
                "LASTMILE_CHAT_GROUPS": json.dumps(self._stage.zendesk_groups),
                "LASTMILE_RELEASE_SECONDS": str(self._stage.release_seconds),
                "LASTMILE_CAPTURE": self._stage.capture,
            },
            duty=CHAT,
            storage=self._storage,
            alarms=self._alarms,
            statements=[
                self._reads_secrets(),
                sends(self._dead),
                aws_iam.PolicyStatement(
                    sid="Messages",
                    actions=[
                        "sqs:ReceiveMessage",
                        "sqs:DeleteMessage",
                        "sqs:GetQueueAttributes",
                        "sqs:ChangeMessageVisibility",
                    ],
                    resources=[self._messages.queue_arn],
                ),
                *self._keeps_records(),
            ],
            handler="functions.chat.worker_handler.handler",
        )

    def _keeps_records(self) -> list[aws_iam.PolicyStatement]:
        return [
            aws_iam.PolicyStatement(
                sid="Records",
                actions=["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"],
                resources=[self._table.table_arn],
            ),
            aws_iam.PolicyStatement(
                sid="RecordsKey",
                actions=["kms:Decrypt", "kms:GenerateDataKey"],
                resources=[self._storage.key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"dynamodb.{Aws.REGION}.amazonaws.com"}},
            ),
        ]

    def _reads_secrets(self) -> aws_iam.PolicyStatement:
        return aws_iam.PolicyStatement(
            sid="Secrets",
            actions=["secretsmanager:GetSecretValue"],
            resources=[secrets_arn(self._secrets)],
        )


def secrets_arn(prefix: str, partition: str = Aws.PARTITION) -> str:
    """Of every secret below the prefix; with a word for the partition as cdk-nag writes the three names."""
    place = f"{Aws.REGION}:{Aws.ACCOUNT_ID}" if partition == Aws.PARTITION else "<AWS::Region>:<AWS::AccountId>"
    return f"arn:{partition}:secretsmanager:{place}:secret:{prefix}/*"


def sends(*queues: aws_sqs.Queue) -> aws_iam.PolicyStatement:
    arns = [queue.queue_arn for queue in queues]
    return aws_iam.PolicyStatement(sid="Send", actions=["sqs:SendMessage"], resources=arns)
