from typing import Any

import pytest

from tests.infra.templates import Stacks

FUNCTIONS = ("inference", "control")  # the others are made by the same construct


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_named_after_its_folder(stacks: Stacks, name: str) -> None:
    function = lambda_function(stacks, name)
    assert function["FunctionName"] == f"lastmile-{stacks.stage}-{name}"
    assert function["Handler"] == f"functions.{name}.handler.handler"
    assert function["Runtime"] == "python3.13"
    (layer,) = function["Layers"]
    assert layer.startswith(f"${{SsmParameterValuelastmile{stacks.stage}layersonnx")


def test_only_functions_on_which_somebody_waits_have_a_snapshot_to_pay_for(stacks: Stacks) -> None:
    functions = stacks.all("Lambda::Function")
    assert {name for name, function in functions.items() if "SnapStart" in function} == {
        *("InferenceFunction", "ControlFunction", "HookFunction", "ChatFunction", "OperatingOperationsFunction")
    }


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_go_to_a_published_version_started_from_a_snapshot(stacks: Stacks, name: str) -> None:
    title = name.capitalize()
    assert lambda_function(stacks, name)["SnapStart"] == {"ApplyOn": "PublishedVersions"}
    assert stacks.one("Lambda::Alias", f"{title}Live") == {
        "Name": "live",
        "FunctionName": f"${{{title}Function}}",
        "FunctionVersion": f"${{{title}FunctionCurrentVersion.Version}}",
    }
    assert stacks.one("Lambda::Version", f"{title}FunctionCurrentVersion")["FunctionName"] == f"${{{title}Function}}"


@pytest.mark.parametrize("name", FUNCTIONS)
def test_calls_are_traced(stacks: Stacks, name: str) -> None:
    assert lambda_function(stacks, name)["TracingConfig"] == {"Mode": "Active"}


@pytest.mark.parametrize(("stage", "days"), [("dev", 7), ("prod", 90)])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_logs_go_to_a_group_of_ours_that_forgets(
    request: pytest.FixtureRequest, stage: str, days: int, name: str
) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    title = name.capitalize()
    assert stacks.one("Logs::LogGroup", f"{title}Logs") == {
        "LogGroupName": f"/aws/lambda/lastmile-{stage}-{name}",
        "RetentionInDays": days,
        "KmsKeyId": "${Key.Arn}",
    }
    assert lambda_function(stacks, name)["LoggingConfig"] == {"LogFormat": "JSON", "LogGroup": f"${{{title}Logs}}"}


@pytest.mark.parametrize(
    ("stage", "name", "memory", "architecture"),
    [("prod", "inference", 1769, "arm64"), ("prod", "control", 1024, "arm64"), ("dev", "control", 512, None)],
)
def test_sizes_are_the_stages(
    request: pytest.FixtureRequest, stage: str, name: str, memory: int, architecture: str | None
) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    function = lambda_function(stacks, name)
    assert (function["MemorySize"], function["Timeout"]) == (memory, 29)
    if architecture:  # that of dev is this machine's own
        assert function["Architectures"] == [architecture]
    for layer in stacks.all("Lambda::LayerVersion").values():
        assert layer["CompatibleArchitectures"] == function["Architectures"]
        assert layer["CompatibleRuntimes"] == ["python3.13"]


def test_the_environment_is_complete(dev: Stacks) -> None:
    common = {
        "LASTMILE_STAGE": "dev",
        "LASTMILE_ARTIFACTS": "s3://${Artifacts}",
        "ORT_DISABLE_TELEMETRY": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "POWERTOOLS_LOG_LEVEL": "INFO",
    }
    assert environment(dev, "inference") == common | {
        "POWERTOOLS_SERVICE_NAME": "inference",
        "LASTMILE_DATA": "s3://${Data}",
        "LASTMILE_RELEASE_SECONDS": "5",
        "LASTMILE_DEFAULT_MODEL": "digits",
        "LASTMILE_CAPTURE": "on",
        "LASTMILE_CORS_ORIGINS": "*",
        "LASTMILE_TOKEN_URL": "",  # the local AWS: see test_app
    }
    assert environment(dev, "control") == common | {
        "POWERTOOLS_SERVICE_NAME": "control",
        "LASTMILE_DATA": "s3://${Data}",
        "LASTMILE_TOKEN_URL": "",  # the local AWS: see test_app
    }


def test_production_answers_no_web_pages_and_rereads_releases_less_often(prod: Stacks) -> None:
    variables = environment(prod, "inference")
    assert (variables["LASTMILE_CORS_ORIGINS"], variables["LASTMILE_RELEASE_SECONDS"]) == ("", "30")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_variable_is_one_that_lambda_sets(stacks: Stacks, name: str) -> None:
    assert not [variable for variable in environment(stacks, name) if variable.startswith("AWS_")]


@pytest.mark.parametrize(
    ("alarm", "metric", "statistic"),
    [("Errors", "Errors", "Sum"), ("Throttles", "Throttles", "Sum"), ("Slow", "Duration", "p99")],
)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_an_alarm_rings_for_the_alias(stacks: Stacks, name: str, alarm: str, metric: str, statistic: str) -> None:
    title = name.capitalize()
    found = stacks.one("CloudWatch::Alarm", f"{title}{alarm}")
    assert (found["Namespace"], found["MetricName"]) == ("AWS/Lambda", metric)
    assert found.get("Statistic", found.get("ExtendedStatistic")) == statistic
    assert found["Dimensions"] == [
        {"Name": "FunctionName", "Value": f"${{{title}Function}}"},
        {"Name": "Resource", "Value": f"${{{title}Function}}:live"},
    ]


@pytest.mark.parametrize(("stage", "milliseconds"), [("dev", 3_000), ("prod", 1_000)])
def test_slow_is_what_the_stage_says(request: pytest.FixtureRequest, stage: str, milliseconds: int) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    assert stacks.one("CloudWatch::Alarm", "InferenceSlow")["Threshold"] == milliseconds


def lambda_function(stacks: Stacks, name: str) -> dict[str, Any]:
    return stacks.one("Lambda::Function", f"{name.capitalize()}Function")


def environment(stacks: Stacks, name: str) -> dict[str, str]:
    return lambda_function(stacks, name)["Environment"]["Variables"]  # type: ignore[no-any-return]
