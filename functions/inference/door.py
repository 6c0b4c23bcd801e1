"""The Lambda door: an API Gateway event in, its response out; FastAPI only for what is not a prediction."""

import sys
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from pybase64 import b64decode, b64encode_as_string  # 20 times as fast as the standard library's
from snapshot_restore_py import register_after_restore, register_before_snapshot

from functions.inference.serving import Serving
from lastmile.protocols.messages import Request, Response
from lastmile.protocols.routes import Protocols
from lastmile.settings import Settings

# What Lambda hands back to API Gateway is at most 6 MB, the wrapping included:
# https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html
MAX_ANSWER_BYTES = 6_000_000
SURELY_FITS = MAX_ANSWER_BYTES // 2  # whatever is in it: a byte becomes two at most

type Event = dict[str, Any]
type Adapter = Callable[[Event, Any], Event]


class LambdaDoor:
    """Prediction routes go straight to the protocol functions; every other route imports the app, once."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._protocols: Protocols = serving.protocols
        self._cors = serving.cors
        self._adapter: Adapter | None = None

    @classmethod
    def open(cls, environ: Mapping[str, str]) -> "LambdaDoor":
        """Build what a cold start needs, and tell SnapStart what to do around the snapshot."""
        serving = Serving.open(Settings.from_env(environ), environ)
        register_before_snapshot(serving.warm_up)
        register_after_restore(serving.wake)
        return cls(serving)

    def __call__(self, event: Event, context: Any) -> Event:
        try:
            request = request_of(event)
            response = self._protocols.answer(request)
            if response is None:
                return self._app()(event, context)
            if self._cors is not None:
                response.headers.update(self._cors.headers(request.headers.get("origin")))
            return event_of(response)
        except Exception as error:
            sys.stderr.write(f"lastmile: unexpected {type(error).__name__} in {event.get('rawPath')}\n")
            raise

    def _app(self) -> Adapter:
        if self._adapter is None:
            from functions.inference.app import lambda_adapter

            self._adapter = lambda_adapter(self._serving)
        return self._adapter


def request_of(event: Event) -> Request:
    """Payload format 2.0: https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html"""
    body = event.get("body")
    if not body:
        data = b""
    elif event.get("isBase64Encoded"):
        data = b64decode(body, validate=True)
    else:
        data = body.encode()
    return Request(
        event["requestContext"]["http"]["method"],
        _decoded(event["rawPath"]),
        event.get("rawQueryString", ""),
        event.get("headers", {}),
        data,
    )


def _decoded(path: str) -> str:
    return unquote(path) if "%" in path else path


def event_of(response: Response) -> Event:
    """Text as it is, anything else in base64, as API Gateway wants it."""
    as_text = response.headers["content-type"].startswith("application/json")
    body = response.body.decode() if as_text else b64encode_as_string(response.body)
    if len(response.body) > SURELY_FITS and (size := _wrapped_bytes(response.body, as_text)) > MAX_ANSWER_BYTES:
        message = f'{{"error":"the answer has {size:,} bytes, at most {MAX_ANSWER_BYTES:,} fit; send fewer rows"}}'
        for_pages = {name: said for name, said in response.headers.items() if name.startswith(("access-", "vary"))}
        return {
            "statusCode": 413,
            "headers": {"content-type": "application/json", **for_pages},
            "body": message,
            "isBase64Encoded": False,
        }
    return {
        "statusCode": response.status,
        "headers": response.headers,
        "body": body,
        "isBase64Encoded": not as_text,
    }


def _wrapped_bytes(body: bytes, as_text: bool) -> int:
    """As a string in JSON, which is how Lambda hands it back: quotes and backslashes are two bytes there."""
    return len(body) + body.count(b'"') + body.count(b"\\") if as_text else -(-len(body) // 3) * 4
