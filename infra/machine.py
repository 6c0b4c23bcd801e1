"""A state machine of ours: its role, its log, and what is accepted of both."""

from collections.abc import Sequence
from typing import Any

from aws_cdk import RemovalPolicy, Stack, aws_iam, aws_logs, aws_stepfunctions
from constructs import Construct

from infra.config import Stage
from infra.nag import accept
from infra.storage import Storage


def role_of(scope: Construct, name: str, statements: Sequence[aws_iam.PolicyStatement]) -> aws_iam.Role:
    return aws_iam.Role(
        scope,
        f"{name}Role",
        assumed_by=aws_iam.ServicePrincipal("states.amazonaws.com"),
        inline_policies={"Steps": aws_iam.PolicyDocument(statements=[*statements])},
    )


def state_machine(
    stack: Stack,
    name: str,
    *,
    called: str,
    meaning: str,
    definition: dict[str, Any],
    role: aws_iam.Role,
    stage: Stage,
    storage: Storage,
) -> aws_stepfunctions.StateMachine:
    """`name` is that of the construct, `called` what AWS calls it. Every step is logged and traced."""
    machine = aws_stepfunctions.StateMachine(
        stack,
        name,
        state_machine_name=called,
        comment=f"Lastmile {stage.name}: {meaning}",
        definition_body=aws_stepfunctions.DefinitionBody.from_string(stack.to_json_string(definition)),
        role=role,
        tracing_enabled=True,
        logs=aws_stepfunctions.LogOptions(
            destination=aws_logs.LogGroup(
                stack,
                f"{name}Logs",
                log_group_name=f"/aws/vendedlogs/{called}",
                retention=aws_logs.RetentionDays[stage.log_retention],
                encryption_key=storage.key,
                removal_policy=RemovalPolicy.DESTROY,
            ),
            level=aws_stepfunctions.LogLevel.ALL,
        ),
    )
    policy = role.node.find_child("DefaultPolicy")
    assert isinstance(policy, Construct)
    accept(
        policy,
        "AwsSolutions-IAM5[Resource::*]",
        "Delivering logs and traces has no resources that these actions could be limited to.",
    )
    return machine
