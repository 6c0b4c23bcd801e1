"""What each function's role may do, tried from inside Lambda against an AWS that enforces IAM."""

import io
import json
import zipfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest

from cli.chat import send_as
from cli.desk import OPERATIONS, desk
from cli.local import LocalAws
from cli.target import Target

# Runs each call with the role's own credentials and says "allowed" or the error code.
PROBE = """
import boto3, botocore.exceptions

def handler(event, context):
    outcomes = []
    for service, method, arguments, endpoint_url in event:
        try:
            getattr(boto3.client(service, endpoint_url=endpoint_url), method)(**arguments)
            outcomes.append("allowed")
        except botocore.exceptions.ClientError as error:
            outcomes.append(error.response["Error"]["Code"])
    return outcomes
"""
DENIED = {"AccessDenied", "AccessDeniedException"}

type Call = tuple[str, str, dict[str, Any], str | None]  # service, method, arguments, endpoint if not the usual one
type Probe = Callable[[Call], str]
type Probes = Callable[[Sequence[Call]], list[str]]


def probe_of(stack: Target, door: str) -> Iterator[Probe]:
    for probes in probes_of(stack, door):

        def probe(call: Call, probes: Probes = probes) -> str:
            return probes([call])[0]

        yield probe


def probes_of(stack: Target, door: str) -> Iterator[Probes]:
    """A function of the test's own that has the role of `door`; it makes the calls one after the other."""
    client = stack.client("lambda")
    role = client.get_function_configuration(FunctionName=stack.functions[door])["Role"]
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as package:
        package.writestr("probe.py", PROBE)
    name = f"probe-{door}"
    client.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Handler="probe.handler",
        Role=role,
        Code={"ZipFile": archive.getvalue()},
        Timeout=29,
    )

    def probes(calls: Sequence[Call]) -> list[str]:
        answer = client.invoke(FunctionName=name, Payload=json.dumps(calls))
        outcomes: list[str] = json.loads(answer["Payload"].read())
        return outcomes

    yield probes
    client.delete_function(FunctionName=name)


@pytest.fixture(scope="module")
def inference(guarded_stack: Target) -> Iterator[Probe]:
    yield from probe_of(guarded_stack, "inference")


@pytest.fixture(scope="module")
def control(guarded_stack: Target) -> Iterator[Probe]:
    yield from probe_of(guarded_stack, "control")


@pytest.fixture(scope="module")
def operations(guarded_stack: Target) -> Iterator[Probe]:
    yield from probe_of(guarded_stack, "operations")


def s3(method: str, bucket: str, key: str | None = None, **arguments: Any) -> Call:
    return "s3", method, {"Bucket": bucket} | ({"Key": key} if key else {}) | arguments, None


def test_everything_works_with_these_roles(guarded_stack: Target) -> None:
    token = guarded_stack.token(["infer", "read", "operate", "approve"])
    body = json.dumps({"instances": [[0] * 64]}).encode()
    champion = guarded_stack.call("POST", "/v1/models/digits:predict", body=body, token=token)
    assert champion.status == 200
    released = guarded_stack.call("GET", "/control/models/digits/release", token=token)
    assert released.status == 200
    why = json.dumps({"why": "may the control function move the release?"}).encode()
    json_body = {"content-type": "application/json"}
    path = "/control/models/digits/rollback"
    rolled_back = guarded_stack.call("POST", path, body=why, headers=json_body, token=token)
    assert rolled_back.status == 200, rolled_back.body
    assert guarded_stack.registry().release("digits").revision == released.json()["revision"] + 1


def test_iam_is_enforced_at_all(guarded_stack: Target, inference: Probe) -> None:
    """A call that no role of ours may make, and that succeeds for the account itself."""
    guarded_stack.client("sqs").list_queues()
    assert inference(("sqs", "list_queues", {}, None)) in DENIED


def test_inference_reads_models(guarded_stack: Target, inference: Probe) -> None:
    assert inference(s3("get_object", guarded_stack.artifacts_bucket, "models/digits/release.json")) == "allowed"


@pytest.mark.parametrize(
    "key",
    [
        "models/digits/release.json",
        "models/digits/versions/1/manifest.json",
        "models/digits/versions/1/rejected.json",
        "audit/2026/01/01/forged.json",
        "elsewhere.json",
    ],
)
def test_inference_writes_nothing(guarded_stack: Target, inference: Probe, key: str) -> None:
    bucket = guarded_stack.artifacts_bucket
    assert inference(s3("put_object", bucket, key, Body="{}")) in DENIED
    assert inference(s3("delete_object", bucket, key)) in DENIED


def test_inference_sees_neither_the_audit_nor_the_data(guarded_stack: Target, inference: Probe) -> None:
    artifacts, data = guarded_stack.artifacts_bucket, guarded_stack.data_bucket
    [entry] = guarded_stack.client("s3").list_objects_v2(Bucket=artifacts, Prefix="audit/", MaxKeys=1)["Contents"]
    assert inference(s3("get_object", artifacts, entry["Key"])) in DENIED
    key = "captures/model=digits/dt=2026-01-01/hour=00/b.jsonl.gz"
    guarded_stack.client("s3").put_object(Bucket=data, Key=key, Body=b"")
    assert inference(s3("get_object", data, key)) in DENIED
    assert inference(s3("put_object", data, key, Body="")) in DENIED
    assert inference(s3("list_objects_v2", data, Prefix="captures/")) in DENIED


def test_inference_keeps_what_is_answered_later(guarded_stack: Target, inference: Probe) -> None:
    data = guarded_stack.data_bucket
    assert inference(s3("put_object", data, "pending/1/request.bin", Body="")) == "allowed"
    assert inference(s3("get_object", data, "pending/1/request.bin")) == "allowed"


def test_control_moves_a_release_and_nothing_else_of_a_model(guarded_stack: Target, control: Probe) -> None:
    bucket = guarded_stack.artifacts_bucket
    release = guarded_stack.client("s3").get_object(Bucket=bucket, Key="models/digits/release.json")
    unchanged = {"Body": release["Body"].read().decode(), "IfMatch": release["ETag"]}
    assert control(s3("put_object", bucket, "models/digits/release.json", **unchanged)) == "allowed"
    for file in ("manifest.json", "model.onnx"):
        assert control(s3("put_object", bucket, f"models/digits/versions/1/{file}", Body="{}")) in DENIED
    assert control(s3("delete_object", bucket, "models/digits/release.json")) in DENIED


def test_control_cannot_read_captures(guarded_stack: Target, control: Probe) -> None:
    bucket, key = guarded_stack.data_bucket, "captures/model=digits/dt=2026-01-01/hour=00/a.jsonl.gz"
    guarded_stack.client("s3").put_object(Bucket=bucket, Key=key, Body=b"")
    assert control(s3("get_object", bucket, key)) in DENIED
    assert control(s3("list_objects_v2", bucket, Prefix="captures/")) in DENIED


def test_operators_are_answered_in_chat_with_these_rights(guarded_aws: LocalAws, guarded_stack: Target) -> None:
    """Secrets, queue, records, registry and releases: a rollback needs them all."""
    chat = json.loads((guarded_aws.folder / "local.json").read_bytes())["chat"]
    with desk(chat["reply_port"]) as heard:
        send_as(guarded_stack, chat, "slack", "/lastmile status", conversation=OPERATIONS)
        status = heard.wait(60)
        assert status is not None
        assert "digits: version" in status.text
        revision = guarded_stack.registry().release("digits").revision
        said = {"conversation": OPERATIONS, "pressed": f"rollback:digits/{revision}"}
        send_as(guarded_stack, chat, "slack", "tried", **said)
        answer = heard.wait(60)
    assert answer is not None
    assert "digits" in answer.text


def test_operations_moves_a_release_and_reads_no_captures(guarded_stack: Target, operations: Probe) -> None:
    bucket = guarded_stack.artifacts_bucket
    release = guarded_stack.client("s3").get_object(Bucket=bucket, Key="models/digits/release.json")
    unchanged = {"Body": release["Body"].read().decode(), "IfMatch": release["ETag"]}
    assert operations(s3("put_object", bucket, "models/digits/release.json", **unchanged)) == "allowed"
    assert operations(s3("put_object", bucket, "models/digits/versions/1/model.onnx", Body="{}")) in DENIED
    assert operations(s3("get_object", guarded_stack.data_bucket, "captures/a.jsonl.gz")) in DENIED
    assert operations(s3("list_objects_v2", guarded_stack.data_bucket, Prefix="training/")) in DENIED


@pytest.mark.parametrize("door", ["inference", "control"])
def test_no_function_can_change_its_own_rights(
    guarded_stack: Target, door: str, inference: Probe, control: Probe
) -> None:
    probe = {"inference": inference, "control": control}[door]
    client = guarded_stack.client("lambda")
    role = client.get_function_configuration(FunctionName=guarded_stack.functions[door])["Role"].rsplit("/", 1)[-1]
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    widen = {"RoleName": role, "PolicyName": "more", "PolicyDocument": document}
    assert probe(("iam", "put_role_policy", widen, None)) in DENIED


def test_a_bucket_answers_over_tls_only(guarded_stack: Target, guarded_url: str, inference: Probe) -> None:
    call = s3("get_object", guarded_stack.artifacts_bucket, "models/digits/release.json")
    assert inference(call) == "allowed"
    assert inference((*call[:3], guarded_url)) in DENIED
