"""Learning with no more rights than its functions' roles have, against an AWS that enforces IAM."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.learning import ApiLearning
from cli.target import Target
from cli.training import changes, upload
from tests.e2e.test_permissions import DENIED, Call, Probes, probes_of, s3
from tests.e2e.valves import ask, declared, rows

OF_A_MODEL = ("release.json", "versions/1/manifest.json", "versions/1/model.onnx")


@pytest.fixture(scope="module")
def learnt(guarded_stack: Target, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The run of an upload, from bucket to promotion."""
    folder = tmp_path_factory.mktemp("guarded")
    declared(guarded_stack, folder, "guarded")
    run = upload(guarded_stack, "guarded", rows(folder, seed=1))
    return [*changes(ApiLearning(guarded_stack), "guarded", run)][-1]


@pytest.fixture(scope="module")
def retraining(guarded_stack: Target) -> Iterator[Probes]:
    yield from probes_of(guarded_stack, "retraining")


def test_an_upload_becomes_a_version_with_these_roles(guarded_stack: Target, learnt: dict[str, Any]) -> None:
    assert learnt["state"] == "promoted", learnt["problem"]
    assert ask(guarded_stack, guarded_stack.token(["infer"]), "guarded").status == 200
    code = guarded_stack.registry().manifest("guarded", 1).lineage["code"]
    assert code.keys() == {"retraining", "onnx-layer", "training-layer"}


def test_what_is_refused_is_quarantined_and_reported_with_these_roles(guarded_stack: Target, tmp_path: Path) -> None:
    declared(guarded_stack, tmp_path, "guarded")
    half = tmp_path / "half.csv"
    lines = rows(tmp_path, seed=2).read_text().splitlines()
    half.write_text("\n".join(line if place % 2 else f"{line}?" for place, line in enumerate(lines, 1)) + "\n")
    run = upload(guarded_stack, "guarded", half)
    record = [*changes(ApiLearning(guarded_stack), "guarded", run)][-1]
    assert (record["state"], record["problem"]["step"]) == ("refused", "validate")
    found = guarded_stack.client("s3").list_objects_v2(Bucket=guarded_stack.data_bucket, Prefix="quarantine/training/")
    assert [entry["Key"] for entry in found["Contents"]] == [f"quarantine/training/guarded/{run}.jsonl"]


def test_learning_reads_what_it_learns_from_and_is_judged_by(
    guarded_stack: Target, learnt: dict[str, Any], retraining: Probes
) -> None:
    """Captures too: a prediction that was delivered twice is counted once. Who was right is none of its business."""
    data, artifacts = guarded_stack.data_bucket, guarded_stack.artifacts_bucket
    mine = [s3("get_object", artifacts, f"models/guarded/{name}") for name in OF_A_MODEL]
    mine.append(s3("get_object", data, learnt["upload"]["key"]))
    others: list[Call] = []
    for place, calls in {
        "captures/model=guarded": mine,
        "feedback/model=guarded": others,
        "decisions/guarded": others,
        "batches/guarded": others,
        "pending/guarded": others,
    }.items():
        guarded_stack.client("s3").put_object(Bucket=data, Key=f"{place}/rows", Body=b"")
        calls.append(s3("get_object", data, f"{place}/rows"))
    assert set(retraining(mine)) == {"allowed"}
    assert set(retraining(others)) <= DENIED


def test_learning_forges_no_evidence_and_deletes_nothing(
    guarded_stack: Target, learnt: dict[str, Any], retraining: Probes
) -> None:
    """What the judge and the watch look at is not written by what is judged."""
    data, artifacts = guarded_stack.data_bucket, guarded_stack.artifacts_bucket
    forged = [
        learnt["upload"]["key"],
        "captures/model=guarded/dt=2026-01-01/hour=00/forged.jsonl.gz",
        "profiles/model=guarded/version=1/dt=2026-01-01/hour=00/forged.json",
        "feedback/model=guarded/dt=2026-01-01/forged.json",
        "quarantine/captures/dt=2026-01-01/forged.jsonl",
        "elsewhere.json",
    ]
    calls = [
        *(s3("put_object", data, key, Body="{}") for key in forged),
        s3("put_object", artifacts, "elsewhere.json", Body="{}"),
        s3("delete_object", data, learnt["upload"]["key"]),
        *(s3("delete_object", artifacts, f"models/guarded/{name}") for name in OF_A_MODEL),
    ]
    outcomes = retraining(calls)
    assert [call[2]["Key"] for call, outcome in zip(calls, outcomes, strict=True) if outcome not in DENIED] == []


def test_learning_starts_and_stops_nothing_and_cannot_change_its_own_rights(
    guarded_stack: Target, learnt: dict[str, Any], retraining: Probes
) -> None:
    machine = guarded_stack.learning_state_machine_arn
    found = guarded_stack.client("stepfunctions").list_executions(stateMachineArn=machine)
    execution = found["executions"][0]["executionArn"]
    client = guarded_stack.client("lambda")
    role = client.get_function_configuration(FunctionName=guarded_stack.functions["retraining"])["Role"]
    document = json.dumps({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]})
    widen = {"RoleName": role.rsplit("/", 1)[-1], "PolicyName": "more", "PolicyDocument": document}
    allowed, *denied = retraining(
        [
            ("stepfunctions", "describe_execution", {"executionArn": execution}, None),
            ("stepfunctions", "start_execution", {"stateMachineArn": machine, "input": "{}"}, None),
            ("stepfunctions", "stop_execution", {"executionArn": execution}, None),
            ("lambda", "invoke", {"FunctionName": guarded_stack.functions["control"], "Payload": "{}"}, None),
            ("sqs", "list_queues", {}, None),
            ("iam", "put_role_policy", widen, None),
        ]
    )
    assert allowed == "allowed"
    assert set(denied) <= DENIED
