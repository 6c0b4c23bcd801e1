"""Between ASGI and the protocols' bytes: what the FastAPI app and the server door share.

https://asgi.readthedocs.io/en/latest/specs/www.html
"""

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from lastmile.protocols.messages import MAX_BODY_BYTES, Request, Response

type Scope = MutableMapping[str, Any]
type Message = MutableMapping[str, Any]
type Receive = Callable[[], Awaitable[Message]]
type Send = Callable[[Message], Awaitable[None]]
type App = Callable[[Scope, Receive, Send], Awaitable[None]]


async def read_request(scope: Scope, receive: Receive) -> Request | None:
    """The request with its body, or None when the client left before the end of it.

    Reading stops once the body is over the limit: what is there then is enough for the protocol to refuse it.
    """
    message = await receive()
    body = message.get("body", b"")
    if message.get("more_body"):
        parts, size = [body], len(body)
        while message.get("more_body") and size <= MAX_BODY_BYTES:
            message = await receive()
            parts.append(message.get("body", b""))
            size += len(parts[-1])
        body = b"".join(parts)
    if message["type"] == "http.disconnect":
        return None
    return request_of(scope, body)


def request_of(scope: Scope, body: bytes) -> Request:
    return Request(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers_of(scope), body)


def headers_of(scope: Scope) -> dict[str, str]:
    """Names are lower case already; a header given twice is one list, as API Gateway has it."""
    pairs = scope["headers"]
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in pairs}
    if len(headers) < len(pairs):
        headers.clear()
        for raw_name, raw_value in pairs:
            name, value = raw_name.decode("latin-1"), raw_value.decode("latin-1")
            headers[name] = f"{headers[name]},{value}" if name in headers else value
    return headers


async def send_response(send: Send, response: Response, *, head: bool = False) -> None:
    """The whole answer at once; with `head` all but its body."""
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in response.headers.items()]
    if response.status != 204:  # https://www.rfc-editor.org/rfc/rfc9110#section-8.6-9
        headers.append((b"content-length", str(len(response.body)).encode()))
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": b"" if head else response.body})
