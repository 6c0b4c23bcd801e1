"""Where AWS's Triton container lies."""

from aws_cdk import Aws, CfnMapping
from constructs import Construct

from infra.accelerators import TRITON, TRITON_ACCOUNTS

# Without it the container logs several lines for each request.
# https://github.com/triton-inference-server/server/blob/main/docker/sagemaker/serve
QUIET = {"SAGEMAKER_TRITON_LOG_VERBOSE": "false"}


def image(scope: Construct) -> str:
    """Of the region in which the stack is deployed; elsewhere than in the table's regions, that fails."""
    mapping = {region: {"account": account} for region, account in TRITON_ACCOUNTS.items()}
    account = CfnMapping(scope, "TritonAccounts", mapping=mapping).find_in_map(Aws.REGION, "account")
    return f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{TRITON}"
