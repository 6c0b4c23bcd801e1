import json
from pathlib import Path

from tests.infra.synthesis import run
from tests.infra.templates import Stacks

ARTIFACTS, DATA = "Artifacts82DD59A1Arn3B515032", "Data666C94C7Arn0D7E21B7"
PATHS = (
    ("Inference", ARTIFACTS, ("models/*", "keys/*")),
    ("Inference", DATA, ("pending/*",)),
    ("Control", ARTIFACTS, ("models/*", "audit/*", "models/*/release.json", "models/*/versions/*/rejected.json")),
    ("Control", DATA, ("feedback/*", "approvals/*", "runs/*", "reports/*")),
    ("Capturing/Capture", ARTIFACTS, ("models/*",)),
    ("Capturing/Capture", DATA, ("captures/*", "profiles/*", "quarantine/captures/*", "aws/lambda/async/*")),
    ("Drifting/Drift", ARTIFACTS, ("models/*",)),
    ("Drifting/Drift", DATA, ("captures/*", "profiles/*", "feedback/*", "reports/*")),
    ("Drifting/Drift", DATA, ("training/*/feedback-*", "profiles/*/merged.json.gz")),
    ("Drifting/Drift", DATA, ("training/*", "training/*/again-*")),
    ("Retraining", ARTIFACTS, ("models/*", "audit/*", "keys/*")),
    ("Retraining", DATA, ("training/*", "runs/*", "approvals/*", "profiles/*", "captures/*")),
    ("Retraining", DATA, ("quarantine/training/*", "reports/*", "aws/lambda/async/*")),
    ("Batch", ARTIFACTS, ("models/*", "keys/*")),
    ("Batch", DATA, ("batches/*", "pending/batches/*")),
    ("Chat", ARTIFACTS, ("models/*", "keys/*")),
    ("Chat", DATA, ("feedback/*",)),
    ("Operating/Operations", ARTIFACTS, ("models/*", "audit/*", "models/*/release.json")),
    ("Operating/Operations", ARTIFACTS, ("models/*/versions/*/rejected.json",)),
    ("Operating/Operations", DATA, ("runs/*", "approvals/*", "reports/*", "decisions/*", "feedback/*")),
    ("Operating/Operations", DATA, ("aws/lambda/async/*",)),
)
FUNCTIONS = (
    *("Inference", "Control", "Capturing/Capture", "Drifting/Drift", "Chat", "Hook", "Retraining"),
    "Batch",
    "Operating/Operations",
)
AWAITED = ("Inference", "Control", "Chat", "Hook", "Operating/Operations")
ASKING = ("Chat", "Hook", "Operating/Operations")
LOOKING = ("Retraining", "Control", "Operating/Operations")
SECRETS = "arn:<AWS::Partition>:secretsmanager:<AWS::Region>:<AWS::AccountId>:secret:lastmile"
EXECUTIONS = "arn:<AWS::Partition>:states:<AWS::Region>:<AWS::AccountId>:execution:lastmile"
ENDPOINTS, KINDS = "arn:<AWS::Partition>:sagemaker:<AWS::Region>:<AWS::AccountId>", ("endpoint", "inference-component")
WITH_A_FAULT = """
from aws_cdk import aws_s3
from infra.app import build

app = build()
aws_s3.CfnBucket(app.node.find_child("Lastmile-dev-Storage"), "Open")
app.synth()
"""


def test_a_fault_in_a_stack_of_ours_stops_synthesis(tmp_path: Path, tiny_assets: Path) -> None:
    done = run(tmp_path, "-c", WITH_A_FAULT, assets=str(tiny_assets))
    assert done.returncode != 0
    assert "ValidationFailed" in done.stderr
    assert findings(tmp_path) >= {("AwsSolutions-S1", "Lastmile-dev-Storage/Open")}
    assert {place for _, place in findings(tmp_path)} == {"Lastmile-dev-Storage/Open"}


def test_our_stacks_have_no_findings_but_those_accepted(stacks: Stacks) -> None:
    assert findings(stacks.folder) == set()


def test_every_acceptance_is_known_here_and_says_why(stacks: Stacks) -> None:
    accepted = acceptances(stacks.folder)
    assert all(len(reason) > 40 for reason in accepted.values())
    public = ["GET--health", "GET--docs", "GET--docs--{asset}", "GET--openapi.json", "GET--control--openapi.json"]
    public += ["GET--hooks--openapi.json", "POST--hooks--{platform}"]  # a signature in place of a token
    if stacks.stage == "dev":  # its web pages may call
        public += [f"OPTIONS--{path}" for path in ("ping", "invocations", "v2", "v2--{proxy+}", "v1--{proxy+}")]
        public += ["OPTIONS--predictions--{proxy+}"]
    assert set(accepted) == {
        *((f"{name}/Function", "L1") for name in FUNCTIONS),
        *((f"{name}/Function", "@aws-cdk/aws-lambda:snapStartRequirePublish") for name in AWAITED),
        *((f"{name}/Role", "IAM5[Resource::*]") for name in FUNCTIONS),
        *(
            (f"{name}/Role", f"IAM5[Resource::Lastmile-{stacks.stage}-Storage:ExportsOutputFnGetAtt{bucket}/{path}]")
            for name, bucket, paths in PATHS
            for path in paths
        ),
        *((f"Api/Http/{route}", "APIG4") for route in public),
        *((f"{name}/Role", f"IAM5[Resource::{SECRETS}/{stacks.stage}/chat/*]") for name in ASKING),
        *((f"{name}/Role", f"IAM5[Resource::{EXECUTIONS}-{stacks.stage}-learning:*]") for name in LOOKING),
        *(
            (f"{name}/Role", f"IAM5[Resource::{ENDPOINTS}:{kind}/lastmile-{stacks.stage}-*]")
            for name in ("Inference", "Batch")
            for kind in KINDS
        ),
        ("MachineRole/DefaultPolicy", "IAM5[Resource::*]"),
        ("BatchMachineRole/DefaultPolicy", "IAM5[Resource::*]"),
        ("BatchMachineRole", f"IAM5[Resource::{EXECUTIONS}-{stacks.stage}-batch/*]"),
        (
            "BatchMachineRole",
            f"IAM5[Resource::Lastmile-{stacks.stage}-Storage:ExportsOutputFnGetAtt{DATA}/batches/*/items.json]",
        ),
        ("DeadLetters", "SQS3"),
        ("Operating/DeadLetters", "SQS3"),
        ("Operating/Rung", "CloudFormation-Validate::W3694"),
        ("Unheard", "SQS3"),
    }


def findings(assembly: Path) -> set[tuple[str, str]]:
    """Rules broken, each with the construct that breaks it."""
    report = json.loads((assembly / "validation-report.json").read_text())
    return {
        (violation["ruleName"], construct["constructPath"])
        for plugin in report["pluginReports"]
        for violation in plugin["violations"]
        for construct in violation["violatingConstructs"]
    }


def acceptances(assembly: Path) -> dict[tuple[str, str], str]:
    """Reasons by construct and rule, as the assembly records them."""
    return {
        (path.split("/", 2)[2], rule.removeprefix("Annotation::").removeprefix("AwsSolutions-")): reason
        for file in assembly.glob("*.metadata.json")
        for path, entries in json.loads(file.read_text()).items()
        for entry in entries
        if entry["type"] == "aws:cdk:acknowledged-rules"
        for rule, reason in entry["data"].items()
    }
