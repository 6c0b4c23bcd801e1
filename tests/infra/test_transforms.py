"""Transform jobs for the heavy sides of batches: a template for real accounts alone; moto takes what it asks for."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.batch.environment import Environment
from functions.batch.transforms import Transform
from infra import batch_states
from infra.accelerators import INSTANCES, TRITON
from lastmile.batches import Batch
from lastmile.manifest import Artefact, Manifest
from lastmile.store import Store
from lastmile.tensors import Signature, TensorSpec
from tests.infra.synthesis import run
from tests.infra.templates import Stacks
from tests.infra.test_app import CFN_LINT
from tests.infra.test_batch import statements, unreached
from tests.infra.test_gpu import stack
from tests.infra.test_nag import acceptances, findings

PROGRAM = """
from dataclasses import replace
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from infra.assets import Assets
from infra.batch import Batch
from infra.config import choose
from infra.layers import Layers
from infra.storage import Storage

app = App(analytics_reporting=False, tree_metadata=False, stack_traces=False)
stage = replace(choose("dev"), heavy_subnets=("subnet-01234567",), heavy_security_groups=("sg-01234567",))
assets = Assets(app.node.try_get_context("assets"), stage.architecture)
layers, storage = Layers(app, stage=stage, assets=assets), Storage(app, stage=stage)
Batch(app, stage=stage, assets=assets, layers=layers, storage=storage, transforms=True)
Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
app.synth()
"""
KNOWN = {"AWS::Region": "eu-central-1", "AWS::URLSuffix": "amazonaws.com", "Data": "data", "AWS::Partition": "aws",
         "TransformsExecutingRole.Arn": "arn:aws:iam::123456789012:role/transforms",
         "Key.Arn": "arn:aws:kms:eu-central-1:123456789012:key/1"}  # fmt: skip

type Document = dict[str, Any]


@pytest.fixture(scope="module")
def folder(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("transforms") / "cdk.out"
    done = run(out, "-c", PROGRAM, assets=str(tiny_assets))
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def stacks(folder: Path) -> Stacks:
    return stack(folder, "dev")


def definition(found: Stacks) -> Document:
    states: Document = json.loads(found.one("StepFunctions::StateMachine", "BatchMachine")["DefinitionString"])
    return states


def order(folder: Path, instance: str) -> Document:
    """What the step before it says, of a version that asks for this instance."""
    number = TensorSpec("x", "FP32", (-1, 2))
    heavy = {"max_batch": 16, "concurrency": 5.0, "instance": instance, "max_instances": 3}
    facts: Document = {"created_at": "2026-11-21T10:00:00Z", "metrics": {}, "lineage": {},
                       "compression": {}}  # fmt: skip
    manifest = Manifest(
        model="tickets", version=7, artefact=Artefact("model.tar.gz", "0" * 64, 9),
        signature=Signature((number,), (number,)), policy={"heavy": heavy}, **facts
    )  # fmt: skip
    batch = Batch(id="0123456789abcdef", model="tickets", version=7, input="s3://data/batches/x.csv", etag="e", size=1,
                  output="s3://data/batches/out", format="csv", keep=(), decides=False, batch_rows=None,
                  part_rows=None, prefix="01K", created_at=0.0, actor="me")  # fmt: skip
    environ = stack(folder, "dev").one("Lambda::Function", "BatchFunction")["Environment"]["Variables"]
    given = {"LASTMILE_ARTIFACTS": "s3://artifacts", "LASTMILE_DATA": "s3://data", **environ}
    environment = Environment.from_env({name: filled(value) for name, value in given.items()})
    assert environment.transforms is not None
    transform = Transform(batch, manifest, Store.open(folder.as_uri(), environ={}))
    return transform.order(
        "0123456789abcdef-1", stage="dev", artifacts="s3://artifacts", bucket="data", machines=environment.transforms
    )


def filled(text: str) -> str:
    for name, value in KNOWN.items():
        text = text.replace(f"${{{name}}}", value)
    return re.sub(r"\$\{TransformsTritonAccounts[^}]*\}", "763104351884", text)


def resolved(asked: Any, said: Document) -> Any:
    """As Step Functions fills in paths, and CloudFormation what it knows."""
    if isinstance(asked, list):
        return [resolved(one, said) for one in asked]
    if not isinstance(asked, dict):
        return filled(asked) if isinstance(asked, str) else asked
    return {
        key.removesuffix(".$"): path(value, said) if key.endswith(".$") else resolved(value, said)
        for key, value in asked.items()
    }


def path(expression: str, said: Document) -> Any:
    if expression.startswith("States.Format"):
        return f"{said['name']}-0"
    return said[expression.removeprefix("$.asking.order.")]


def test_cfn_lint_is_content(folder: Path) -> None:
    template = folder / "Lastmile-dev-Batch.template.json"
    command = [str(CFN_LINT), "--ignore-checks", "W3005", "--", str(template)]  # as in test_app
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_nothing_is_found_but_what_is_accepted(folder: Path) -> None:
    assert findings(folder) == set()
    accepted = {rule for (place, rule) in acceptances(folder) if place == "BatchMachineRole"}
    assert {rule.partition("<AWS::AccountId>:")[2] for rule in accepted if "sagemaker" in rule} == {
        f"{kind}/lastmile-dev-*]" for kind in ("model", "transform-job")
    }


def test_every_state_of_the_branch_is_reached_and_a_failed_job_is_settled_too(stacks: Stacks) -> None:
    machine = definition(stacks)
    states = machine["States"]
    assert unreached(machine) == set()
    assert unreached(states["settle"]["ItemProcessor"]) == set()
    job = states[batch_states.TRANSFORM]
    assert job["Resource"] == "arn:${AWS::Partition}:states:::sagemaker:createTransformJob.sync"
    assert job["Next"] == job["Catch"][0]["Next"] == batch_states.FORGET
    assert all(one["ErrorEquals"] != ["States.ALL"] for one in job["Retry"]), "a failed job is not done again at once"
    assert states[batch_states.FORGET]["Next"] == states[batch_states.FORGET]["Catch"][0]["Next"] == "collect"
    assert states["answered"]["Choices"] == [{"Variable": "$.error", "IsPresent": True, "Next": "broken off"}]


def test_without_it_nothing_of_it_is_deployed(dev: Stacks) -> None:
    template = (dev.folder / "Lastmile-dev-Batch.template.json").read_text()
    assert "TransformJob" not in template
    assert "LASTMILE_TRANSFORMS" not in template


@pytest.mark.parametrize("instance", ["ml.g4dn.xlarge", "ml.g6.xlarge", "ml.p3.2xlarge"])
def test_sagemaker_accepts_the_model_and_the_job(folder: Path, stacks: Stacks, instance: str) -> None:
    states, said = definition(stacks)["States"], order(folder, instance)
    model = resolved(states[batch_states.MODEL]["Parameters"], said)
    job = resolved(states[batch_states.TRANSFORM]["Parameters"], said)
    with mock_aws():
        client = boto3.client("sagemaker", region_name="eu-central-1")
        client.create_model(**model)
        client.create_transform_job(**job)
        found = client.describe_transform_job(TransformJobName=job["TransformJobName"])
    assert len(job["TransformJobName"]) <= 63
    assert job["ModelName"] == model["ModelName"]
    assert model["EnableNetworkIsolation"] is True
    assert model["PrimaryContainer"] == {
        "Image": f"763104351884.dkr.ecr.eu-central-1.amazonaws.com/{TRITON}",
        "ModelDataUrl": "s3://artifacts/models/tickets/versions/7/model.tar.gz",
        "Environment": {"SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "tickets", "SAGEMAKER_TRITON_LOG_VERBOSE": "false"},
    }
    assert found["TransformInput"]["SplitType"] == "None"
    place = "pending/batches/tickets/0123456789abcdef"
    assert found["TransformInput"]["DataSource"]["S3DataSource"] == {
        "S3DataType": "S3Prefix", "S3Uri": f"s3://data/{place}/asked/0123456789abcdef-1/"
    }  # fmt: skip
    assert found["TransformOutput"]["S3OutputPath"] == f"s3://data/{place}/answers"
    assert found["MaxConcurrentTransforms"] * found["MaxPayloadInMB"] <= 100
    assert found["TransformResources"]["InstanceCount"] == 3
    assert ("VolumeKmsKeyId" in found["TransformResources"]) is not INSTANCES[instance].own_disk
    assert job["TransformResources"].get("TransformAmiVersion") == INSTANCES[instance].batch_image
    assert (INSTANCES[instance].batch_image is not None) is (instance == "ml.g6.xlarge")


def test_the_job_reads_requests_and_packages_and_writes_answers_and_nothing_else(stacks: Stacks) -> None:
    found = {one["Sid"]: one for one in statements(stacks, "TransformsExecutingRole")}
    assert found["Packages"]["Resource"] == "${Artifacts.Arn}/models/*/versions/*/model.tar.gz"
    assert found["Asked"]["Resource"] == "${Data.Arn}/pending/batches/*/asked/*"
    assert found["Answers"]["Resource"] == "${Data.Arn}/pending/batches/*/answers/*"
    assert found["Logs"]["Resource"].endswith(":log-group:/aws/sagemaker/TransformJobs:*")
    assert (found["Encrypt"]["Action"], found["Encrypt"]["Resource"]) == ("kms:Encrypt", "${Key.Arn}")
    assert "Topics" not in found


def test_the_state_machine_makes_models_and_jobs_of_its_stage(stacks: Stacks) -> None:
    found = {one["Sid"]: one for one in statements(stacks, "BatchMachineRole") if "Sid" in one}
    place = "arn:${AWS::Partition}:sagemaker:${AWS::Region}:${AWS::AccountId}"
    assert found["Models"]["Resource"] == f"{place}:model/lastmile-dev-*"
    assert found["Jobs"]["Resource"] == f"{place}:transform-job/lastmile-dev-*"
    assert "sagemaker:AddTags" in found["Jobs"]["Action"], "Step Functions tags the jobs that it starts"
    assert found["Role"]["Resource"] == "${TransformsExecutingRole.Arn}"


def test_containers_may_be_put_into_a_network(stacks: Stacks) -> None:
    states = definition(stacks)["States"]
    assert states[batch_states.MODEL]["Parameters"]["VpcConfig"] == {
        "Subnets": ["subnet-01234567"], "SecurityGroupIds": ["sg-01234567"]
    }  # fmt: skip
