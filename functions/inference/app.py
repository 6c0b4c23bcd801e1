"""The inference API as a FastAPI app: the prediction routes again, and everything that is not a prediction."""

import asyncio
import sys
import traceback
from typing import Any

from fastapi import FastAPI
from mangum import Mangum
from starlette.convertors import Convertor, register_url_convertor
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response as HttpResponse

from functions.inference.asgi import App, Message, Receive, Scope, Send, headers_of, read_request, send_response
from functions.inference.cors import Cors
from functions.inference.openapi import describe
from functions.inference.serving import Serving
from functions.inference.swagger import Swagger
from lastmile import __version__
from lastmile.protocols.messages import JSON, Response, json_response
from lastmile.protocols.routes import Protocols, Route
from lastmile.tensors import dump_json
from lastmile.ulid import new_ulid

NOT_SNIFFED = {"x-content-type-options": "nosniff"}


def create_app(serving: Serving) -> FastAPI:
    """One route per row of the protocols' table, and `/health`, `/openapi.json`, `/docs`."""
    app = FastAPI(title="Lastmile", version=__version__, openapi_url=None, docs_url=None, redoc_url=None)
    app.router.redirect_slashes = False  # it answers with absolute addresses, wrong behind a path prefix
    document = describe(serving.protocols.routes, token_url=serving.settings.token_url)
    swagger = Swagger(token_url=serving.settings.token_url)
    for route in serving.protocols.routes:
        endpoint = Prediction(serving.protocols, route)
        app.add_route(route.template.replace("}", ":name}"), endpoint, methods=[route.method])  # type: ignore[arg-type]
    for path, response in (
        ("/health", json_response({"status": "ok"})),
        ("/openapi.json", Response(200, {"content-type": JSON}, dump_json(document))),
        ("/docs", swagger.page()),
        *((f"/docs/{name}", swagger.asset(name)) for name in swagger.names),
    ):
        app.add_route(path, Fixed(response), methods=["GET"])  # type: ignore[arg-type]
    app.add_exception_handler(HTTPException, refusal)
    app.add_middleware(LastResort)
    if serving.cors is not None:
        app.add_middleware(CrossOrigin, cors=serving.cors)
    return app


class LambdaAdapter:
    """The app as a Lambda handler. Lifespan would run on every call, so it is off."""

    def __init__(self, app: FastAPI) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        self._mangum = Mangum(app, lifespan="off")

    def __call__(self, event: dict[str, Any], context: Any) -> dict[str, Any]:
        asyncio.set_event_loop(self.loop)  # Mangum runs on the current one
        return self._mangum(event, context)


def lambda_adapter(serving: Serving) -> LambdaAdapter:
    return LambdaAdapter(create_app(serving))


class Name(Convertor[str]):
    """A path segment up to its custom verb, so that `{model}` does not swallow `:predict`."""

    regex = "[^/:]+"

    def convert(self, value: str) -> str:
        return value

    def to_string(self, value: str) -> str:
        return value


register_url_convertor("name", Name())


class Prediction:
    """An ASGI endpoint over one row of the protocols' table."""

    def __init__(self, protocols: Protocols, route: Route) -> None:
        self._protocols = protocols
        self._route = route

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = await read_request(scope, receive)
        if request is not None:
            response = self._protocols.call(self._route, request, scope["path_params"])
            await send_response(send, response, head=scope["method"] == "HEAD")


class Fixed:
    """An ASGI endpoint that always answers the same."""

    def __init__(self, response: Response) -> None:
        self._response = Response(response.status, NOT_SNIFFED | response.headers, response.body)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send_response(send, self._response, head=scope["method"] == "HEAD")


async def refusal(request: Request, error: Exception) -> HttpResponse:
    """What no route answers (404), and a method that a path does not have (405)."""
    assert isinstance(error, HTTPException)
    said = "no route answers" if error.status_code == 404 else error.detail
    path = request.scope["path"]
    body = dump_json({"error": f"{said}: {request.method} {path[:200]}"})
    headers = {**NOT_SNIFFED, "content-type": JSON}
    if error.headers is not None and "Allow" in error.headers:
        headers["allow"] = ", ".join(sorted(error.headers["Allow"].split(", ")))  # it comes from a set
    return HttpResponse(body, status_code=error.status_code, headers=headers)


class LastResort:
    """An exception that nobody foresaw: logged under an id, and the id is all that the caller is told."""

    def __init__(self, app: App) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except Exception as error:  # noqa: BLE001 the one broad catch of this door
            await send_response(send, unexpected(error, f"{scope.get('method')} {scope.get('path')}"))


def unexpected(error: Exception, where: str) -> Response:
    """Log the exception and answer for it."""
    incident = new_ulid()
    trace = "".join(traceback.format_exception(error))
    sys.stderr.write(f"lastmile: incident {incident} in {where}\n{trace}")
    return json_response({"error": "internal error", "id": incident}, status=500)


class CrossOrigin:
    """Answers preflights, and tells every answer's origin whether it may read it."""

    def __init__(self, app: App, cors: Cors) -> None:
        self._app = app
        self._cors = cors

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = headers_of(scope)
        if scope["method"] == "OPTIONS" and (response := self._cors.preflight(headers)) is not None:
            await send_response(send, response)
            return
        extra = [(name.encode(), value.encode()) for name, value in self._cors.headers(headers.get("origin")).items()]

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *extra]
            await send(message)

        await self._app(scope, receive, send_with_headers)
