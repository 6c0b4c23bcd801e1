"""The API's OpenAPI 3.1 document, put together from the tables of operations, schemas and examples."""

import re
from collections.abc import Iterable
from typing import Any

from functions.inference import examples as shown
from functions.inference.operations import BINARY, JSON, OPERATIONS, PUBLIC, SCORING, TAGS, Content, Operation
from functions.inference.schemas import SCHEMAS, Schema, ref
from lastmile import __version__
from lastmile.protocols.routes import Route
from lastmile.protocols.scoring import ERROR_CODES, TARGET_MODEL
from lastmile.protocols.torchserve import EXCEPTIONS

DESCRIPTION = (
    "Predictions from the registered models, in the words of four serving protocols. A model's release says which "
    "version answers; a version can also be named. Get a token with the client-credentials grant and send it as "
    "`Authorization: Bearer …`."
)
SCOPES = {
    "lastmile/infer": "ask for predictions",
    "lastmile/feedback": "say what the right answer was",
    "lastmile/read": "read the registry, reports and audit",
    "lastmile/operate": "canary, shadow, roll back",
    "lastmile/approve": "promote and reject versions",
}
TOKEN_URL = "/oauth2/token"  # noqa: S105 where a deployment does not say: an address, not a token

PARAMETERS: dict[str, Schema] = {
    "model": {"description": "Name of the model.", "schema": {"type": "string"}, "example": "digits"},
    "version": {
        "description": "A version of the model, whatever its release says.",
        "schema": {"type": "string", "pattern": "^[0-9]{1,12}$"},
        "example": "1",
    },
    "label": {
        "description": "A role in the release: `champion` or `stable`, `challenger` or `canary`, `shadow`, `previous`.",
        "schema": {"type": "string"},
        "example": "champion",
    },
    "prediction": {
        "description": "The id of the prediction, from the header `lastmile-prediction-id` or `Location`.",
        "schema": {"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$"},
        "example": shown.PREDICTION_ID,
    },
    "asset": {"description": "Name of the file.", "schema": {"type": "string"}, "example": "swagger-ui.css"},
}
VARIANTS = {"version": "of a named version", "label": "by its role in the release"}
REQUEST_HEADERS: dict[str, Schema] = {
    "Lastmile-Routing-Key": {
        "description": "Keeps one caller on one version during a canary: a user's or session's id, say.",
        "schema": {"type": "string"},
    },
    "Inference-Header-Content-Length": {
        "description": "Binary form only: length of the JSON document at the start of the body, in bytes.",
        "schema": {"type": "integer", "minimum": 0},
    },
}
RESPONSE_HEADERS: dict[str, Schema] = {
    "lastmile-model": {"description": "The model that answered.", "schema": {"type": "string"}, "example": "digits"},
    "lastmile-version": {"description": "The version that answered.", "schema": {"type": "string"}, "example": "1"},
    "lastmile-role": {
        "description": "Why that version: it is the champion, the canary's challenger, or was named.",
        "schema": {"type": "string", "enum": ["champion", "challenger", "pinned"]},
        "example": "champion",
    },
    "lastmile-prediction-id": {
        "description": "The prediction's id, under which it was captured.",
        "schema": {"type": "string", "pattern": "^[0-9A-HJKMNP-TV-Z]{26}$"},
        "example": shown.PREDICTION_ID,
    },
}
# Of versions with a heavy side alone.
TIER_HEADERS: dict[str, Schema] = {
    "lastmile-tier": {
        "description": "Which side answered: the light model, the heavy one, or each some of the rows.",
        "schema": {"type": "string", "enum": ["light", "heavy", "cascade"]},
        "example": "cascade",
    },
    "lastmile-degraded": {
        "description": "The light model answers for the heavy one, and this is why.",
        "schema": {"type": "string", "enum": ["asleep", "slow", "throttled", "failing", "garbage", "refused", "large"]},
        "example": "asleep",
    },
}
STATE_HEADER: Schema = {
    "description": "What has become of a prediction that was to be answered later.",
    "schema": {"type": "string", "enum": ["pending", "answered", "failed"]},
    "example": "pending",
}
LATER_HEADERS: dict[str, Schema] = {
    "location": {
        "description": "Where to ask for the answer.",
        "schema": {"type": "string"},
        "example": shown.LOCATION,
    },
    "retry-after": {"description": "Seconds until asking is worth it.", "schema": {"type": "integer"}, "example": 5},
    "lastmile-state": STATE_HEADER,
}
DESCRIPTIONS = {
    400: "The request is not acceptable; the message names what and where.",
    401: "No token, or one that is expired or forged.",
    403: "The token lacks the scope.",
    404: "The model, version or label does not exist.",
    409: "The version was rejected.",
    413: "The body, or what it unpacks to, is too large.",
    429: "More requests than the deployment lets through; try again.",
    500: "The model failed on input that fits its signature, or something unforeseen happened.",
    503: "The model store does not answer, or the stored model cannot be loaded.",
}
MESSAGES = {
    400: "input 'image': shape [1, 64] needs 64 elements, data has 63",
    404: "model 'digit' does not exist",
    409: "version 2 of model 'digits' was rejected and does not serve",
    413: "the body has more than 6,000,000 bytes",
    500: "the model failed: not enough memory",
    503: "the model store does not answer; try again",
}
# Errors that the protocol does not word itself: API Gateway's, and those of the doors.
OTHER_ERRORS = {
    404: ("GatewayError",),
    413: ("GatewayError", "Error"),
    500: ("GatewayError", "Incident"),
    503: ("GatewayError",),
}


def describe(routes: Iterable[Route], *, token_url: str | None = None) -> Schema:
    """The document for these routes and the public ones; raises KeyError for a route without a row."""
    paths: dict[str, Schema] = {}
    for method, template in PUBLIC:
        _describe_path(paths, method, template, PUBLIC[method, template])
    for route in routes:
        operation = OPERATIONS[route.method, route.template]
        _describe_path(paths, route.method, route.template, operation, scope="lastmile/infer")
    flow = {"tokenUrl": token_url or TOKEN_URL, "scopes": SCOPES}
    return {
        "openapi": "3.1.0",
        "info": {"title": "Lastmile", "version": __version__, "description": DESCRIPTION},
        "servers": [{"url": ".", "description": "Where this document is served."}],
        "tags": [_tag(tag.name, tag.description, tag.url) for tag in TAGS],
        "paths": paths,
        "components": {
            "schemas": {name: SCHEMAS[name] for name in sorted(SCHEMAS)},
            "securitySchemes": {"oauth2": {"type": "oauth2", "flows": {"clientCredentials": flow}}},
        },
    }


def _tag(name: str, description: str, url: str | None) -> Schema:
    return {"name": name, "description": description} | ({"externalDocs": {"url": url}} if url else {})


def _describe_path(
    paths: dict[str, Schema], method: str, template: str, operation: Operation, scope: str | None = None
) -> None:
    names = re.findall(r"{(\w+)}", template)
    variant = next((name for name in names if name in VARIANTS), None)
    described: Schema = {
        "operationId": operation.id if variant is None else f"{operation.id}_{variant}",
        "tags": [operation.tag],
        "summary": operation.summary if variant is None else f"{operation.summary} ({VARIANTS[variant]})",
        "description": operation.description,
        "security": [] if scope is None else [{"oauth2": [scope]}],
        "parameters": [
            *({"name": name, "in": "path", "required": True, **PARAMETERS[name]} for name in names),
            *_other_parameters(operation),
        ],
        "responses": _responses(operation, authorized=scope is not None),
    }
    if operation.requests:
        described["requestBody"] = {"required": True, "content": _content(operation.requests)}
    paths.setdefault(template, {})[method.lower()] = described


def _other_parameters(operation: Operation) -> list[Schema]:
    headers = ["Lastmile-Routing-Key"] if operation.predicts and operation.requests else []
    if any(content.media_type == BINARY for content in operation.requests):
        headers.append("Inference-Header-Content-Length")
    parameters = [{"name": name, "in": "header", **REQUEST_HEADERS[name]} for name in headers]
    if operation.tag == SCORING.name:
        asked = {"schema": {"type": "string"}, "example": "digits", "description": "Name of the model."}
        parameters.append({"name": "model", "in": "query", **asked})
        parameters.append({"name": TARGET_MODEL, "in": "header", **asked})
    return parameters


def _responses(operation: Operation, *, authorized: bool) -> dict[str, Schema]:
    answer: Schema = {"description": "The answer.", "content": _content(operation.answers)}
    if operation.predicts:
        answer["headers"] = {name: header | {"required": True} for name, header in RESPONSE_HEADERS.items()}
        if len(operation.answers) > 1:
            answer["headers"]["inference-header-content-length"] = REQUEST_HEADERS["Inference-Header-Content-Length"]
    responses = {"200": answer}
    if operation.predicts:
        answer["headers"] |= TIER_HEADERS
        if operation.id == "prediction":
            answer["headers"]["lastmile-state"] = STATE_HEADER
        responses["202"] = {
            "description": "The heavy side of the version is not there yet; the answer will be at `Location`.",
            "headers": {name: RESPONSE_HEADERS[name] | {"required": True} for name in RESPONSE_HEADERS} | LATER_HEADERS,
            "content": {JSON: {"schema": ref("PendingPrediction"), "example": shown.PENDING}},
        }
    if authorized:
        responses["401"] = _refusal(401, ["GatewayError"], {"message": "Unauthorized"})
        responses["403"] = _refusal(403, ["GatewayError"], {"message": "Forbidden"})
        responses["429"] = _refusal(429, ["GatewayError"], {"message": "Too Many Requests"})
    for status in operation.refusals:
        schemas = [operation.errors, *OTHER_ERRORS.get(status, ())]
        responses[str(status)] = _refusal(status, list(dict.fromkeys(schemas)), _said(operation.errors, status))
    return responses


def _refusal(status: int, schemas: list[str], example: Any) -> Schema:
    schema = ref(schemas[0]) if len(schemas) == 1 else {"anyOf": [ref(name) for name in schemas]}
    return {"description": DESCRIPTIONS[status], "content": {JSON: {"schema": schema, "example": example}}}


def _said(errors: str, status: int) -> Schema:
    """The example of an error, in the protocol's words."""
    message = MESSAGES[status]
    if errors == "Ready":
        return {"ready": False}
    if errors == "HandlerError":
        return {"code": status, "type": EXCEPTIONS.get(status, "InternalServerException"), "message": message}
    if errors == "ScoringError":
        return {"error_code": ERROR_CODES.get(status, "INTERNAL_ERROR"), "message": message}
    return {"error": message}


def _content(contents: Iterable[Content]) -> dict[str, Schema]:
    described: dict[str, Schema] = {}
    for content in contents:
        media: Schema = {} if content.schema is None else {"schema": ref(content.schema)}
        if content.examples:
            media["examples"] = {
                re.sub(r"\W+", "_", name): {"summary": name, "value": value} for name, value in content.examples.items()
            }
        described[content.media_type] = media
    return described
