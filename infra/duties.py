"""What each function may do with what is stored, and nothing else."""

from dataclasses import dataclass

from aws_cdk import Aws, aws_events, aws_iam, aws_kms, aws_s3

from infra.storage import Storage


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Objects of the artifacts bucket and, with `data_` before it, of the data bucket.

    Reads are prefixes, writes are paths in which a * stands for any text. Who `tells` puts events on the stage's bus,
    in the name of Lastmile and no other.
    """

    reads: tuple[str, ...] = ()
    writes: tuple[str, ...] = ()
    data_reads: tuple[str, ...] = ()
    data_writes: tuple[str, ...] = ()
    tells: bool = False

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path of the artifacts bucket named in the statements, once."""
        return _paths(self.reads, self.writes)

    @property
    def data_paths(self) -> tuple[str, ...]:
        """Every path of the data bucket named in the statements, once."""
        return _paths(self.data_reads, self.data_writes)

    def statements(self, storage: Storage) -> list[aws_iam.PolicyStatement]:
        return [
            *_statements("", storage.artifacts, self.reads, self.writes),
            *_statements("Data", storage.data, self.data_reads, self.data_writes),
            *([self._opening(storage.key)] if self.paths or self.data_paths else []),
            *([_telling(storage.bus)] if self.tells else []),
        ]

    def _opening(self, key: aws_kms.IKey) -> aws_iam.PolicyStatement:
        writes = self.writes or self.data_writes
        return aws_iam.PolicyStatement(
            sid="Key",
            actions=["kms:Decrypt", *(["kms:GenerateDataKey"] if writes else [])],
            resources=[key.key_arn],
            conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
        )


def _paths(reads: tuple[str, ...], writes: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*(f"{prefix}/*" for prefix in reads), *writes)))


def _statements(
    name: str, bucket: aws_s3.IBucket, reads: tuple[str, ...], writes: tuple[str, ...]
) -> list[aws_iam.PolicyStatement]:
    read = [bucket.arn_for_objects(f"{prefix}/*") for prefix in reads]
    written = [bucket.arn_for_objects(path) for path in writes]
    listing = aws_iam.PolicyStatement(
        sid=f"List{name}",
        actions=["s3:ListBucket"],
        resources=[bucket.bucket_arn],
        # IfExists: S3 wants this right to say 404 instead of 403 to a GET, which carries no prefix.
        conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*" for prefix in reads]}},
    )
    reading = aws_iam.PolicyStatement(sid=f"Read{name}", actions=["s3:GetObject"], resources=read)
    writing = aws_iam.PolicyStatement(sid=f"Write{name}", actions=["s3:PutObject"], resources=written)
    return [*([reading, listing] if read else []), *([writing] if written else [])]


def _telling(bus: aws_events.IEventBus) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid="Events",
        actions=["events:PutEvents"],
        resources=[bus.event_bus_arn],
        # IfExists: AWS knows the source of every PutEvents, which refuses entries without one, so it is the same right
        # there; an AWS on a laptop that enforces policies does not know this key.
        # https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-conditions.html
        conditions={"StringEqualsIfExists": {"events:source": "lastmile"}},
    )


INFERENCE = Duty(reads=("models", "keys"), data_reads=("pending",), data_writes=("pending/*",))
CAPTURE = Duty(
    reads=("models",),
    data_writes=("captures/*", "profiles/*", "quarantine/captures/*"),
    tells=True,
)
CONTROL = Duty(
    reads=("models", "audit"),
    writes=("models/*/release.json", "models/*/versions/*/rejected.json", "audit/*"),
    data_reads=("runs", "approvals", "reports"),
    data_writes=("feedback/*", "approvals/*"),
)
DRIFT = Duty(
    reads=("models",),
    data_reads=("captures", "profiles", "feedback", "reports", "training"),
    data_writes=("reports/*", "training/*/feedback-*", "training/*/again-*", "profiles/*/merged.json.gz"),
    tells=True,
)
RETRAINING = Duty(
    reads=("models", "audit"),
    writes=("models/*", "audit/*", "keys/*"),
    data_reads=("training", "runs", "approvals", "profiles", "captures", "reports"),
    data_writes=("runs/*", "approvals/*", "quarantine/training/*", "reports/*"),
    tells=True,
)
BATCH = Duty(
    reads=("models", "keys"),
    data_reads=("batches", "pending/batches"),
    data_writes=("batches/*", "pending/batches/*"),
)
HOOK = Duty()
CHAT = Duty(reads=("models", "keys"), data_writes=("feedback/*",), tells=True)
OPERATIONS = Duty(
    reads=("models", "audit"),
    writes=("models/*/release.json", "models/*/versions/*/rejected.json", "audit/*"),
    data_reads=("runs", "approvals", "reports", "decisions"),
    data_writes=("approvals/*", "decisions/*", "feedback/*"),
    tells=True,
)
