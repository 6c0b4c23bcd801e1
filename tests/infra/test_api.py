"""The route table is written out again here, as clients know it: a slip in infra/routes.py must not pass unseen."""

import json
from typing import Any

import pytest

from infra.routes import PREFLIGHTS
from tests.infra.templates import Stacks

OPEN = None
TABLE = {
    "GET /health": ("Inference", OPEN),
    "GET /docs": ("Inference", OPEN),
    "GET /docs/{asset}": ("Inference", OPEN),
    "GET /openapi.json": ("Inference", OPEN),
    "GET /v1/predictions/{prediction}": ("Inference", "infer"),
    "GET /v2": ("Inference", "infer"),
    "GET /v2/health/live": ("Inference", "infer"),
    "GET /v2/health/ready": ("Inference", "infer"),
    "GET /v2/models/{model}": ("Inference", "infer"),
    "GET /v2/models/{model}/ready": ("Inference", "infer"),
    "GET /v2/models/{model}/versions/{version}": ("Inference", "infer"),
    "GET /v2/models/{model}/versions/{version}/ready": ("Inference", "infer"),
    "POST /v2/models/{model}/infer": ("Inference", "infer"),
    "POST /v2/models/{model}/versions/{version}/infer": ("Inference", "infer"),
    "GET /v1/models/{proxy+}": ("Inference", "infer"),
    "POST /v1/models/{proxy+}": ("Inference", "infer"),
    "POST /predictions/{model}": ("Inference", "infer"),
    "POST /predictions/{model}/{version}": ("Inference", "infer"),
    "POST /invocations": ("Inference", "infer"),
    "GET /ping": ("Inference", "infer"),
    "POST /hooks/{platform}": ("Hook", OPEN),
    "GET /hooks/openapi.json": ("Hook", OPEN),
    "POST /v1/feedback": ("Control", "feedback"),
    "GET /control/models/{model}/runs": ("Control", "read"),
    "GET /control/models/{model}/runs/{run}": ("Control", "read"),
    "POST /control/models/{model}/versions/{version}/approve": ("Control", "approve"),
    "GET /control/openapi.json": ("Control", OPEN),
    "GET /control/models": ("Control", "read"),
    "GET /control/models/{model}": ("Control", "read"),
    "GET /control/models/{model}/versions": ("Control", "read"),
    "GET /control/models/{model}/versions/{version}": ("Control", "read"),
    "GET /control/models/{model}/release": ("Control", "read"),
    "GET /control/models/{model}/audit": ("Control", "read"),
    "POST /control/models/{model}/canary": ("Control", "operate"),
    "POST /control/models/{model}/shadow": ("Control", "operate"),
    "POST /control/models/{model}/rollback": ("Control", "operate"),
    "POST /control/models/{model}/versions/{version}/promote": ("Control", "approve"),
    "POST /control/models/{model}/versions/{version}/reject": ("Control", "approve"),
}


@pytest.mark.parametrize("key", TABLE)
def test_a_route_asks_its_function_and_wants_its_scope(stacks: Stacks, key: str) -> None:
    function, scope = TABLE[key]
    route = routes(stacks)[key]
    assert integration(stacks, route)["IntegrationUri"] == f"${{{function}Live}}"
    if scope is OPEN:
        assert route["AuthorizationType"] == "NONE"
        assert "AuthorizerId" not in route
    else:
        assert route["AuthorizationType"] == "JWT"
        assert route["AuthorizerId"] == "${ApiHttpTokens}"
        assert route["AuthorizationScopes"] == [f"lastmile/{scope}"]


def test_there_are_no_other_routes(dev: Stacks, prod: Stacks) -> None:
    assert set(routes(prod)) == set(TABLE)
    assert set(routes(dev)) == set(TABLE) | {route.key for route in PREFLIGHTS}


def test_preflights_are_answered_by_inference_without_a_token(dev: Stacks) -> None:
    found = {key: route for key, route in routes(dev).items() if key.startswith("OPTIONS ")}
    assert found
    for key, route in found.items():
        assert not key.startswith("OPTIONS /control"), "the control plane is no business of web pages"
        assert route["AuthorizationType"] == "NONE"
        assert integration(dev, route)["IntegrationUri"] == "${InferenceLive}"


def test_tokens_are_those_of_our_pool_for_our_client(stacks: Stacks) -> None:
    authorizer = stacks.one("ApiGatewayV2::Authorizer")
    assert authorizer["AuthorizerType"] == "JWT"
    assert authorizer["IdentitySource"] == ["$request.header.Authorization"]
    assert authorizer["JwtConfiguration"] == {
        "Audience": ["${PoolClient}"],
        "Issuer": "https://cognito-idp.${AWS::Region}.amazonaws.com/${Pool}",
    }


def test_functions_are_called_by_this_api_alone_in_format_2(stacks: Stacks) -> None:
    assert {entry["PayloadFormatVersion"] for entry in stacks.all("ApiGatewayV2::Integration").values()} == {"2.0"}
    every = stacks.all("Lambda::Permission").values()
    permissions = [entry for entry in every if entry["Principal"] == "apigateway.amazonaws.com"]
    assert sorted(entry["FunctionName"] for entry in permissions) == [
        "${ControlLive}",
        "${HookLive}",
        "${InferenceLive}",
    ]
    for entry in permissions:
        assert entry["SourceArn"] == (
            "arn:${AWS::Partition}:execute-api:${AWS::Region}:${AWS::AccountId}:${ApiHttp}/*/*/*"
        )


@pytest.mark.parametrize(("stage", "rate", "burst"), [("dev", 500, 1_000), ("prod", 2_000, 4_000)])
def test_callers_are_throttled_and_those_of_control_sooner(
    request: pytest.FixtureRequest, stage: str, rate: int, burst: int
) -> None:
    stacks: Stacks = request.getfixturevalue(stage)
    properties = stacks.one("ApiGatewayV2::Stage")
    assert (properties["StageName"], properties["AutoDeploy"]) == ("$default", True)
    assert properties["DefaultRouteSettings"] == {
        "DetailedMetricsEnabled": True,
        "ThrottlingRateLimit": rate,
        "ThrottlingBurstLimit": burst,
    }
    control = {"DetailedMetricsEnabled": True, "ThrottlingRateLimit": 20, "ThrottlingBurstLimit": 40}
    assert properties["RouteSettings"] == {
        key: control for key, (function, _) in TABLE.items() if function == "Control"
    }


def test_routes_exist_before_the_stage_names_them(stacks: Stacks) -> None:
    (attributes,) = stacks.attributes("ApiGatewayV2::Stage").values()
    template = json.loads((stacks.folder / f"Lastmile-{stacks.stage}-Serving.template.json").read_text())
    routed = {name for name, entry in template["Resources"].items() if entry["Type"] == "AWS::ApiGatewayV2::Route"}
    assert routed <= set(attributes["DependsOn"])


def test_every_call_leaves_a_line_of_json(stacks: Stacks) -> None:
    settings = stacks.one("ApiGatewayV2::Stage")["AccessLogSettings"]
    assert settings["DestinationArn"] == "${ApiAccessLogs.Arn}"
    line = json.loads(settings["Format"])
    assert {"requestId", "route", "status", "client", "latencyMs", "error"} <= set(line)
    assert all(value.startswith("$context.") for value in line.values())
    group = stacks.one("Logs::LogGroup", "ApiAccessLogs")
    assert group["LogGroupName"] == f"/aws/vendedlogs/lastmile-{stacks.stage}-api"
    assert group["KmsKeyId"] == "${Key.Arn}"
    assert group["RetentionInDays"] == {"dev": 7, "prod": 90}[stacks.stage]


def test_an_alarm_rings_when_the_api_fails(stacks: Stacks) -> None:
    alarm = stacks.one("CloudWatch::Alarm", "ApiServerErrors")
    assert (alarm["Namespace"], alarm["MetricName"], alarm["Statistic"]) == ("AWS/ApiGateway", "5xx", "Sum")
    assert alarm["Dimensions"] == [{"Name": "ApiId", "Value": "${ApiHttp}"}]


def routes(stacks: Stacks) -> dict[str, dict[str, Any]]:
    return {route["RouteKey"]: route for route in stacks.all("ApiGatewayV2::Route").values()}


def integration(stacks: Stacks, route: dict[str, Any]) -> dict[str, Any]:
    return stacks.one("ApiGatewayV2::Integration", route["Target"].removeprefix("integrations/${").removesuffix("}"))
