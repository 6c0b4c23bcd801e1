"""Where AWS's Triton container lies."""

from aws_cdk import Aws, CfnMapping
from constructs import Construct

from infra.accelerators import TRITON, TRITON_ACCOUNTS


def image(scope: Construct) -> str:
    """Of the region in which the stack is deployed; elsewhere than in the table's regions, that fails."""
    mapping = {region: {"account": account} for region, account in TRITON_ACCOUNTS.items()}
    account = CfnMapping(scope, "TritonAccounts", mapping=mapping).find_in_map(Aws.REGION, "account")
    return f"{account}.dkr.ecr.{Aws.REGION}.{Aws.URL_SUFFIX}/{TRITON}"
