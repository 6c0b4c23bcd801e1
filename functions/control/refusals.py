"""From exceptions to answers: one table, and one last resort."""

import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from aws_lambda_powertools import Logger
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from functions.control.caller import Forbidden, Unauthorized
from lastmile.errors import (
    Damaged,
    InvalidArtefact,
    InvalidFeedback,
    InvalidInput,
    InvalidSpec,
    NotFound,
    ReleaseConflict,
    StoreUnavailable,
    VersionRejected,
)
from lastmile.ulid import new_ulid

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]

logger = Logger(serialize_stacktrace=False)  # the exception's text says it already

# An order may have been carried out, and a second rollback would go further back.
IN_DOUBT = "look at the release to see whether the order was carried out, then decide again"

STATUSES: dict[type[Exception], int] = {
    InvalidInput: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NotFound: 404,
    ReleaseConflict: 409,
    VersionRejected: 409,
    InvalidFeedback: 422,
    InvalidSpec: 422,
    InvalidArtefact: 422,
    Damaged: 500,
    StoreUnavailable: 503,
}


FORMS = ("Feedback", "list[Feedback]")  # of a body that may have either


def add_refusals(app: FastAPI) -> None:
    for error in STATUSES:
        app.add_exception_handler(error, refuse)
    app.add_exception_handler(RequestValidationError, refuse_malformed)
    app.add_exception_handler(HTTPException, refuse_route)
    app.add_middleware(LastResort)


async def refuse(request: Request, error: Exception) -> JSONResponse:
    status = next(STATUSES[kind] for kind in type(error).__mro__ if kind in STATUSES)
    match error:
        case Unauthorized():
            message = "a token is needed"
        case Forbidden():
            message = f"the token needs the scope {error}"
        case StoreUnavailable():  # the reason names addresses that are nobody's business
            logger.error("the registry does not answer", extra={"reason": str(error)})
            is_order = request.method == "POST" and request.url.path.startswith("/control/")
            message = "the registry does not answer; " + (IN_DOUBT if is_order else "try again")
        case _:
            message = str(error)
    return said(message, status)


def said(message: str, status: int) -> JSONResponse:
    """The message may name what was sent, and JSON can send half a character (a lone surrogate)."""
    return JSONResponse({"error": message.encode(errors="replace").decode()}, status)


async def refuse_malformed(request: Request, error: Exception) -> JSONResponse:
    """Names every field that is wrong, but repeats nothing of what was sent."""
    assert isinstance(error, RequestValidationError)
    problems = error.errors()
    if any(problem["type"] == "json_invalid" for problem in problems):
        return JSONResponse({"error": "the body is not JSON"}, 400)
    deepest = [problem for problem in problems if not _is_other_form(problem["loc"])] or problems
    texts = [f"{_field(problem['loc'])}: {problem['msg']}" for problem in deepest]
    return said("; ".join(texts)[:2000], 422)


async def refuse_route(request: Request, error: Exception) -> JSONResponse:
    """Paths that do not exist, methods that a path does not have, bodies that cannot be read."""
    assert isinstance(error, HTTPException)
    reason = "no route answers" if error.status_code == 404 else error.detail
    message = f"{reason}: {request.method} {request.url.path[:200]}"
    return JSONResponse({"error": message}, error.status_code, headers=error.headers)


class LastResort:
    """One log line per request; what nobody foresaw is logged under an id, and the caller is told only that."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = time.perf_counter()
        status = 500

        async def send_noting(message: Message) -> None:
            nonlocal status
            status = message.get("status", status)
            await send(message)

        try:
            await self._app(scope, receive, send_noting)
        except Exception:
            incident = new_ulid()
            logger.exception("unexpected", extra={"incident": incident})
            await JSONResponse({"error": "internal error", "id": incident}, 500)(scope, receive, send)
        logger.info(
            "request",
            extra={
                "method": scope["method"],
                "path": scope["path"],
                "status": status,
                "milliseconds": round((time.perf_counter() - started) * 1000, 1),
                "request_id": scope.get("aws.event", {}).get("requestContext", {}).get("requestId"),
            },
        )


def _field(location: tuple[int | str, ...]) -> str:
    """`body.weight`, `query.limit`; of a body of several forms, which names those that were tried, `body.0.weight`."""
    form = 1 if location[1:2] and location[1] in FORMS else len(location)
    return ".".join(map(str, (*location[:form], *location[form + 1 :])))


def _is_other_form(location: tuple[int | str, ...]) -> bool:
    """Whether it says no more than that the body has not this form: another one's problems say what is wrong."""
    return location[1:] in {(form,) for form in FORMS}
