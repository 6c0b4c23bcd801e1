"""The branch of the learning pipeline for what the function cannot hold: a template for real accounts alone."""

import json
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from functions.retraining.job.orders import BOOSTER
from infra import jobs, states, xgboost
from infra.config import DEV
from tests.infra.synthesis import synthesise
from tests.infra.templates import Stacks
from tests.infra.test_app import CFN_LINT
from tests.infra.test_learning import targets
from tests.infra.test_nag import acceptances, findings

type Document = dict[str, Any]

SAID = {
    "name": "20261121T101500Z-0123456789ab-prepare-abcdef1",
    "stage": "prepare",
    "request": "runs/fraud/1/jobs/request.json",
    "upload": "training/fraud/may.csv",
    "manifest": "runs/fraud/1/jobs/upload.manifest",
    "shards": "runs/fraud/1/jobs/shards",
    "output": "runs/fraud/1/jobs/prepare",
    "hyperparameters": {"stage": "prepare"},
}


@pytest.fixture(scope="module")
def assembly_with_jobs(tiny_assets: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("jobs") / "cdk.out"
    return synthesise(folder, stage="dev", assets=str(tiny_assets), training_jobs="true")


@pytest.fixture(scope="module")
def with_jobs(assembly_with_jobs: Path) -> Stacks:
    return Stacks.read(assembly_with_jobs, "dev")


@pytest.fixture(scope="module")
def machine(with_jobs: Stacks) -> dict[str, Document]:
    machines = with_jobs.all("StepFunctions::StateMachine").values()
    (found,) = [one for one in machines if "createTrainingJob" in one["DefinitionString"]]
    definition: Document = json.loads(found["DefinitionString"])
    states: dict[str, Document] = definition["States"]
    return states


def test_the_branch_is_there_and_every_state_is_reached(machine: dict[str, Document]) -> None:
    assert machine.keys() >= {states.ORDER, *states.JOBS}
    reached, open_ends = set(), [states.FIRST]
    while open_ends:
        name = open_ends.pop()
        if name not in reached:
            reached.add(name)
            open_ends += targets(machine[name])
    assert reached == machine.keys()
    for name in states.JOBS:
        assert machine[name]["Resource"].endswith(":states:::sagemaker:createTrainingJob.sync")
        assert machine[name]["Next"] == states.ORDER
        assert machine[name]["Catch"][-1]["Next"] == states.FAILED
        assert machine[name]["TimeoutSeconds"] > machine[name]["Parameters"]["StoppingCondition"]["MaxRuntimeInSeconds"]
    assert machine[states.ORDER]["ResultSelector"]["job.$"] == "$.Payload.job"


def test_without_it_nothing_of_it_is_deployed(dev: Stacks) -> None:
    assert "sagemaker" not in json.dumps([one.properties for one in dev.resources if "Learning" in str(one.name)])
    template = (dev.folder / "Lastmile-dev-Learning.template.json").read_text()
    assert "createTrainingJob" not in template
    assert "LASTMILE_TRAINING_JOBS" not in template


def test_the_stage_says_whether_there_are_jobs_and_the_command_line_knows_better() -> None:
    switched_on = replace(DEV, training_jobs=replace(DEV.training_jobs, on=True))
    assert not jobs.are_wanted(DEV, None, None)
    assert jobs.are_wanted(DEV, "true", None)
    assert jobs.are_wanted(switched_on, None, None)
    assert not jobs.are_wanted(switched_on, "false", None)
    assert not jobs.are_wanted(switched_on, None, ""), "the local AWS has no SageMaker"


@pytest.mark.parametrize("name", states.JOBS)
def test_sagemaker_accepts_the_definition_of_a_job(machine: dict[str, Document], name: str) -> None:
    asked = resolved(machine[name]["Parameters"], SAID)
    with mock_aws():
        client = boto3.client("sagemaker", region_name="eu-central-1")
        client.create_training_job(**asked)
        found = client.describe_training_job(TrainingJobName=asked["TrainingJobName"])
    assert found["TrainingJobName"] == f"lastmile-dev-{SAID['name']}-0"
    assert len(found["TrainingJobName"]) <= 63
    assert found["EnableNetworkIsolation"] is True
    assert found["OutputDataConfig"]["S3OutputPath"] == "s3://data/runs/fraud/1/jobs/prepare"
    assert found["ResourceConfig"]["VolumeKmsKeyId"] == found["OutputDataConfig"]["KmsKeyId"]


def test_our_job_runs_the_functions_own_files_in_lambdas_python(machine: dict[str, Document]) -> None:
    asked = resolved(machine["job"]["Parameters"], SAID)
    algorithm = asked["AlgorithmSpecification"]
    account = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"
    assert algorithm["TrainingImage"] == f"{account}/lastmile-dev/lambda/python:3.13-x86_64"
    (program,) = algorithm["ContainerArguments"]
    assert len(program) <= 256, "SageMaker takes no longer argument"
    assert program.endswith("python3 -m functions.retraining.job")
    channels = {one["ChannelName"]: one["DataSource"]["S3DataSource"] for one in asked["InputDataConfig"]}
    assert list(channels) == ["request", "upload", *jobs.CODE]
    assert channels["upload"]["S3DataType"] == "ManifestFile"
    assert channels["upload"]["S3Uri"] == "s3://data/runs/fraud/1/jobs/upload.manifest"
    assert asked["CheckpointConfig"] == {"S3Uri": "s3://data/runs/fraud/1/jobs/shards/"}


def test_several_machines_boost_each_on_its_own_part_of_the_rows(machine: dict[str, Document]) -> None:
    asked = resolved(machine["boost"]["Parameters"], SAID)
    frankfurt = xgboost.ACCOUNTS["eu-central-1"]
    image = f"{frankfurt}.dkr.ecr.eu-central-1.amazonaws.com/sagemaker-xgboost:3.0-5"
    assert asked["AlgorithmSpecification"] == {"TrainingImage": image, "TrainingInputMode": "File"}
    assert asked["ResourceConfig"]["InstanceCount"] == DEV.training_jobs.boost_instances
    assert asked["EnableInterContainerTrafficEncryption"] is True
    (channel,) = asked["InputDataConfig"]
    assert channel["DataSource"]["S3DataSource"]["S3DataDistributionType"] == "ShardedByS3Key"
    assert channel["ContentType"] == "text/csv"
    assert BOOSTER == "xgboost-model"


def test_the_state_machine_may_pass_the_jobs_role_to_sagemaker_alone(with_jobs: Stacks) -> None:
    statements = policy(with_jobs, "MachineRole")
    assert "sagemaker:AddTags" in statements["Jobs"]["Action"], "Step Functions tags the jobs that it starts"
    assert statements["Role"]["Action"] == "iam:PassRole"
    assert statements["Role"]["Resource"] == "${JobsRole.Arn}"
    assert statements["Role"]["Condition"] == {"StringEquals": {"iam:PassedToService": "sagemaker.amazonaws.com"}}
    assert statements["Jobs"]["Resource"].endswith(":training-job/lastmile-dev-*")
    assert statements["Ends"]["Resource"].endswith(":rule/StepFunctionsGetEventsForSageMakerTrainingJobsRule")


def test_a_job_reads_uploads_and_runs_and_writes_runs(with_jobs: Stacks) -> None:
    statements = policy(with_jobs, "JobsRole")
    assert statements["Read"]["Resource"] == ["${Data.Arn}/training/*", "${Data.Arn}/runs/*"]
    assert statements["Write"]["Resource"] == "${Data.Arn}/runs/*"
    assert statements["Image"]["Resource"].endswith(":repository/lastmile-dev/lambda/python")
    assert "kms:Encrypt" in statements["Key"]["Action"], "whoever names a key for a result must be able to use it"
    assert set(statements["XGBoost"]["Action"]) < set(statements["Image"]["Action"])
    image = f"arn:${{AWS::Partition}}:ecr:eu-central-1:{xgboost.ACCOUNTS['eu-central-1']}:repository/sagemaker-xgboost"
    assert image in statements["XGBoost"]["Resource"]
    trust = with_jobs.one("IAM::Role", "JobsRole")["AssumeRolePolicyDocument"]["Statement"]
    assert trust[0]["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}


def test_the_linters_are_content(assembly_with_jobs: Path) -> None:
    assert findings(assembly_with_jobs) == set()
    assert all(len(reason) > 40 for reason in acceptances(assembly_with_jobs).values())
    template = assembly_with_jobs / "Lastmile-dev-Learning.template.json"
    command = [str(CFN_LINT), "--ignore-checks", "W3005", "--", str(template)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def policy(stacks: Stacks, role: str) -> dict[str, Document]:
    policies = stacks.one("IAM::Role", role)["Policies"]
    return {one.get("Sid", ""): one for policy in policies for one in policy["PolicyDocument"]["Statement"]}


def resolved(asked: Any, said: Document) -> Any:
    """As Step Functions fills in paths, and CloudFormation what it knows, in Frankfurt."""
    if isinstance(asked, list):
        return [resolved(one, said) for one in asked]
    if isinstance(asked, str):
        return known(asked)
    if not isinstance(asked, dict):
        return asked
    found = {}
    for key, value in asked.items():
        name = key.removesuffix(".$")
        found[name] = path(known(value), said) if name != key else resolved(value, said)
    return found


def path(expression: str, said: Document) -> Any:
    if expression.startswith("$.job."):
        return said[expression.removeprefix("$.job.")]
    match = re.fullmatch(r"States\.Format\('(.*)', (.*)\)", expression)
    assert match is not None, expression
    values = [0 if one == "$$.State.RetryCount" else path(one, said) for one in match[2].split(", ")]
    return match[1].format(*values)


def known(text: str) -> str:
    values = {"Region": "eu-central-1", "AccountId": "123456789012", "URLSuffix": "amazonaws.com", "Partition": "aws"}
    for name, value in values.items():
        text = text.replace(f"${{AWS::{name}}}", value)
    text = re.sub(r"\$\{[^}]*XGBoostAccounts[^}]*\}", xgboost.ACCOUNTS["eu-central-1"], text)
    text = text.replace("${Data}", "data").replace("${JobsRole.Arn}", "arn:aws:iam::123456789012:role/job")
    return text.replace("${Key.Arn}", "arn:aws:kms:eu-central-1:123456789012:key/1")


def test_a_layer_that_is_replaced_stays_in_an_account(with_jobs: Stacks, dev: Stacks) -> None:
    """A rollback of functions wants it again, and a stack whose rollback fails is stuck:
    https://github.com/panther-labs/panther/issues/2578. In the local AWS it would only take room."""
    for stacks, policy in ((with_jobs, "Retain"), (dev, "Delete")):
        layers = stacks.attributes("Lambda::LayerVersion").values()
        assert {(one["DeletionPolicy"], one["UpdateReplacePolicy"]) for one in layers} == {("Delete", policy)}
