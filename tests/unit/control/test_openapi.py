"""The document against the function, by requests that somebody else thinks up."""

import re
from collections.abc import Callable
from typing import Any

import openapi_spec_validator
import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from functions.control.app import create_app
from functions.control.refusals import STATUSES
from infra.routes import ROUTES
from lastmile.registry import Registry
from lastmile.store import Store

type Push = Callable[..., Any]

SCOPE = "lastmile/feedback lastmile/read lastmile/operate lastmile/approve"


def store() -> Store:
    return Store.open("memory://", environ={})


def registry() -> Registry:
    return Registry(store())


class Authorizer:
    """What API Gateway adds to a request whose token is good."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        claims = {"client_id": "schemathesis", "scope": SCOPE}
        scope["aws.event"] = {"requestContext": {"authorizer": {"jwt": {"claims": claims}}}}
        await self._app(scope, receive, send)


REGISTRY = registry()
schema = schemathesis.openapi.from_asgi(
    "/control/openapi.json",
    Authorizer(create_app(REGISTRY, store(), token_url="https://auth.example.com/oauth2/token")),
)


@pytest.fixture(scope="module", autouse=True)
def two_versions(push: Push) -> None:
    for number in range(2):
        push(REGISTRY, b"%d" % number, name="digits")


@schema.parametrize()
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
def test_the_function_does_what_the_document_says(case: Case[Any]) -> None:
    if "model" in case.path_parameters:
        case.path_parameters["model"] = "digits"
    validate(case)


@schema.parametrize()
@settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_name_of_a_model_breaks_it(case: Case[Any]) -> None:
    validate(case)


def validate(case: Case[Any]) -> None:
    """Which labels and times are acceptable no schema can say: that depends on the model, and on the clock."""
    answer = case.call()
    case.validate_response(answer, excluded_checks=[positive_data_acceptance] if case.path == "/v1/feedback" else [])
    assert 200 <= answer.status_code < 500
    assert answer.content


def document() -> dict[str, Any]:
    return create_app(registry(), store(), token_url="https://auth.example.com/oauth2/token").openapi()


def test_the_document_is_openapi_3_1() -> None:
    assert document()["openapi"] == "3.1.0"
    openapi_spec_validator.validate(document())


def test_the_document_says_where_a_token_comes_from() -> None:
    flow = document()["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
    assert flow["tokenUrl"] == "https://auth.example.com/oauth2/token"
    assert sorted(flow["scopes"]) == sorted(SCOPE.split())


def test_the_document_and_the_gateway_have_the_same_routes_and_scopes() -> None:
    described = {
        (method.upper(), path, operation["security"][0]["oauth2"][0])
        for path, operations in document()["paths"].items()
        for method, operation in operations.items()
    }
    deployed = {
        (route.method, route.path, f"lastmile/{route.scope}")
        for route in ROUTES
        if route.door == "control" and route.scope is not None
    }
    assert described == deployed
    public = [route.path for route in ROUTES if route.door == "control" and route.scope is None]
    assert public == ["/control/openapi.json"]


def test_every_route_says_how_it_can_fail() -> None:
    statuses = {str(status) for status in STATUSES.values()}
    for path, operations in document()["paths"].items():
        for method, operation in operations.items():
            failing = statuses if method == "post" and path.startswith("/control/") else statuses - {"409"}
            done = "202" if path == "/v1/feedback" else "200"
            assert set(operation["responses"]) == failing | {done, "500"}, path


def test_every_part_is_described_with_an_example() -> None:
    made = document()
    for name, part in made["components"]["schemas"].items():
        for field, described in part.get("properties", {}).items():
            plain = not re.search(r"\$ref|const|enum|boolean", str(described))
            assert not plain or described.get("examples"), f"{name}.{field} has no example"
    for path, operations in made["paths"].items():
        for operation in operations.values():
            assert operation["summary"]
            assert all(parameter["description"] for parameter in operation.get("parameters", [])), path
