"""What each function may do with what is stored, and nothing else."""

from dataclasses import dataclass

from aws_cdk import Aws, aws_iam, aws_kms, aws_s3


@dataclass(frozen=True, slots=True, kw_only=True)
class Duty:
    """Objects of the artifacts bucket: `reads` are prefixes, `writes` are paths in which a * stands for any text."""

    reads: tuple[str, ...]
    writes: tuple[str, ...] = ()

    @property
    def paths(self) -> tuple[str, ...]:
        """Every path named in the statements, once."""
        return tuple(dict.fromkeys((*(f"{prefix}/*" for prefix in self.reads), *self.writes)))

    def statements(self, bucket: aws_s3.IBucket, key: aws_kms.IKey) -> list[aws_iam.PolicyStatement]:
        read = [bucket.arn_for_objects(f"{prefix}/*") for prefix in self.reads]
        written = [bucket.arn_for_objects(path) for path in self.writes]
        return [
            aws_iam.PolicyStatement(sid="Read", actions=["s3:GetObject"], resources=read),
            aws_iam.PolicyStatement(
                sid="List",
                actions=["s3:ListBucket"],
                resources=[bucket.bucket_arn],
                # IfExists: S3 wants this right to say 404 instead of 403 to a GET, which carries no prefix.
                conditions={"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*" for prefix in self.reads]}},
            ),
            *([aws_iam.PolicyStatement(sid="Write", actions=["s3:PutObject"], resources=written)] if written else []),
            aws_iam.PolicyStatement(
                sid="Key",
                actions=["kms:Decrypt", *(["kms:GenerateDataKey"] if written else [])],
                resources=[key.key_arn],
                conditions={"StringEquals": {"kms:ViaService": f"s3.{Aws.REGION}.amazonaws.com"}},
            ),
        ]


INFERENCE = Duty(reads=("models",))
CONTROL = Duty(
    reads=("models", "audit"),
    writes=("models/*/release.json", "models/*/versions/*/rejected.json", "audit/*"),
)
