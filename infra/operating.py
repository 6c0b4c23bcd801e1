"""What tells operators in chat and takes their orders: a queue and a function of its own, which no customer's words
reach. It may answer a run that waits, move a release and keep a label, and no other function of the chat may."""

from aws_cdk import Duration, aws_dynamodb, aws_events, aws_events_targets, aws_iam, aws_lambda, aws_sns, aws_sqs
from constructs import Construct

from infra import undelivered
from infra.alarms import PERIOD
from infra.assets import Assets
from infra.config import Stage
from infra.duties import OPERATIONS
from infra.function import Function
from infra.learning import any_execution, following, waking
from infra.nag import accept
from infra.storage import Storage

BATCH = 10
TRIES = 8  # with the function's own waits in between about 40 minutes
TOLD = ["ApprovalWanted", "DecisionReview", "DriftDetected", "RunFailed", "RunFinished"]


class Operating(Construct):
    def __init__(
        self,
        scope: Construct,
        *,
        stage: Stage,
        assets: Assets,
        layer: aws_lambda.ILayerVersion,
        storage: Storage,
        table: aws_dynamodb.Table,
        secrets: str,
        shared: list[aws_iam.PolicyStatement],
    ) -> None:
        """`table` keeps what was done, `secrets` is the prefix of the platforms' secrets, and `shared` lets the
        function read both."""
        super().__init__(scope, "Operating")
        self._stage = stage
        self.dead = self._queue("DeadLetters", keep=Duration.days(14))
        self.queue = self._queue("Orders", keep=Duration.days(4), dead=self.dead)
        accept(self.dead, "AwsSolutions-SQS3", "It is itself the queue where dead letters go.")
        self.function = Function(
            self,
            "operations",
            stage=stage,
            size=stage.operations,
            code=assets.code("chat"),
            layers=[layer],
            environment={
                "LASTMILE_CHAT_SECRETS": secrets,
                "LASTMILE_CHAT_TABLE": table.table_name,
                "LASTMILE_OPERATIONS_QUEUE": self.queue.queue_url,
                "LASTMILE_OPERATIONS_DEAD_LETTERS": self.dead.queue_url,
            },
            duty=OPERATIONS,
            storage=storage,
            alarms=storage.alarms,
            statements=[
                *shared,
                *self._statements(),
                *undelivered.statements(storage),
                following(stage),
                waking(stage),
            ],
            accepted=any_execution(stage),
            handler="functions.chat.operations.handler.handler",
        )
        undelivered.keep(self.function, storage)
        self._feed(storage)
        self._watch(storage)

    def _queue(self, name: str, *, keep: Duration, dead: aws_sqs.Queue | None = None) -> aws_sqs.Queue:
        return aws_sqs.Queue(
            self,
            name,
            fifo=True,
            encryption=aws_sqs.QueueEncryption.SQS_MANAGED,
            enforce_ssl=True,
            retention_period=keep,
            visibility_timeout=Duration.seconds(6 * self._stage.operations.timeout_seconds),
            dead_letter_queue=None if dead is None else aws_sqs.DeadLetterQueue(queue=dead, max_receive_count=TRIES),
        )

    def _statements(self) -> list[aws_iam.PolicyStatement]:
        return [
            aws_iam.PolicyStatement(
                sid="Send", actions=["sqs:SendMessage"], resources=[self.queue.queue_arn, self.dead.queue_arn]
            ),
            aws_iam.PolicyStatement(
                sid="Orders",
                actions=[
                    "sqs:ReceiveMessage",
                    "sqs:DeleteMessage",
                    "sqs:GetQueueAttributes",
                    "sqs:ChangeMessageVisibility",
                ],
                resources=[self.queue.queue_arn],
            ),
        ]

    def _feed(self, storage: Storage) -> None:
        """Events and alarms call the function itself, which queues them for each platform."""
        live = self.function.live
        aws_lambda.EventSourceMapping(
            self,
            "Feed",
            target=live,
            event_source_arn=self.queue.queue_arn,
            batch_size=BATCH,
            report_batch_item_failures=True,
        )
        aws_events.Rule(
            self,
            "Told",
            rule_name=f"lastmile-{self._stage.name}-operations",
            description=f"Lastmile {self._stage.name}: what operators are told in chat",
            event_bus=storage.bus,
            event_pattern=aws_events.EventPattern(source=["lastmile"], detail_type=TOLD),
            targets=[aws_events_targets.LambdaFunction(live)],
        )
        topic = storage.alarms.topic
        live.add_permission(
            "Alarms", principal=aws_iam.ServicePrincipal("sns.amazonaws.com"), source_arn=topic.topic_arn
        )
        rung = aws_sns.CfnSubscription(
            self, "Rung", topic_arn=topic.topic_arn, protocol="lambda", endpoint=live.function_arn
        )
        accept(rung, "CloudFormation-Validate::W3694", "SNS takes an alias of a function as well as the function.")

    def _watch(self, storage: Storage) -> None:
        name = self.function.name
        storage.alarms.ring(
            self,
            "Undeliverable",
            self.dead.metric_approximate_number_of_messages_visible(period=PERIOD, statistic="Maximum"),
            at=1,
            meaning=f"{name}: operators could not be told, or not be answered: `lastmile chat dead`",
        )
