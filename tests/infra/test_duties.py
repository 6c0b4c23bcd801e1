"""What each role may do: the whole of it, so that one more permission fails here."""

from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.infra.templates import Stacks

ARTIFACTS = "${Artifacts.Arn}"
DATA = "${Data.Arn}"
THROUGH_S3 = {"StringEquals": {"kms:ViaService": "s3.${AWS::Region}.amazonaws.com"}}


def telemetry(name: str) -> list[dict[str, Any]]:
    return [
        {
            "Sid": "Logs",
            "Effect": "Allow",
            "Action": ["logs:CreateLogStream", "logs:PutLogEvents"],
            "Resource": f"${{{name}Logs.Arn}}",
        },
        {
            "Sid": "Traces",
            "Effect": "Allow",
            "Action": ["xray:PutTraceSegments", "xray:PutTelemetryRecords"],
            "Resource": "*",
        },
    ]


def reading(bucket: str, *prefixes: str) -> list[dict[str, Any]]:
    """Objects below these folders, their names, and no other's."""
    name = "Data" if bucket == DATA else ""
    paths = [f"{bucket}/{prefix}/*" for prefix in prefixes]
    return [
        {
            "Sid": f"Read{name}",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": paths if len(paths) > 1 else paths[0],
        },
        {
            "Sid": f"List{name}",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": bucket,
            "Condition": {"StringLikeIfExists": {"s3:prefix": [f"{prefix}/*" for prefix in prefixes]}},
        },
    ]


def writing(bucket: str, *paths: str) -> dict[str, Any]:
    return {
        "Sid": "WriteData" if bucket == DATA else "Write",
        "Effect": "Allow",
        "Action": "s3:PutObject",
        "Resource": [f"{bucket}/{path}" for path in paths],
    }


def using_the_key(*actions: str) -> dict[str, Any]:
    return {
        "Sid": "Key",
        "Effect": "Allow",
        "Action": list(actions) if len(actions) > 1 else actions[0],
        "Resource": "${Key.Arn}",
        "Condition": THROUGH_S3,
    }


def test_inference_reads_models_and_keys_asks_endpoints_and_keeps_what_is_answered_later(stacks: Stacks) -> None:
    endpoints = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}"
    assert statements(stacks, "Inference") == [
        *reading(ARTIFACTS, "models", "keys"),
        *reading(DATA, "pending"),
        {"Sid": "WriteData", "Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{DATA}/pending/*"},
        using_the_key("kms:Decrypt", "kms:GenerateDataKey"),
        {
            "Sid": "Endpoints",
            "Effect": "Allow",
            "Action": ["sagemaker:InvokeEndpoint", "sagemaker:InvokeEndpointAsync"],
            "Resource": [
                f"{endpoints}:{kind}/lastmile-{stacks.stage}-*" for kind in ("endpoint", "inference-component")
            ],
        },
        *telemetry("Inference"),
    ]


def test_control_moves_releases_and_adds_to_the_audit_the_feedback_and_approvals(stacks: Stacks) -> None:
    assert statements(stacks, "Control") == [
        *reading(ARTIFACTS, "models", "audit"),
        writing(ARTIFACTS, "models/*/release.json", "models/*/versions/*/rejected.json", "audit/*"),
        *reading(DATA, "runs", "approvals", "reports"),
        writing(DATA, "feedback/*", "approvals/*"),
        using_the_key("kms:Decrypt", "kms:GenerateDataKey"),
        {
            "Sid": "Executions",
            "Effect": "Allow",
            "Action": "states:DescribeExecution",
            "Resource": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:execution:"
            f"lastmile-{stacks.stage}-learning:*",
        },
        {
            "Sid": "Waking",
            "Effect": "Allow",
            "Action": "states:SendTaskSuccess",
            "Resource": "arn:${AWS::Partition}:states:${AWS::Region}:${AWS::AccountId}:stateMachine:"
            f"lastmile-{stacks.stage}-learning",
        },
        *telemetry("Control"),
    ]


def test_capture_reads_models_and_writes_what_was_predicted(stacks: Stacks) -> None:
    assert statements(stacks, "CapturingCapture") == [
        *reading(ARTIFACTS, "models"),
        writing(DATA, "captures/*", "profiles/*", "quarantine/captures/*"),
        using_the_key("kms:Decrypt", "kms:GenerateDataKey"),
        {
            "Sid": "Events",
            "Effect": "Allow",
            "Action": "events:PutEvents",
            "Resource": "${Bus.Arn}",
            "Condition": {"StringEqualsIfExists": {"events:source": "lastmile"}},
        },
        {"Sid": "Undelivered", "Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{DATA}/aws/lambda/async/*"},
        {
            "Sid": "UndeliveredBucket",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": DATA,
            "Condition": {"StringLikeIfExists": {"s3:prefix": ["aws/lambda/async/*"]}},
        },
        *telemetry("CapturingCapture"),
    ]


@pytest.mark.parametrize(
    ("role", "action", "resource", "allowed"),
    [
        ("Inference", "s3:GetObject", f"{ARTIFACTS}/models/digits/release.json", True),
        ("Inference", "s3:PutObject", f"{ARTIFACTS}/models/digits/release.json", False),
        ("Inference", "s3:GetObject", f"{ARTIFACTS}/audit/2026/01/01/a.json", False),
        ("Inference", "s3:GetObject", f"{DATA}/captures/a", False),
        ("Inference", "s3:PutObject", f"{DATA}/captures/a", False),
        ("Inference", "s3:PutObject", f"{DATA}/pending/01/meta.json", True),
        ("Inference", "s3:GetObject", f"{DATA}/pending/outputs/a.out", True),
        ("Inference", "s3:GetObject", f"{ARTIFACTS}/keys/digits.key", True),
        ("Inference", "s3:PutObject", f"{ARTIFACTS}/keys/digits.key", False),
        ("Chat", "s3:GetObject", f"{ARTIFACTS}/keys/tickets.key", True),  # it predicts, and what it keeps may be hashed
        ("Batch", "s3:GetObject", f"{ARTIFACTS}/keys/digits.key", True),
        ("Control", "s3:GetObject", f"{ARTIFACTS}/keys/digits.key", False),
        ("CapturingCapture", "s3:GetObject", f"{ARTIFACTS}/keys/digits.key", False),
        ("CapturingCapture", "s3:GetObject", f"{DATA}/captures/a", False),
        ("CapturingCapture", "s3:PutObject", f"{DATA}/reports/a", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/release.json", True),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/rejected.json", True),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/manifest.json", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/model.onnx", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/spec.json", False),
        ("Control", "s3:GetObject", f"{DATA}/captures/a", False),
        ("Control", "s3:PutObject", f"{DATA}/feedback/model=digits/dt=2026-01-01/a.json", True),
        ("Control", "s3:PutObject", f"{DATA}/captures/a", False),
        ("Control", "s3:DeleteObject", f"{ARTIFACTS}/audit/2026/01/01/a.json", False),
    ],
)
def test_a_request_is_decided(stacks: Stacks, role: str, action: str, resource: str, allowed: bool) -> None:
    granted = any(
        action in listed(entry["Action"]) and any(fnmatchcase(resource, path) for path in listed(entry["Resource"]))
        for entry in statements(stacks, role)
    )
    assert granted is allowed


def test_nothing_else_gives_a_role_more(stacks: Stacks) -> None:
    assert set(stacks.all("IAM::Role")) >= {"InferenceRole", "ControlRole", "CapturingCaptureRole"}
    for role in stacks.all("IAM::Role").values():
        assert "ManagedPolicyArns" not in role
    functions = {f"${{{name}}}" for name, role in stacks.all("IAM::Role").items() if is_lambdas(role)}
    assert len(functions) == 9
    for policy in stacks.all("IAM::Policy").values():
        assert functions.isdisjoint(policy["Roles"])
    assert not stacks.all("IAM::ManagedPolicy")


@pytest.mark.parametrize("role", ["Inference", "Control", "CapturingCapture"])
def test_only_lambda_takes_the_role(stacks: Stacks, role: str) -> None:
    (statement,) = stacks.one("IAM::Role", f"{role}Role")["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
    }


def is_lambdas(role: dict[str, Any]) -> bool:
    (statement,) = role["AssumeRolePolicyDocument"]["Statement"]
    return bool(statement["Principal"] == {"Service": "lambda.amazonaws.com"})


def statements(stacks: Stacks, role: str) -> list[dict[str, Any]]:
    policies = stacks.one("IAM::Role", f"{role}Role")["Policies"]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
