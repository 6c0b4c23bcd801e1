"""The public surface: which path asks which function, and with which scope."""

from dataclasses import dataclass
from typing import Literal

Method = Literal["GET", "POST", "OPTIONS"]
Door = Literal["inference", "control", "hook"]


@dataclass(frozen=True, slots=True)
class Route:
    """One route key of the HTTP API; `scope` None needs no token."""

    method: Method
    path: str
    door: Door
    scope: str | None

    @property
    def key(self) -> str:
        return f"{self.method} {self.path}"


def rows(door: Door, scope: str | None, method: Method, paths: tuple[str, ...]) -> tuple[Route, ...]:
    return tuple(Route(method, path, door, scope) for path in paths)


# Browsers ask without a token whether they may send one; the function decides by the page's origin.
PREFLIGHTS = rows(
    "inference",
    None,
    "OPTIONS",
    ("/v1/{proxy+}", "/v2", "/v2/{proxy+}", "/predictions/{proxy+}", "/invocations", "/ping"),
)

ROUTES = (
    *rows("inference", None, "GET", ("/health", "/docs", "/docs/{asset}", "/openapi.json")),
    *rows(
        "inference",
        "infer",
        "GET",
        (
            "/v2",
            "/v2/health/live",
            "/v2/health/ready",
            "/v2/models/{model}",
            "/v2/models/{model}/ready",
            "/v2/models/{model}/versions/{version}",
            "/v2/models/{model}/versions/{version}/ready",
            # A path variable is a whole segment to API Gateway, so `{model}:predict` is matched by the app.
            "/v1/models/{proxy+}",
            "/v1/predictions/{prediction}",
            "/ping",
        ),
    ),
    *rows(
        "inference",
        "infer",
        "POST",
        (
            "/v2/models/{model}/infer",
            "/v2/models/{model}/versions/{version}/infer",
            "/v1/models/{proxy+}",
            "/predictions/{model}",
            "/predictions/{model}/{version}",
            "/invocations",
        ),
    ),
    *rows("hook", None, "POST", ("/hooks/{platform}",)),  # a signature takes the token's place
    *rows("hook", None, "GET", ("/hooks/openapi.json",)),
    *rows("control", None, "GET", ("/control/openapi.json",)),
    *rows("control", "feedback", "POST", ("/v1/feedback",)),
    *rows(
        "control",
        "read",
        "GET",
        (
            "/control/models",
            "/control/models/{model}",
            "/control/models/{model}/versions",
            "/control/models/{model}/versions/{version}",
            "/control/models/{model}/release",
            "/control/models/{model}/audit",
            "/control/models/{model}/runs",
            "/control/models/{model}/runs/{run}",
        ),
    ),
    *rows(
        "control",
        "operate",
        "POST",
        (
            "/control/models/{model}/canary",
            "/control/models/{model}/shadow",
            "/control/models/{model}/rollback",
        ),
    ),
    *rows(
        "control",
        "approve",
        "POST",
        (
            "/control/models/{model}/versions/{version}/approve",
            "/control/models/{model}/versions/{version}/promote",
            "/control/models/{model}/versions/{version}/reject",
        ),
    ),
)
