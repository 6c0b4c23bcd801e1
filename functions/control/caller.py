"""Who calls, and whether the call is theirs to make: what API Gateway found in the token.

The scope is checked here once more. A route that was deployed without its authorizer then answers 401 to everybody,
instead of everything to anybody.
"""

from dataclasses import dataclass
from typing import Any

from fastapi import Request
from fastapi.security import SecurityScopes


class Unauthorized(Exception):
    """There is no token behind this request."""


class Forbidden(Exception):
    """The token does not have the scope."""


@dataclass(frozen=True, slots=True)
class Caller:
    """`name` goes into the audit: `user:` and a person's name, or `client:` and the id of a program."""

    name: str
    scopes: frozenset[str]

    @classmethod
    def of_event(cls, event: dict[str, Any]) -> "Caller":
        """From an API Gateway event, payload format 2.0; nothing that the client can write is looked at."""
        authorizer = event.get("requestContext", {}).get("authorizer") or {}
        claims: dict[str, str] = (authorizer.get("jwt") or {}).get("claims") or {}
        person, program = claims.get("username"), claims.get("client_id") or claims.get("sub")
        if not person and not program:
            raise Unauthorized
        return cls(f"user:{person}" if person else f"client:{program}", frozenset(claims.get("scope", "").split()))


async def authorized(request: Request, required: SecurityScopes) -> Caller:
    """A dependency of every route that needs a token; the route names its scopes."""
    caller = Caller.of_event(request.scope.get("aws.event", {}))
    if not caller.scopes.issuperset(required.scopes):
        raise Forbidden(" ".join(required.scopes))
    return caller
