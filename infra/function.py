"""One construct is one function of ours: code, role, log group, published version, alias and alarms."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from aws_cdk import Duration, RemovalPolicy, aws_iam, aws_lambda, aws_logs
from constructs import Construct

from infra.alarms import PERIOD, Alarms
from infra.config import Size, Stage
from infra.duties import Duty
from infra.nag import accept, accept_paths
from infra.storage import Storage

ALIAS = "live"
NOTHING: Mapping[str, str] = MappingProxyType({})
RUNTIME = aws_lambda.Runtime.PYTHON_3_13
ARCHITECTURES = {"x86_64": aws_lambda.Architecture.X86_64, "arm64": aws_lambda.Architecture.ARM_64}


class Function(Construct):
    """`functions.<name>.handler.handler` as `lastmile-<stage>-<name>`, called through the alias `live`."""

    def __init__(
        self,
        scope: Construct,
        name: str,
        *,
        stage: Stage,
        size: Size,
        code: aws_lambda.Code,
        layers: Sequence[aws_lambda.ILayerVersion],
        environment: Mapping[str, str],
        duty: Duty,
        storage: Storage,
        alarms: Alarms,
        statements: Sequence[aws_iam.PolicyStatement] = (),
        accepted: Mapping[str, str] = NOTHING,
        handler: str | None = None,
    ) -> None:
        """`statements` are what it may do beside its duty, and `accepted` findings about them, with reasons; `handler`
        is another one than `functions.<name>`'s own."""
        super().__init__(scope, name.capitalize())
        self.name = f"lastmile-{stage.name}-{name}"
        log_group = self._log_group(stage, storage)
        function = aws_lambda.Function(
            self,
            "Function",
            function_name=self.name,
            description=f"Lastmile {stage.name}: {name}",
            handler=handler or f"functions.{name}.handler.handler",
            code=code,
            layers=layers,
            runtime=RUNTIME,
            architecture=ARCHITECTURES[stage.architecture],
            memory_size=size.memory_mb,
            timeout=Duration.seconds(size.timeout_seconds),
            environment={**shared(name, stage, storage, duty), **environment},
            role=self._role(log_group, duty, storage, statements, accepted),
            log_group=log_group,
            logging_format=aws_lambda.LoggingFormat.JSON,
            tracing=aws_lambda.Tracing.ACTIVE,
            snap_start=aws_lambda.SnapStartConf.ON_PUBLISHED_VERSIONS if size.snapshot else None,
        )
        accept(function, "AwsSolutions-L1", "The layer's wheels are locked, built and tested for Python 3.13.")
        if size.snapshot:
            accept(
                function, "@aws-cdk/aws-lambda:snapStartRequirePublish", "The alias below calls a published version."
            )
        self.live = aws_lambda.Alias(self, "Live", alias_name=ALIAS, version=function.current_version)
        self._watch(stage, size, alarms)

    def _log_group(self, stage: Stage, storage: Storage) -> aws_logs.LogGroup:
        return aws_logs.LogGroup(
            self,
            "Logs",
            log_group_name=f"/aws/lambda/{self.name}",
            retention=aws_logs.RetentionDays[stage.log_retention],
            encryption_key=storage.key,  # a captured prediction holds what the caller sent
            removal_policy=RemovalPolicy.DESTROY,
        )

    def _role(
        self,
        log_group: aws_logs.LogGroup,
        duty: Duty,
        storage: Storage,
        statements: Sequence[aws_iam.PolicyStatement],
        accepted: Mapping[str, str],
    ) -> aws_iam.IRole:
        telemetry = [
            aws_iam.PolicyStatement(
                sid="Logs",
                actions=["logs:CreateLogStream", "logs:PutLogEvents"],
                resources=[log_group.log_group_arn],
            ),
            aws_iam.PolicyStatement(
                sid="Traces",
                actions=["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
                resources=["*"],
            ),
        ]
        granted = [*duty.statements(storage), *statements]
        role = aws_iam.Role(
            self,
            "Role",
            assumed_by=aws_iam.ServicePrincipal("lambda.amazonaws.com"),
            inline_policies={
                "Duty": aws_iam.PolicyDocument(statements=granted),
                "Telemetry": aws_iam.PolicyDocument(statements=telemetry),
            },
        )
        accept(
            role,
            "AwsSolutions-IAM5[Resource::*]",
            "X-Ray has no resources that its two writing actions could be limited to.",
        )
        accept_paths(role, storage.artifacts, duty.paths)
        accept_paths(role, storage.data, duty.data_paths)
        for finding, reason in accepted.items():
            accept(role, finding, reason)
        return role.without_policy_updates()  # what a function may do is written here and nowhere else

    def _watch(self, stage: Stage, size: Size, alarms: Alarms) -> None:
        alarms.ring(
            self,
            "Errors",
            self.live.metric_errors(period=PERIOD, statistic="Sum"),
            at=stage.error_alarm_count,
            meaning=f"{self.name}: calls failed",
        )
        alarms.ring(
            self,
            "Throttles",
            self.live.metric_throttles(period=PERIOD, statistic="Sum"),
            at=stage.throttle_alarm_count,
            meaning=f"{self.name}: calls were turned away",
        )
        alarms.ring(
            self,
            "Slow",
            self.live.metric_duration(period=PERIOD, statistic="p99"),
            at=size.p99_alarm_ms,
            meaning=f"{self.name}: one call in a hundred takes {size.p99_alarm_ms} ms or more",
        )


def shared(name: str, stage: Stage, storage: Storage, duty: Duty) -> dict[str, str]:
    """Of the environment, what every function has."""
    return {
        "LASTMILE_STAGE": stage.name,
        "LASTMILE_ARTIFACTS": f"s3://{storage.artifacts.bucket_name}",
        **({"LASTMILE_DATA": f"s3://{storage.data.bucket_name}"} if duty.data_paths else {}),
        **({"LASTMILE_BUS": storage.bus.event_bus_name} if duty.tells else {}),
        "OPENBLAS_NUM_THREADS": "1",  # or numpy starts one thread per core it sees, to add a few numbers
        "ORT_DISABLE_TELEMETRY": "1",
        "POWERTOOLS_SERVICE_NAME": name,
        "POWERTOOLS_LOG_LEVEL": stage.log_level,
    }
