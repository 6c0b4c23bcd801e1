import json
import re
from collections.abc import Iterator
from typing import Any

import openapi_spec_validator
import pytest
from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

from functions.inference.openapi import MESSAGES, describe
from functions.inference.operations import OPERATIONS, PUBLIC
from functions.inference.serving import Serving
from lastmile.errors import StoreUnavailable
from tests.unit.inference.doors import Answer, Door, Sent, fill, open_serving, server_door, through_asgi
from tests.unit.inference.test_doors import BINARY, INFER, TOO_LONG, binary, post, tensor, v2

METHODS = ("get", "post")
PLACES = {"model": "digits", "version": "1", "label": "champion", "asset": "swagger-ui.css"}
PLACES["prediction"] = "01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"


@pytest.fixture(scope="module")
def door(serving: Serving) -> Door:
    return through_asgi(server_door(serving))


LATER = "/v1/predictions/{prediction}"  # what it shows is nobody's; tests/unit/inference/test_heavy.py has real ones


@pytest.fixture(scope="module")
def document(door: Door) -> Any:
    got = door(Sent("GET", "/openapi.json"))
    assert got.headers["content-type"] == "application/json"
    return json.loads(got.body)


def operations(document: Any) -> Iterator[tuple[str, str, Any]]:
    for template, path in document["paths"].items():
        for method in METHODS:
            if method in path:
                yield method.upper(), template, path[method]


def filled(template: str) -> str:
    return re.sub(r"{(\w+)}", lambda found: PLACES[found[1]], template)


def fits(document: Any, schema: Any, value: Any) -> None:
    Draft202012Validator({**schema, "components": document["components"]}).validate(value)


def length_of_header(text: str) -> int:
    """A binary body begins with a JSON document."""
    _, end = json.JSONDecoder().raw_decode(text)
    return len(text[:end].encode())


def requests(method: str, template: str, operation: Any) -> Iterator[Sent]:
    """What the documentation offers to send: every example."""
    path = filled(template)
    if "requestBody" not in operation:
        yield Sent(method, path)
        return
    for media_type, content in operation["requestBody"]["content"].items():
        for example in content["examples"].values():
            value = example["value"]
            headers = {"content-type": media_type}
            if media_type == BINARY:
                headers["inference-header-content-length"] = str(length_of_header(value))
            body = value.encode() if isinstance(value, str) else json.dumps(value).encode()
            yield Sent(method, path, body, headers)


def test_the_document_is_openapi_3_1(document: Any) -> None:
    openapi_spec_validator.validate(document)
    assert document["openapi"] == "3.1.0"


def test_every_route_is_described_and_nothing_else(document: Any, serving: Serving) -> None:
    served = {(route.method, route.template) for route in serving.protocols.routes}
    assert {(method, template) for method, template, _ in operations(document)} == served | set(PUBLIC)
    assert set(OPERATIONS) == served


def test_a_route_without_a_description_is_refused(serving: Serving, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(OPERATIONS, ("GET", "/ping"))
    with pytest.raises(KeyError):
        describe(serving.protocols.routes)


def test_everything_has_words(document: Any) -> None:
    identifiers = []
    tags = {tag["name"] for tag in document["tags"]}
    for _, _, operation in operations(document):
        identifiers.append(operation["operationId"])
        assert len(operation["summary"]) > 5
        assert len(operation["description"]) > 8
        assert set(operation["tags"]) <= tags
        assert all(parameter.get("description") for parameter in operation["parameters"])
        assert all(response["description"] for response in operation["responses"].values())
    assert len(set(identifiers)) == len(identifiers)


def test_only_the_service_itself_needs_no_token(document: Any) -> None:
    free = {template for _, template, operation in operations(document) if not operation["security"]}
    assert free == {"/health", "/docs", "/docs/{asset}", "/openapi.json"}
    for _, _, operation in operations(document):
        if operation["security"]:
            assert operation["security"] == [{"oauth2": ["lastmile/infer"]}]
            assert {"401", "403", "429"} <= set(operation["responses"])
    scopes = document["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]["scopes"]
    assert set(scopes) == {f"lastmile/{name}" for name in ("infer", "feedback", "read", "operate", "approve")}


def test_the_place_that_gives_tokens_is_a_setting(serving: Serving) -> None:
    for given, said in ((None, "/oauth2/token"), ("https://id.example/token", "https://id.example/token")):
        described = describe(serving.protocols.routes, token_url=given)
        flow = described["components"]["securitySchemes"]["oauth2"]["flows"]["clientCredentials"]
        assert flow["tokenUrl"] == said


def test_every_example_fits_its_schema(document: Any) -> None:
    seen = 0
    for _, _, operation in operations(document):
        contents = [operation.get("requestBody", {}).get("content", {})]
        contents += [response.get("content", {}) for response in operation["responses"].values()]
        for content in contents:
            for media in content.values():
                examples = [example["value"] for example in media.get("examples", {}).values()]
                for value in [*examples, *([media["example"]] if "example" in media else [])]:
                    fits(document, media.get("schema", {}), value)
                    seen += 1
        for response in operation["responses"].values():
            for header in response.get("headers", {}).values():
                if "example" in header:
                    fits(document, header["schema"], header["example"])
    assert seen > 150


def test_schemas_say_no_to_what_is_wrong(document: Any) -> None:
    for name, wrong in (
        ("InferenceRequest", {"inputs": [{"name": "image", "datatype": "FP99", "shape": [1], "data": [1]}]}),
        ("InferenceRequest", {"inputs": [{"name": "image", "datatype": "FP32", "shape": [-1], "data": [1]}]}),
        ("PredictRequest", {"instances": [1], "inputs": [1]}),
        ("ScoringRequest", {"rows": []}),
        ("ScoringRequest", {"dataframe_split": {"columns": ["a"]}}),
        ("InferenceResponse", {"model_name": "digits", "outputs": []}),
    ):
        assert list(Draft202012Validator({**document["components"]["schemas"][name], **document}).iter_errors(wrong))


def test_every_request_example_works_and_is_answered_as_described(document: Any, door: Door) -> None:
    seen = 0
    for method, template, operation in operations(document):
        for sent in requests(method, template, operation):
            got = door(sent)
            assert got.status == (404 if template == LATER else 200), (sent, got.body)
            check_described(document, operation, got)
            seen += 1
    assert seen > 40


def check_described(document: Any, operation: Any, got: Answer) -> None:
    response = operation["responses"][str(got.status)]
    media = response["content"][got.headers["content-type"].partition(";")[0]]
    if "schema" in media:
        fits(document, media["schema"], json.loads(got.body))
    for name, header in response.get("headers", {}).items():
        if name in got.headers:
            value = got.headers[name]
            fits(document, header["schema"], int(value) if header["schema"]["type"] == "integer" else value)
        else:
            assert not header.get("required")
    assert {name for name in got.headers if name.startswith("lastmile-")} <= set(response.get("headers", {}))


def test_answer_examples_have_the_form_of_real_answers(document: Any, door: Door) -> None:
    """Same keys, same types, same lengths; only the numbers are another model's."""
    for method, template, operation in operations(document):
        if method == "POST":
            shown = [
                form(example["value"])
                for content in operation["responses"]["200"]["content"].values()
                for example in content.get("examples", {}).values()
                if not isinstance(example["value"], str)
            ]
            for sent in requests(method, template, operation):
                got = door(sent)
                asked_for_all = b'"outputs"' not in sent.body
                if got.headers["content-type"] == "application/json" and asked_for_all:
                    assert form(json.loads(got.body)) in shown, (template, got.body)
        elif template.startswith("/v") and template != LATER:
            example = operation["responses"]["200"]["content"]["application/json"]["examples"]["digits"]["value"]
            assert json.loads(door(Sent(method, filled(template))).body) == example


def form(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: form(member) for key, member in value.items()}
    if isinstance(value, list):
        return [form(member) for member in value]
    return type(value).__name__ if not isinstance(value, int | float) else "number"


@pytest.mark.parametrize(
    ("status", "sent"),
    [
        (400, post(INFER, v2(tensor(data=[0.0] * 63)))),
        (404, post("/v2/models/digit/infer", v2(tensor()))),
        (409, post("/v2/models/digits/versions/2/infer", v2(tensor()))),
        (413, post(INFER, TOO_LONG)),
    ],
)
def test_error_examples_are_what_is_really_said(document: Any, door: Door, status: int, sent: Sent) -> None:
    got = door(sent)
    assert (got.status, json.loads(got.body)) == (status, {"error": MESSAGES[status]})
    check_described(document, document["paths"]["/v2/models/{model}/infer"]["post"], got)


@pytest.mark.parametrize(
    ("method", "template", "sent"),
    [
        ("POST", "/v1/models/{model}:predict", post("/v1/models/digits:predict", [])),
        ("GET", "/v1/models/{model}", Sent("GET", "/v1/models/digit")),
        ("POST", "/predictions/{model}", post("/predictions/digit", [])),
        ("POST", "/predictions/{model}", post("/predictions/digits", [])),
        ("POST", "/predictions/{model}", post("/predictions/digits", TOO_LONG)),
        ("POST", "/predictions/{model}/{version}", post("/predictions/digits/2", [])),
        ("POST", "/invocations", post("/invocations", {})),
        ("POST", "/invocations", post("/invocations", TOO_LONG)),
        ("POST", "/v2/models/{model}/infer", binary([1.0], length=10**6)),
        ("GET", "/docs/{asset}", Sent("GET", "/docs/other.js")),
    ],
)
def test_errors_are_described(document: Any, door: Door, method: str, template: str, sent: Sent) -> None:
    got = door(sent)
    assert 400 <= got.status < 500
    check_described(document, document["paths"][template][method.lower()], got)


def test_a_store_that_does_not_answer_is_described(document: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    serving = fill(open_serving())

    def fail(*_: object, **__: object) -> None:
        raise StoreUnavailable("bucket secret-name is not there")

    monkeypatch.setattr(serving.store, "get", fail)
    monkeypatch.setattr(serving.store, "get_if_changed", fail)
    got = through_asgi(server_door(serving))(post(INFER, v2(tensor())))
    assert (got.status, json.loads(got.body)) == (503, {"error": MESSAGES[503]})
    check_described(document, document["paths"]["/v2/models/{model}/infer"]["post"], got)
