"""Who gets in: every documented route, and every deployed one, with no token, a wrong one, and the right one."""

import base64
import json
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from cli.local import LocalAws
from cli.target import SCOPES, Target

DOCUMENTS = ("/openapi.json", "/control/openapi.json", "/hooks/openapi.json")
SIGNED = "signed"  # by a chat platform, in place of a token
METHODS = {"get", "post", "put", "patch", "delete"}

type Claims = dict[str, Any]


@dataclass(frozen=True)
class Operation:
    method: str
    path: str
    scope: str | None

    @property
    def url(self) -> str:
        """With every parameter filled in; what it asks for need not exist to be refused."""
        words = {"{model}": "digits", "{version}": "1", "{label}": "champion", "{asset}": "swagger-ui.css"}
        words |= {"{run}": "0123456789abcdef", "{prediction}": "01KAJ4Y5N8V3W6Q2T9XZ7RMBDC"}
        path = self.path
        for parameter, word in words.items():
            path = path.replace(parameter, word)
        assert "{" not in path, f"a parameter of {self.path} has no example here"
        return path

    def status(self, stack: Target, token: str | None) -> int:
        headers = {"content-type": "application/json"}
        return stack.call(
            self.method, self.url, token=token, headers=headers, body=b"" if self.is_read else b"{}"
        ).status

    @property
    def is_read(self) -> bool:
        return self.method == "GET"


def documented(stack: Target) -> Iterator[Operation]:
    """What the documents describe, and the documents."""
    for document in DOCUMENTS:
        yield Operation("GET", document, None)
        for path, item in stack.call("GET", document).json()["paths"].items():
            for method in item.keys() & METHODS:
                yield Operation(method.upper(), path, scope_of(item[method]))


def scope_of(operation: dict[str, Any]) -> str | None:
    """An operation needs one scope, or a platform's signature, or says that it needs neither."""
    if operation["security"] == []:
        return None
    [(scheme, scopes)] = [item for requirement in operation["security"] for item in requirement.items()]
    if scheme != "oauth2":
        return SIGNED
    [scope] = scopes
    return str(scope).removeprefix("lastmile/")


@pytest.fixture(scope="module")
def operations(stack: Target) -> list[Operation]:
    return list(dict.fromkeys(documented(stack)))


@pytest.fixture(scope="module")
def protected(operations: list[Operation]) -> list[Operation]:
    return [operation for operation in operations if operation.scope not in (None, SIGNED)]


def answers(
    stack: Target, operations: list[Operation], token: Callable[[Operation], str | None]
) -> dict[Operation, int]:
    return {operation: operation.status(stack, token(operation)) for operation in operations}


def test_both_functions_document_protected_routes(protected: list[Operation]) -> None:
    assert {operation.scope for operation in protected} >= {"infer", "read", "operate", "approve"}


def test_without_a_token_every_protected_route_answers_401(stack: Target, protected: list[Operation]) -> None:
    assert set(answers(stack, protected, lambda _: None).values()) == {401}


def test_with_all_other_scopes_every_protected_route_answers_403(stack: Target, protected: list[Operation]) -> None:
    tokens = {scope: stack.token([other for other in SCOPES if other != scope]) for scope in SCOPES}
    assert set(answers(stack, protected, lambda operation: tokens[str(operation.scope)]).values()) == {403}


def test_with_its_scope_alone_every_protected_route_lets_in(stack: Target, protected: list[Operation]) -> None:
    """Reading routes only are called to the end: an empty body is refused by the others, after they let it in."""
    tokens = {scope: stack.token([scope]) for scope in SCOPES}
    refused = {401, 403}
    found = answers(stack, protected, lambda operation: tokens[str(operation.scope)])
    assert not {operation: status for operation, status in found.items() if status in refused or status >= 500}


def test_no_token_opens_a_route_that_wants_a_signature(stack: Target, operations: list[Operation]) -> None:
    signed = [operation for operation in operations if operation.scope == SIGNED]
    assert len(signed) == 6
    every = stack.token(list(SCOPES))
    assert set(answers(stack, signed, lambda _: None).values()) == {401}
    assert set(answers(stack, signed, lambda _: every).values()) == {401}


def test_the_public_routes_need_no_token(stack: Target, operations: list[Operation]) -> None:
    public = [operation for operation in operations if operation.scope is None]
    assert {operation.path for operation in public} >= {"/health", "/docs"}
    assert set(answers(stack, public, lambda _: None).values()) == {200}


def test_every_deployed_route_without_a_token_is_documented_as_such(stack: Target, operations: list[Operation]) -> None:
    """The other way round: a route that was deployed open cannot hide from the documents."""
    routes = stack.client("apigatewayv2").get_paginator("get_routes").paginate(ApiId=stack.api_id)
    open_keys = {route["RouteKey"] for page in routes for route in page["Items"] if route["AuthorizationType"] != "JWT"}
    public = {f"{operation.method} {operation.path}" for operation in operations if operation.scope is None}
    signed = {
        f"{operation.method} {operation.path.rpartition('/')[0]}/{{platform}}"
        for operation in operations
        if operation.scope == SIGNED
    }
    assert signed == {"POST /hooks/{platform}"}
    assert {key for key in open_keys if not key.startswith("OPTIONS ")} == public | signed


class Forger:
    """Makes tokens as the user pool does, with its key or another one."""

    def __init__(self, genuine: str, key: rsa.RSAPrivateKey) -> None:
        self.header, self.claims = (decode(part) for part in genuine.split(".")[:2])
        self.key = key

    def token(self, *, header: Claims | None = None, key: rsa.RSAPrivateKey | None = None, **claims: Any) -> str:
        signed = f"{encode(self.header | (header or {}))}.{encode(self.claims | claims)}"
        signature = (key or self.key).sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"


def decode(part: str) -> Claims:
    document: Claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
    return document


def encode(document: Claims) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


@pytest.fixture(scope="module")
def forger(stack: Target, local_aws: LocalAws) -> Forger:
    """Holds the pool's own signing key, so that only what a test changes is wrong with a token."""
    pem = Path(local_aws.emulator.state, f"cognito-pool-keys/{stack.user_pool_id}-access.pem").read_bytes()
    key = serialization.load_pem_private_key(pem, password=None)
    assert isinstance(key, rsa.RSAPrivateKey)
    return Forger(stack.token(), key)


def test_a_token_made_with_the_pools_key_is_a_token(stack: Target, forger: Forger) -> None:
    """Otherwise the refusals below would show nothing."""
    assert stack.call("GET", "/ping", token=forger.token()).status == 200


def test_an_expired_token_is_refused_on_every_route(stack: Target, protected: list[Operation], forger: Forger) -> None:
    expired = forger.token(iat=int(time.time()) - 7200, exp=int(time.time()) - 1)
    assert set(answers(stack, protected, lambda _: expired).values()) == {401}


def test_a_token_signed_with_another_key_is_refused_on_every_route(
    stack: Target, protected: list[Operation], forger: Forger
) -> None:
    forged = forger.token(key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
    assert set(answers(stack, protected, lambda _: forged).values()) == {401}


def with_other_claims(forger: Forger) -> str:
    """A genuine signature under claims that were changed afterwards."""
    header, _, signature = forger.token(scope="lastmile/read").split(".")
    return f"{header}.{encode(forger.claims)}.{signature}"


def unsigned(forger: Forger) -> str:
    return f"{encode(forger.header | {'alg': 'none'})}.{encode(forger.claims)}."


FORGERIES: dict[str, Callable[[Forger], str]] = {
    "other claims": with_other_claims,
    "no signature": unsigned,
    "unknown key": partial(Forger.token, header={"kid": "unknown"}),
    "another issuer": partial(Forger.token, iss="https://cognito-idp.us-east-1.amazonaws.com/us-east-1_other"),
    "another client": partial(Forger.token, client_id="somebody-else"),
    "not yet valid": lambda forger: forger.token(nbf=int(time.time()) + 3600),
    "not a token": lambda _: "let-me-in",
}


@pytest.mark.parametrize("forge", FORGERIES.values(), ids=FORGERIES.keys())
def test_a_forged_token_is_refused(stack: Target, forger: Forger, forge: Callable[[Forger], str]) -> None:
    assert stack.call("GET", "/ping", token=forge(forger)).status == 401
