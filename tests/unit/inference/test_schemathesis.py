"""Requests that somebody else thinks up, right and wrong ones, against the server door: never a 5xx, and nothing that
the OpenAPI document does not say."""

from typing import Any

import schemathesis
from hypothesis import HealthCheck, settings
from schemathesis import Case
from schemathesis.specs.openapi.checks import positive_data_acceptance

from functions.inference.server_door import ServerDoor
from tests.unit.inference.doors import fill, open_serving, server_door


class Kept:
    """The door without its lifespan: each request comes with a client of its own, which would end it."""

    def __init__(self, door: ServerDoor) -> None:
        self._door = door

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await self._door(scope, receive, send)
            return
        for event in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{event}.complete"})


SERVING = fill(open_serving({"LASTMILE_DEFAULT_MODEL": "digits"}))
SCHEMA = schemathesis.openapi.from_asgi("/openapi.json", Kept(server_door(SERVING)))

# The protocols' schemas are the same for every model, so what fits them need not fit the shape that a model takes.
OF_THE_MODEL: list[Any] = [positive_data_acceptance]
# Derandomized: the same requests in every run.
BOUNDED = settings(
    max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck)
)


@SCHEMA.parametrize()
@BOUNDED
def test_the_server_does_what_the_document_says(case: Case[Any]) -> None:
    if "model" in case.path_parameters:
        case.path_parameters["model"] = "digits"
    validate(case)


@SCHEMA.parametrize()
@settings(BOUNDED, max_examples=10)
def test_no_name_breaks_it(case: Case[Any]) -> None:
    validate(case)


def validate(case: Case[Any]) -> None:
    """Against the document: status, media type, headers and body; and that there is a body where one is promised."""
    answer = case.call()
    case.validate_response(answer, excluded_checks=OF_THE_MODEL)
    assert 200 <= answer.status_code < 500
    assert answer.content
