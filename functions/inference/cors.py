"""Cross-origin requests: answered by us, alike behind every door (https://fetch.spec.whatwg.org/#http-cors-protocol)."""

from collections.abc import Mapping
from typing import NamedTuple

from lastmile.protocols.messages import Response, json_response

METHODS = "GET, HEAD, POST"
REQUEST_HEADERS = "authorization, content-encoding, content-type, inference-header-content-length, lastmile-routing-key"
RESPONSE_HEADERS = (
    "inference-header-content-length, lastmile-degraded, lastmile-model, lastmile-prediction-id, lastmile-role, "
    "lastmile-state, lastmile-tier, lastmile-version, location, retry-after"
)
MAX_AGE_SECONDS = 7200  # Chromium remembers a preflight no longer


class Cors(NamedTuple):
    """The origins whose pages may read answers; `*` is any. Credentials (cookies) are never allowed: tokens are sent
    in a header, which the page sets itself."""

    origins: frozenset[str]

    def headers(self, origin: str | None) -> dict[str, str]:
        """What every answer says to a page of this origin."""
        if "*" in self.origins:
            return {"access-control-allow-origin": "*", "access-control-expose-headers": RESPONSE_HEADERS}
        if origin is None or origin not in self.origins:
            return {"vary": "Origin"}
        return {
            "access-control-allow-origin": origin,
            "access-control-expose-headers": RESPONSE_HEADERS,
            "vary": "Origin",
        }

    def preflight(self, headers: Mapping[str, str]) -> Response | None:
        """The answer to an OPTIONS request, or None where it is no preflight."""
        if "origin" not in headers or "access-control-request-method" not in headers:
            return None
        allowed = self.headers(headers["origin"])
        if "access-control-allow-origin" not in allowed:
            refused = json_response({"error": f"origin '{headers['origin'][:200]}' is not allowed"}, status=403)
            refused.headers.update(allowed)
            return refused
        del allowed["access-control-expose-headers"]
        return Response(
            204,
            allowed
            | {
                "access-control-allow-methods": METHODS,
                "access-control-allow-headers": REQUEST_HEADERS,
                "access-control-max-age": str(MAX_AGE_SECONDS),
            },
            b"",
        )
