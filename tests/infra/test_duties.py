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


def test_inference_reads_models_and_writes_nothing(stacks: Stacks) -> None:
    assert statements(stacks, "Inference") == [
        {"Sid": "Read", "Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{ARTIFACTS}/models/*"},
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": ARTIFACTS,
            "Condition": {"StringLikeIfExists": {"s3:prefix": ["models/*"]}},
        },
        {
            "Sid": "Key",
            "Effect": "Allow",
            "Action": "kms:Decrypt",
            "Resource": "${Key.Arn}",
            "Condition": THROUGH_S3,
        },
        *telemetry("Inference"),
    ]


def test_control_moves_releases_and_adds_to_the_audit_and_the_feedback(stacks: Stacks) -> None:
    assert statements(stacks, "Control") == [
        {
            "Sid": "Read",
            "Effect": "Allow",
            "Action": "s3:GetObject",
            "Resource": [f"{ARTIFACTS}/models/*", f"{ARTIFACTS}/audit/*"],
        },
        {
            "Sid": "List",
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": ARTIFACTS,
            "Condition": {"StringLikeIfExists": {"s3:prefix": ["models/*", "audit/*"]}},
        },
        {
            "Sid": "Write",
            "Effect": "Allow",
            "Action": "s3:PutObject",
            "Resource": [
                f"{ARTIFACTS}/models/*/release.json",
                f"{ARTIFACTS}/models/*/versions/*/rejected.json",
                f"{ARTIFACTS}/audit/*",
            ],
        },
        {"Sid": "WriteData", "Effect": "Allow", "Action": "s3:PutObject", "Resource": f"{DATA}/feedback/*"},
        {
            "Sid": "Key",
            "Effect": "Allow",
            "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
            "Resource": "${Key.Arn}",
            "Condition": THROUGH_S3,
        },
        *telemetry("Control"),
    ]


@pytest.mark.parametrize(
    ("role", "action", "resource", "allowed"),
    [
        ("Inference", "s3:GetObject", f"{ARTIFACTS}/models/digits/release.json", True),
        ("Inference", "s3:PutObject", f"{ARTIFACTS}/models/digits/release.json", False),
        ("Inference", "s3:GetObject", f"{ARTIFACTS}/audit/2026/01/01/a.json", False),
        ("Inference", "s3:GetObject", f"{DATA}/captures/a", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/release.json", True),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/rejected.json", True),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/manifest.json", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/versions/1/model.onnx", False),
        ("Control", "s3:PutObject", f"{ARTIFACTS}/models/digits/spec.json", False),
        ("Control", "s3:GetObject", f"{DATA}/captures/a", False),
        ("Control", "s3:PutObject", f"{DATA}/feedback/model=digits/dt=2026-01-01/a.json", True),
        ("Control", "s3:PutObject", f"{DATA}/captures/a", False),
        ("Control", "s3:ListBucket", DATA, False),
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
    assert set(stacks.all("IAM::Role")) == {"InferenceRole", "ControlRole"}
    for role in stacks.all("IAM::Role").values():
        assert "ManagedPolicyArns" not in role
    assert not stacks.all("IAM::Policy")
    assert not stacks.all("IAM::ManagedPolicy")


@pytest.mark.parametrize("role", ["Inference", "Control"])
def test_only_lambda_takes_the_role(stacks: Stacks, role: str) -> None:
    (statement,) = stacks.one("IAM::Role", f"{role}Role")["AssumeRolePolicyDocument"]["Statement"]
    assert statement == {
        "Action": "sts:AssumeRole",
        "Effect": "Allow",
        "Principal": {"Service": "lambda.amazonaws.com"},
    }


def statements(stacks: Stacks, role: str) -> list[dict[str, Any]]:
    policies = stacks.one("IAM::Role", f"{role}Role")["Policies"]
    return [statement for policy in policies for statement in policy["PolicyDocument"]["Statement"]]


def listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value
