"""The OpenAPI documents of the deployed API: what they offer works, and nothing else comes back."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode, urljoin

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance, unsupported_method

from cli.local import LocalAws
from cli.target import Target
from cli.webhooks import SIGN
from functions.inference.openapi import describe
from functions.inference.serving import Serving
from lastmile.settings import Settings

PATHS = ("/openapi.json", "/control/openapi.json", "/hooks/openapi.json")
PLACES = {"model": "digits", "version": "1", "label": "champion", "asset": "swagger-ui.css"}
PLACES["prediction"] = "01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"
BINARY = "application/octet-stream"
FORM = "application/x-www-form-urlencoded"
NOT_OURS: list[Any] = [
    positive_data_acceptance,  # the schemas are the same for every model; the shape that one takes is its own
    unsupported_method,  # API Gateway knows routes, and says 404 where a path has no such method
]


@pytest.fixture(scope="module")
def token(stack: Target) -> str:
    return stack.token(["infer", "read"])


@pytest.fixture(scope="module")
def documents(stack: Target) -> list[Any]:
    return [stack.call("GET", path).json() for path in PATHS]


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for template, path in document["paths"].items():
        for method in path.keys() & {"get", "post"}:
            yield method.upper(), template, path[method]


def bodies(operation: Any) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and body of every example; a binary body begins with a JSON document."""
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        for example in content["examples"].values():
            value = example["value"]
            headers = {"content-type": media_type}
            if media_type == BINARY:
                headers["inference-header-content-length"] = str(json.JSONDecoder().raw_decode(value)[1])
            yield headers, value.encode() if isinstance(value, str) else json.dumps(value).encode()


def test_every_example_of_the_documentation_works(stack: Target, token: str, documents: list[Any]) -> None:
    inference = documents[0]
    worked = 0
    for method, template, operation in operations(inference):
        path = re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], template)
        for headers, body in bodies(operation) if method == "POST" else [({}, b"")]:
            got = stack.call(method, path, token=token, headers=headers, body=body)
            if template == "/v1/predictions/{prediction}":
                assert got.status == 404  # what it shows is nobody's
                continue
            assert got.status == 200, (method, path, got.body)
            media_type = got.headers["content-type"].partition(";")[0]
            schema = operation["responses"]["200"]["content"][media_type].get("schema")
            if schema is not None:
                Draft202012Validator({**schema, "components": inference["components"]}).validate(got.json())
            worked += 1
    assert worked > 40


def test_the_page_offers_the_documents(stack: Target) -> None:
    page = stack.call("GET", "/docs")
    assert page.headers["content-type"].startswith("text/html")
    script = stack.call("GET", "/docs/page.js").body.decode()
    for name in re.findall(r'"([\w/]+\.json)"', script):
        assert stack.call("GET", f"/{name}").json()["openapi"].startswith("3.1")
    for name in re.findall(r'(?:src|href)="docs/([\w.-]+)"', page.body.decode()):
        asset = stack.call("GET", f"/docs/{name}")
        assert (asset.status, len(asset.body) > 100) == (200, True), name


def test_the_webhooks_are_described_as_recorded_and_nothing_unsigned_gets_in(
    stack: Target, local_aws: LocalAws, documents: list[Any]
) -> None:
    """Handshakes and a bot's own words are sent signed, as they ask for no answer; everything is sent unsigned."""
    connected = json.loads((local_aws.folder / "local.json").read_bytes())["chat"]
    welcome = 0
    for template, path in documents[2]["paths"].items():
        platform = template.rpartition("/")[2]
        for media_type, content in path["post"]["requestBody"]["content"].items():
            for name, example in content["examples"].items():
                value = example["value"]
                body = urlencode(value).encode() if media_type == FORM else json.dumps(value).encode()
                headers = {"content-type": media_type}
                assert stack.call("POST", template, headers=headers, body=body).status == 401, (template, name)
                if name in ("handshake", "own"):
                    headers |= SIGN[platform](body, connected[platform]["secret"], time.time())
                    assert stack.call("POST", template, headers=headers, body=body).status == 200, (template, name)
                    welcome += 1
    assert welcome == 8


def test_both_documents_know_where_tokens_are_given(stack: Target, documents: list[Any]) -> None:
    for path, document in zip(PATHS[:2], documents, strict=False):
        flow = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
        assert urljoin(stack.api_url + path, flow["tokenUrl"]) == stack.token_url


def described() -> Any:
    """The document without a deployment: tests are collected before there is one."""
    environ = {"LASTMILE_ARTIFACTS": "memory://"}
    return describe(Serving.open(Settings.from_env(environ), environ).protocols.routes)


def test_the_deployed_document_is_that_of_this_checkout(documents: list[Any]) -> None:
    here, deployed = described(), json.loads(json.dumps(documents[0]))
    for document in (here, deployed):
        del document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["tokenUrl"]
    assert deployed == here


SCHEMA = schemathesis.openapi.from_dict(described())


@SCHEMA.parametrize()
@settings(max_examples=8, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
def test_the_deployed_api_does_what_the_document_says(case: Case[Any], stack: Target, token: str) -> None:
    if "model" in case.path_parameters:
        case.path_parameters["model"] = "digits"
    answer = case.call(base_url=stack.api_url, headers={"authorization": f"Bearer {token}"})
    case.validate_response(answer, excluded_checks=NOT_OURS)
    assert 200 <= answer.status_code < 500
    assert answer.content
