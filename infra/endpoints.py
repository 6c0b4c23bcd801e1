"""The right to ask heavy models."""

from aws_cdk import Aws, aws_iam

from infra.config import Stage

KINDS = ("endpoint", "inference-component")
NOW, LATER = "sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"


def asking(stage: Stage, *actions: str) -> aws_iam.PolicyStatement:
    return aws_iam.PolicyStatement(
        sid="Endpoints", actions=[*actions], resources=_arns(stage, Aws.PARTITION, Aws.REGION, Aws.ACCOUNT_ID)
    )


def accepted(stage: Stage) -> dict[str, str]:
    """Findings about it, with the reason."""
    arns = _arns(stage, "<AWS::Partition>", "<AWS::Region>", "<AWS::AccountId>")
    return {
        f"AwsSolutions-IAM5[Resource::{arn}]": "Versions of heavy models get endpoints after the deployment."
        for arn in arns
    }


def _arns(stage: Stage, partition: str, region: str, account: str) -> list[str]:
    return [f"arn:{partition}:sagemaker:{region}:{account}:{kind}/lastmile-{stage.name}-*" for kind in KINDS]
