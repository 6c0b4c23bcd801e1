"""The stack of heavy models. It is never deployed by the local AWS; what can be deployed of it, moto takes here.

moto knows SageMaker's models, endpoint configurations and endpoints, and the scaling of variants. It knows no inference
components and no instance type newer than ml.g4dn: those are asserted on the template, which cfn-lint holds against
AWS's own schemas.
"""

import json
import os
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import boto3
import pytest
from moto import mock_aws

from cli.target import CHECKOUT
from infra.accelerators import INSTANCES, TRITON, TRITON_ACCOUNTS
from infra.config import DEV
from infra.heavy import HeavyVersion, Settings, asynchronous_name, chosen, component_name, endpoint_name
from infra.storage import PENDING_DAYS
from lastmile.heavy import names
from lastmile.heavy.packaging import PACKAGE
from lastmile.policies import Heavy
from tests.infra.synthesis import run
from tests.infra.templates import Stacks
from tests.infra.test_app import CFN_LINT
from tests.infra.test_nag import acceptances, findings

# Storage and the GPUs alone: the other stacks need assets, and a minute. Production has a network and other disks.
PROGRAM = """
from dataclasses import replace
from aws_cdk import App, Validations
from cdk_nag import AwsSolutionsChecks
from infra.app import add_gpu
from infra.config import choose
from infra.gpu import Gpu
from infra.heavy import HeavyVersion, Settings
from infra.storage import Storage

app = App(analytics_reporting=False, tree_metadata=False, stack_traces=False)
dev, prod = choose("dev"), choose("prod")
add_gpu(app, stage=dev, storage=Storage(app, stage=dev))
version = HeavyVersion("tickets", 1, Settings(instance="ml.p3.2xlarge"))
inside = replace(prod, heavy_subnets=("subnet-01234567", "subnet-89abcdef"), heavy_security_groups=("sg-01234567",))
Gpu(app, stage=inside, storage=Storage(app, stage=prod), versions=[version])
Validations.of(app).add_plugins(AwsSolutionsChecks(app, verbose=True))
app.synth()
"""
SETTINGS = {"instance": "ml.g4dn.xlarge", "max_instances": 3, "concurrency": 5.0, "memory_mb": 2048, "max_batch": 16}
VERSIONS = {"tickets:3": SETTINGS, "tickets:4": {**SETTINGS, "max_instances": 1}}
REGION = "eu-west-1"
MADE = ("Model", "EndpointConfig", "Endpoint")
PSEUDO = {"AWS::Partition", "AWS::Region", "AWS::AccountId", "AWS::URLSuffix"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("gpu") / "cdk.out"
    context = {"heavy": ",".join(VERSIONS), "heavy_settings": json.dumps(VERSIONS)}
    done = run(out, "-c", PROGRAM, **context)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def gpu(folder: Path) -> Stacks:
    return stack(folder, "dev")


@pytest.fixture(scope="module")
def elsewhere(folder: Path) -> Stacks:
    return stack(folder, "prod")


def stack(folder: Path, stage: str) -> Stacks:
    """What there is of one stage."""
    alone = folder.with_name(stage)
    alone.mkdir(exist_ok=True)
    for file in folder.glob(f"Lastmile-{stage}-*.template.json"):
        shutil.copy(file, alone)
    return Stacks.read(alone, stage)


def test_cfn_lint_is_content(folder: Path) -> None:
    templates = [str(file) for file in folder.glob("*-Gpu.template.json")]
    assert len(templates) == 2
    done = subprocess.run([str(CFN_LINT), "--", *templates], capture_output=True, text=True, check=False)
    assert (done.stdout, done.returncode) == ("", 0)


def test_nothing_is_found_but_what_is_accepted(folder: Path) -> None:
    assert findings(folder) == set()
    accepted = {rule for (place, rule) in acceptances(folder) if place == "Executing/Role"}
    assert "IAM5[Resource::*]" in accepted
    assert all("models" not in rule for rule in accepted), "packages are named one by one"


def test_names_are_those_that_the_library_asks_for() -> None:
    for model in ("tickets", "m" * 63):
        version = HeavyVersion(model, 12, Settings())
        assert endpoint_name(DEV) == names.endpoint("dev")
        assert component_name(DEV, version) == names.component("dev", model, 12)
        assert asynchronous_name(DEV, version) == names.asynchronous("dev", model, 12)
        assert version.package == f"models/{model}/versions/12/{PACKAGE}"


def test_defaults_are_those_of_the_library() -> None:
    known = Heavy(mode="always")
    assert {field.name: field.default for field in fields(Settings)} == {
        field.name: getattr(known, field.name) for field in fields(Settings)
    }


def test_every_version_has_a_component_with_a_gpu_of_its_own(gpu: Stacks) -> None:
    components = gpu.all("SageMaker::InferenceComponent")
    assert {one["InferenceComponentName"] for one in components.values()} == {
        "lastmile-dev-tickets-v3",
        "lastmile-dev-tickets-v4",
    }
    for one in components.values():
        assert (one["EndpointName"], one["VariantName"]) == ("lastmile-dev-heavy", "AllTraffic")
        assert one["RuntimeConfig"] == {"CopyCount": 1}
        assert one["Specification"]["ComputeResourceRequirements"] == {
            "NumberOfAcceleratorDevicesRequired": 1,
            "MinMemoryRequiredInMb": 2048,
        }
    for attributes in gpu.attributes("SageMaker::InferenceComponent").values():
        assert attributes["DependsOn"] == ["Endpoint"]


def test_the_endpoint_goes_down_to_no_instance_and_up_to_what_all_may_have(gpu: Stacks) -> None:
    config = gpu.one("SageMaker::EndpointConfig", "EndpointConfig")
    (variant,) = config["ProductionVariants"]
    assert variant["ManagedInstanceScaling"] == {"Status": "ENABLED", "MinInstanceCount": 0, "MaxInstanceCount": 4}
    assert (variant["InstanceType"], variant["InitialInstanceCount"]) == ("ml.g4dn.xlarge", 1)
    assert variant["InferenceAmiVersion"].startswith("al2-ami-sagemaker-inference-gpu")
    assert "ModelName" not in variant, "components bring their models"
    assert config["EnableNetworkIsolation"] is True


def test_copies_follow_the_requests_at_once_and_the_first_request_wakes_one(gpu: Stacks) -> None:
    targets = {one["ResourceId"]: one for one in gpu.all("ApplicationAutoScaling::ScalableTarget").values()}
    copies = targets["inference-component/lastmile-dev-tickets-v3"]
    assert copies["ScalableDimension"] == "sagemaker:inference-component:DesiredCopyCount"
    assert (copies["MinCapacity"], copies["MaxCapacity"]) == (0, 3)
    tracked = gpu.one("ApplicationAutoScaling::ScalingPolicy", "Copiesticketsv3Track")
    assert tracked["TargetTrackingScalingPolicyConfiguration"]["TargetValue"] == 5.0
    assert tracked["TargetTrackingScalingPolicyConfiguration"]["PredefinedMetricSpecification"] == {
        "PredefinedMetricType": "SageMakerInferenceComponentConcurrentRequestsPerCopyHighResolution"
    }
    alarm = gpu.one("CloudWatch::Alarm", "Copiesticketsv3Asked")
    assert (alarm["MetricName"], alarm["Threshold"]) == ("NoCapacityInvocationFailures", 1)
    assert alarm["Dimensions"] == [{"Name": "InferenceComponentName", "Value": "lastmile-dev-tickets-v3"}]
    assert alarm["AlarmActions"] == ["${Copiesticketsv3Wake}"]
    woken = gpu.one("ApplicationAutoScaling::ScalingPolicy", "Copiesticketsv3Wake")
    assert woken["StepScalingPolicyConfiguration"]["StepAdjustments"] == [
        {"MetricIntervalLowerBound": 0, "ScalingAdjustment": 1}
    ]


def test_what_comes_later_has_an_endpoint_that_its_queue_wakes(gpu: Stacks) -> None:
    config = gpu.one("SageMaker::EndpointConfig", "Asyncticketsv3Config")
    output = config["AsyncInferenceConfig"]["OutputConfig"]
    assert (output["S3OutputPath"], output["S3FailurePath"]) == (
        "s3://${Data}/pending/answers",
        "s3://${Data}/pending/failures",
    )
    assert output["KmsKeyId"] == "${Key.Arn}"
    assert output["NotificationConfig"] == {"SuccessTopic": "${Succeeded}", "ErrorTopic": "${Failed}"}
    assert config["AsyncInferenceConfig"]["ClientConfig"] == {"MaxConcurrentInvocationsPerInstance": 16}
    assert PENDING_DAYS > 1, "an answer outlives the night"
    tracked = gpu.one("ApplicationAutoScaling::ScalingPolicy", "Asyncticketsv3InstancesTrack")
    metric = tracked["TargetTrackingScalingPolicyConfiguration"]["CustomizedMetricSpecification"]
    assert metric["MetricName"] == "ApproximateBacklogSizePerInstance"
    alarm = gpu.one("CloudWatch::Alarm", "Asyncticketsv3InstancesAsked")
    assert alarm["MetricName"] == "HasBacklogWithoutCapacity"
    assert alarm["Dimensions"] == [{"Name": "EndpointName", "Value": "lastmile-dev-tickets-v3-async"}]


def test_endpoints_are_called_what_the_library_asks_for(gpu: Stacks) -> None:
    called = {one["EndpointName"] for one in gpu.all("SageMaker::Endpoint").values()}
    assert called == {names.endpoint("dev"), *(names.asynchronous("dev", "tickets", number) for number in (3, 4))}


def test_failures_ring(gpu: Stacks) -> None:
    rung = {
        one["MetricName"] for one in gpu.all("CloudWatch::Alarm").values() if "${AlarmsTopic}" in one["AlarmActions"]
    }
    assert rung == {"Invocation5XXErrors", "InvocationFailures", "ExpiredRequests"}


def test_the_container_is_awss_own_and_loads_the_package(gpu: Stacks) -> None:
    container = gpu.one("SageMaker::Model", "Modelticketsv3")["PrimaryContainer"]
    assert str(container["Image"]).endswith(f".dkr.ecr.${{AWS::Region}}.${{AWS::URLSuffix}}/{TRITON}")
    assert container["ModelDataUrl"] == "s3://${Artifacts}/models/tickets/versions/3/model.tar.gz"
    assert container["Environment"] == {
        "SAGEMAKER_TRITON_DEFAULT_MODEL_NAME": "tickets", "SAGEMAKER_TRITON_LOG_VERBOSE": "false"
    }  # fmt: skip
    assert TRITON_ACCOUNTS["us-east-1"] == TRITON_ACCOUNTS["eu-west-1"] == "763104351884"
    assert all(len(account) == 12 for account in TRITON_ACCOUNTS.values())


def test_sagemaker_reads_these_packages_and_writes_answers_and_nothing_else(gpu: Stacks) -> None:
    role = gpu.one("IAM::Role", "ExecutingRole")
    (policy,) = role["Policies"]
    statements = {one["Sid"]: one for one in policy["PolicyDocument"]["Statement"]}
    assert statements["Packages"]["Resource"] == [
        f"${{Artifacts.Arn}}/models/tickets/versions/{number}/model.tar.gz" for number in (3, 4)
    ]
    assert statements["Asked"]["Resource"] == "${Data.Arn}/pending/*"
    assert statements["Answers"]["Resource"] == ["${Data.Arn}/pending/answers/*", "${Data.Arn}/pending/failures/*"]
    assert statements["Topics"]["Resource"] == ["${Succeeded}", "${Failed}"]
    unlimited = {sid for sid, one in statements.items() if one["Resource"] == "*"}
    assert unlimited == {"Login", "Metrics"}
    assert "ManagedPolicyArns" not in role
    trusted = role["AssumeRolePolicyDocument"]["Statement"][0]
    assert trusted["Condition"] == {"StringEquals": {"aws:SourceAccount": "${AWS::AccountId}"}}


def test_topics_are_encrypted_and_take_tls_only(gpu: Stacks) -> None:
    topics = gpu.all("SNS::Topic")
    assert {"Succeeded", "Failed"} <= topics.keys()
    assert {topics[name]["KmsMasterKeyId"] for name in ("Succeeded", "Failed")} == {"${Key.Arn}"}


def test_a_key_is_given_for_the_disks_that_take_one(gpu: Stacks, elsewhere: Stacks) -> None:
    assert all("KmsKeyId" not in one for one in gpu.all("SageMaker::EndpointConfig").values())
    assert all(one["KmsKeyId"] == "${Key.Arn}" for one in elsewhere.all("SageMaker::EndpointConfig").values())


def test_a_network_of_ones_own_is_used_when_it_is_named(gpu: Stacks, elsewhere: Stacks) -> None:
    inside = {"Subnets": ["subnet-01234567", "subnet-89abcdef"], "SecurityGroupIds": ["sg-01234567"]}
    assert elsewhere.one("SageMaker::Model")["VpcConfig"] == inside
    assert elsewhere.one("SageMaker::EndpointConfig", "EndpointConfig")["VpcConfig"] == inside
    assert all("VpcConfig" not in one for one in gpu.all("SageMaker::Model").values())


def test_the_price_is_told(gpu: Stacks) -> None:
    told = gpu.outputs["Lastmile-dev-Gpu"]
    assert told["HeavyVersions"] == "tickets-v3,tickets-v4"
    assert "ml.g4dn.xlarge 0.736 USD an hour" in told["HeavyCost"]
    assert "at most 8 (5.89 USD an hour)" in told["HeavyCost"]
    assert "no instance when nobody asks" in told["HeavyCost"]


def test_synthesising_says_the_price_too(folder: Path, gpu: Stacks) -> None:
    notes = json.loads((folder / "Lastmile-dev-Gpu.metadata.json").read_text())
    said = [note["data"] for of_one in notes.values() for note in of_one if note["type"] == "aws:cdk:info"]
    assert said == [gpu.outputs["Lastmile-dev-Gpu"]["HeavyCost"]]


def test_prices_are_those_that_lastmile_cost_counts_with() -> None:
    known = {row["name"]: row["hour"] for row in tomllib.loads((CHECKOUT / "cli/prices.toml").read_text())["instance"]}
    shared = known.keys() & INSTANCES.keys()
    assert shared >= {"ml.g4dn.xlarge", "ml.g5.xlarge"}
    assert {name: INSTANCES[name].usd_per_hour for name in shared} == {name: known[name] for name in shared}


def test_settings_come_from_the_spec_or_from_the_context(tmp_path: Path) -> None:
    (tmp_path / "tickets").mkdir()
    (tmp_path / "tickets/spec.toml").write_text('[heavy]\nmode = "always"\ninstance = "ml.g6.xlarge"\n')
    (declared,) = chosen("tickets:1", None, models=tmp_path)
    assert (declared.settings.instance, declared.settings.max_instances) == ("ml.g6.xlarge", 2)
    (given,) = chosen("tickets:1", '{"tickets:1": {"instance": "ml.g5.12xlarge"}}', models=tmp_path)
    assert (given.settings.instance, given.most_copies) == ("ml.g5.12xlarge", 8)


@pytest.mark.parametrize(
    ("named", "settings", "sentence"),
    [
        (None, None, "versions are named like tickets:3"),
        ("tickets", None, "'tickets' is none"),
        ("tickets:0", None, "'tickets:0' is none"),
        ("tickets:1", None, "spec.toml is missing: give its settings with -c heavy_settings"),
        ("tickets:1", "{", "heavy_settings is no JSON"),
        ("tickets:1", "[]", "heavy_settings must be like"),
        ("tickets:1", '{"tickets:1": {"instance": "ml.x9.huge"}}', "knows no instance 'ml.x9.huge'"),
        ("a:1,b:1", '{"a:1": {"instance": "ml.g5.xlarge"}, "b:1": {"instance": "ml.g6.xlarge"}}', "share one endpoint"),
        ("a:1,a:1", '{"a:1": {"instance": "ml.g5.xlarge"}}', "named twice"),
    ],
)
def test_what_cannot_be_is_refused_in_one_sentence(
    tmp_path: Path, named: str | None, settings: str | None, sentence: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        chosen(named, settings, models=tmp_path)
    assert sentence in str(caught.value.code)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    with mock_aws():
        yield


KNOWN = ("IAM::Role", "KMS::Key", "S3::Bucket", "SNS::Topic", *(f"SageMaker::{kind}" for kind in MADE))
NOT_IN_MOTO = {"AWS::ApplicationAutoScaling::ScalingPolicy", "AWS::SageMaker::InferenceComponent"}


def test_moto_deploys_the_endpoints_and_scales_what_it_can(folder: Path, aws: None) -> None:
    left_out = deployed(folder, "Storage") | deployed(folder, "Gpu")
    assert left_out >= NOT_IN_MOTO, "moto has learnt more: deploy that too"
    client = boto3.client("sagemaker")
    made = [client.describe_endpoint(EndpointName=one["EndpointName"]) for one in client.list_endpoints()["Endpoints"]]
    assert [one["EndpointStatus"] for one in made] == ["InService"] * 3
    configs = [client.describe_endpoint_config(EndpointConfigName=one["EndpointConfigName"]) for one in made]
    assert {one["ProductionVariants"][0]["InstanceType"] for one in configs} == {"ml.g4dn.xlarge"}
    bucket = next(one["Name"] for one in boto3.client("s3").list_buckets()["Buckets"] if "data" in one["Name"].lower())
    outputs = [one.get("AsyncInferenceConfig", {}).get("OutputConfig") for one in configs]
    places = [output["S3OutputPath"] for output in outputs if output is not None]
    assert places == [f"s3://{bucket}/pending/answers"] * 2
    models = [client.describe_model(ModelName=one["ModelName"]) for one in client.list_models()["Models"]]
    images = {one["PrimaryContainer"]["Image"] for one in models}
    assert images == {f"763104351884.dkr.ecr.{REGION}.amazonaws.com/{TRITON}"}
    assert sorted(one["PrimaryContainer"]["ModelDataUrl"].partition("/models/")[2] for one in models) == [
        f"tickets/versions/{number}/model.tar.gz" for number in (3, 4)
    ]


def test_moto_takes_the_scaling_of_what_comes_later(folder: Path, aws: None) -> None:
    """Its CloudFormation knows no Application Auto Scaling, so its API gets what the template says."""
    deployed(folder, "Storage")
    deployed(folder, "Gpu")
    client = boto3.client("application-autoscaling")
    resources = json.loads((folder / "Lastmile-dev-Gpu.template.json").read_text())["Resources"]
    targets = {
        key: entry["Properties"]
        for key, entry in resources.items()
        if entry["Type"] == "AWS::ApplicationAutoScaling::ScalableTarget"
        and entry["Properties"]["ScalableDimension"] == "sagemaker:variant:DesiredInstanceCount"
    }
    for properties in targets.values():
        tags = {one["Key"]: one["Value"] for one in properties["Tags"]}  # a list here, and a map in the API
        client.register_scalable_target(**properties | {"Tags": tags})
    for entry in resources.values():
        properties = dict(entry.get("Properties", {}))
        target = targets.get(properties.pop("ScalingTargetId", {}).get("Ref", ""))
        if entry["Type"] == "AWS::ApplicationAutoScaling::ScalingPolicy" and target is not None:
            where = {key: target[key] for key in ("ServiceNamespace", "ResourceId", "ScalableDimension")}
            client.put_scaling_policy(**where, **properties)
    found = client.describe_scalable_targets(ServiceNamespace="sagemaker")["ScalableTargets"]
    assert {one["ResourceId"]: (one["MinCapacity"], one["MaxCapacity"]) for one in found} == {
        "endpoint/lastmile-dev-tickets-v3-async/variant/AllTraffic": (0, 3),
        "endpoint/lastmile-dev-tickets-v4-async/variant/AllTraffic": (0, 1),
    }
    policies = client.describe_scaling_policies(ServiceNamespace="sagemaker")["ScalingPolicies"]
    assert sorted(one["PolicyType"] for one in policies) == ["StepScaling"] * 2 + ["TargetTrackingScaling"] * 2


def deployed(folder: Path, name: str) -> set[str]:
    """Deploy of a stack what moto's CloudFormation knows; the types of all the rest."""
    template = json.loads((folder / f"Lastmile-dev-{name}.template.json").read_text())
    kinds = {key: entry["Type"] for key, entry in template["Resources"].items()}
    kept = {key for key, kind in kinds.items() if kind.removeprefix("AWS::") in KNOWN}
    resources = {key: template["Resources"][key] for key in kept}
    model = next((key for key in kept if kinds[key] == "AWS::SageMaker::Model"), "")
    for entry in resources.values():
        entry.pop("DependsOn", None)
        for variant in entry["Properties"].get("ProductionVariants", []):
            # Components bring their models; moto knows of none, and no variant without a model.
            variant.setdefault("ModelName", {"Fn::GetAtt": [model, "ModelName"]})
    outputs = {key: one for key, one in template["Outputs"].items() if not names_of(one) - kept - PSEUDO}
    for part in ("Parameters", "Rules"):  # of the bootstrapping, which nothing here needs
        template.pop(part, None)
    boto3.client("cloudformation").create_stack(
        StackName=f"Lastmile-dev-{name}",
        TemplateBody=json.dumps(template | {"Resources": resources, "Outputs": outputs}),
        Capabilities=["CAPABILITY_IAM"],
    )
    return set(kinds.values()) - {kinds[key] for key in kept}


def names_of(value: object) -> set[str]:
    """The resources that an expression refers to."""
    if isinstance(value, list):
        return {name for entry in value for name in names_of(entry)}
    if not isinstance(value, dict):
        return set()
    mine = {value["Ref"]} if "Ref" in value else set()
    if "Fn::GetAtt" in value:
        mine = {value["Fn::GetAtt"][0]}
    return mine | {name for entry in value.values() for name in names_of(entry)}
