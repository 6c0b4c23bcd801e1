import json
from typing import Any
from urllib.parse import urlencode

import openapi_spec_validator
import pytest

from cli.webhooks import SIGN
from functions.chat import openapi
from functions.chat.doors import open_hook
from functions.chat.platforms import PLATFORMS
from tests.unit.chat.conftest import EVENTS, FORMS, NOW, RECORDED, Hook, private
from tests.unit.chat.test_doors import HOOK

ROOT = EVENTS.parents[1]
GET = {"rawPath": openapi.PATH, "requestContext": {"http": {"method": "GET"}}, "headers": {}}


@pytest.fixture(scope="module")
def document() -> Any:
    answer = open_hook({**HOOK, "LAMBDA_TASK_ROOT": str(ROOT)})(GET, None)
    assert answer["headers"]["content-type"] == "application/json"
    return json.loads(answer["body"])


def test_the_document_is_openapi_3_1(document: Any) -> None:
    openapi_spec_validator.validate(document)
    assert document["openapi"] == "3.1.0"


def test_every_platform_is_described_and_nothing_else(document: Any) -> None:
    assert set(document["paths"]) == {f"/hooks/{platform}" for platform in PLATFORMS}
    assert frozenset(FORMS) == openapi.FORMS


@pytest.mark.parametrize("platform", PLATFORMS)
def test_the_headers_described_are_those_that_are_checked(document: Any, platform: str) -> None:
    operation = document["paths"][f"/hooks/{platform}"]["post"]
    ((scheme, scopes),) = operation["security"][0].items()
    assert scopes == []
    named = [document["components"]["securitySchemes"][scheme]["name"]]
    named += [parameter["name"] for parameter in operation["parameters"]]
    signed = SIGN[platform](b"{}", private(platform), NOW)
    assert {name.lower() for name in named} == set(signed)
    assert Hook().send(
        platform, b"{}", {name: value for name, value in signed.items() if name != named[0].lower()}
    ) == (
        401,
        '{"error":"unauthorised"}',
    )


def test_every_recorded_request_is_an_example_and_every_example_is_accepted(document: Any, hook: Hook) -> None:
    accepted = set()
    for path, item in document["paths"].items():
        platform = path.rpartition("/")[2]
        for media_type, content in item["post"]["requestBody"]["content"].items():
            for name, example in content["examples"].items():
                value = example["value"]
                body = urlencode(value) if media_type == openapi.FORM else json.dumps(value)
                assert hook.send(platform, body.encode())[0] == 200
                accepted.add(f"{platform}/{name}")
    assert accepted == set(RECORDED)


def test_every_answer_described_is_given(document: Any, hook: Hook) -> None:
    for path, item in document["paths"].items():
        platform = path.rpartition("/")[2]
        content = item["post"]["responses"]["200"].get("content", {openapi.JSON: {"examples": {}}})
        for name, example in content[openapi.JSON]["examples"].items():
            assert json.loads(hook.recorded(f"{platform}/{name}")[1]) == example["value"]
        for status, described in item["post"]["responses"].items():
            if status != "200":
                assert described["content"][openapi.JSON]["schema"] == {"$ref": "#/components/schemas/Error"}


def test_only_reading_it_gives_the_document(hook: Hook) -> None:
    assert hook.door({"rawPath": openapi.PATH, "headers": {}, "body": "{}"}, None)["statusCode"] == 404
    assert hook.door(GET | {"rawPath": "/hooks/slack"}, None)["statusCode"] == 401
