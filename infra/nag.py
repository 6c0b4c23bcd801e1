"""Findings of cdk-nag, and warnings of CDK itself, that are accepted, each beside its reason."""

from collections.abc import Iterable

from aws_cdk import Acknowledgment, Stack, Validations, aws_s3
from constructs import Construct


def accept(construct: Construct, finding: str, reason: str) -> None:
    """`finding` is what synthesis calls it, such as `AwsSolutions-IAM5[Resource::*]`."""
    Validations.of(construct).acknowledge(Acknowledgment(id=finding, reason=reason))


def accept_paths(construct: Construct, bucket: aws_s3.IBucket, paths: Iterable[str]) -> None:
    """Wildcards in object paths of a bucket that another stack exports."""
    arn = Stack.of(construct).resolve(Stack.of(bucket).export_value(bucket.bucket_arn))["Fn::ImportValue"]
    for path in paths:
        accept(
            construct,
            f"AwsSolutions-IAM5[Resource::{arn}/{path}]",
            "Models, captures, reports and so on come into being after the deployment: only their path can be named.",
        )
