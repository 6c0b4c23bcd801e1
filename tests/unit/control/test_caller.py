"""Scopes: every route of the document, against what API Gateway found in the token."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from functions.control.caller import Caller, Unauthorized
from lastmile.registry import Registry

type Call = Callable[..., Any]
type Push = Callable[..., Any]

SCOPES = ["lastmile/infer", "lastmile/feedback", "lastmile/read", "lastmile/operate", "lastmile/approve"]
LABEL = {
    "model": "fraud",
    "prediction_id": "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "label": 1,
    "source": "review",
    "time": "2026-03-14T15:09:26Z",
}
PLACES = {"{model}": "fraud", "{version}": "1", "{run}": "20260314T150926Z-9f86d081884c"}
BODIES = {"canary": {"version": None, "weight": 0}}


@pytest.fixture(autouse=True)
def released(registry: Registry, push: Push) -> None:
    push(registry)
    push(registry, b"2")


def routes(call: Call) -> Iterator[tuple[str, str, str]]:
    """Method, path and scope of every route that the document lists."""
    document = call("GET", "/control/openapi.json", scope=None).body
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            ((scheme, scopes),) = operation["security"][0].items()
            assert (len(operation["security"]), scheme, len(scopes)) == (1, "oauth2", 1)
            for name, value in PLACES.items():
                path = path.replace(name, value)
            yield method.upper(), path, scopes[0]


def body(method: str, path: str) -> object:
    if path == "/v1/feedback":
        return LABEL
    return {"why": "w"} | BODIES.get(path.rpartition("/")[2], {}) if method == "POST" else None


def test_every_route_names_the_scope_that_it_needs(call: Call) -> None:
    scopes = {path.rpartition("/")[2] if method == "POST" else "": scope for method, path, scope in routes(call)}
    assert scopes == {
        "": "lastmile/read",
        "canary": "lastmile/operate",
        "shadow": "lastmile/operate",
        "rollback": "lastmile/operate",
        "approve": "lastmile/approve",
        "promote": "lastmile/approve",
        "reject": "lastmile/approve",
        "feedback": "lastmile/feedback",
    }


def test_no_route_answers_without_a_token(call: Call) -> None:
    found = list(routes(call))
    assert len(found) == 15
    for method, path, _ in found:
        answer = call(method, path, body(method, path), scope=None)
        assert (answer.status, answer.body) == (401, {"error": "a token is needed"}), path


def test_no_route_answers_to_any_other_scope(call: Call, registry: Registry) -> None:
    before = registry.release("fraud")
    for method, path, needed in routes(call):
        others = " ".join(scope for scope in SCOPES if scope != needed)
        for scope in (others, "", needed + "x", needed.upper(), needed.replace("/", " ")):
            answer = call(method, path, body(method, path), scope=scope)
            assert (answer.status, answer.body) == (403, {"error": f"the token needs the scope {needed}"}), path
    assert registry.release("fraud") == before


def test_a_wrong_scope_is_told_before_a_wrong_body(call: Call) -> None:
    answer = call("POST", "/control/models/fraud/versions/1/promote", {"why": 3}, scope="lastmile/read")
    assert answer.status == 403


def test_every_route_answers_to_its_own_scope_alone(call: Call) -> None:
    for method, path, needed in routes(call):
        answer = call(method, path, body(method, path), scope=needed)
        assert answer.status in (200, 202, 404, 409), (path, answer.body)


def test_the_document_itself_needs_no_token(call: Call) -> None:
    assert call("GET", "/control/openapi.json", scope=None).status == 200


@pytest.mark.parametrize(
    ("claims", "name"),
    [
        ({"username": "ann", "client_id": "abc", "sub": "1"}, "user:ann"),
        ({"client_id": "abc", "sub": "abc"}, "client:abc"),
        ({"sub": "abc"}, "client:abc"),
    ],
)
def test_a_caller_is_a_person_or_a_program(claims: dict[str, str], name: str) -> None:
    event = {"requestContext": {"authorizer": {"jwt": {"claims": claims | {"scope": "a b"}}}}}
    assert Caller.of_event(event) == Caller(name, frozenset({"a", "b"}))


@pytest.mark.parametrize(
    "authorizer", [None, {}, {"jwt": None}, {"jwt": {"claims": {}}}, {"jwt": {"claims": {"scope": "lastmile/read"}}}]
)
def test_claims_that_name_nobody_are_nobody(authorizer: object) -> None:
    with pytest.raises(Unauthorized):
        Caller.of_event({"requestContext": {"authorizer": authorizer}})
    with pytest.raises(Unauthorized):
        Caller.of_event({})


def test_headers_that_claim_to_be_somebody_change_nothing(call: Call) -> None:
    claims = {"authorizer": {"jwt": {"claims": {"client_id": "abc", "scope": "lastmile/read"}}}}
    headers = {"x-amzn-request-context": json.dumps(claims), "authorization": "Bearer x.y.z", "client_id": "abc"}
    assert call("GET", "/control/models", scope=None, headers=headers).status == 401
