"""Every prediction route in one table: what a door asks first, and what the app documents."""

import sys
from collections.abc import Callable
from functools import lru_cache, partial
from typing import Any, NamedTuple

from lastmile.errors import AnswerLater, LastmileError
from lastmile.predictor import Predictor
from lastmile.protocols import open_inference, scoring, tensorflow_serving, torchserve
from lastmile.protocols.messages import Request, Response, status_of

PATHS_KEPT = 1024

type Endpoint = Callable[..., Response]
type ErrorResponse = Callable[[int, str], Response]


class Route(NamedTuple):
    method: str
    template: str
    endpoint: Endpoint
    error_response: ErrorResponse


def _routes(default_model: str | None, prediction: Endpoint) -> list[Route]:
    oip, tfs, torch, mlflow = open_inference, tensorflow_serving, torchserve, scoring
    invocations = partial(scoring.invocations, default_model=default_model)
    table: list[tuple[str, str, Endpoint, ErrorResponse]] = [
        ("POST", "/v2/models/{model}/infer", oip.infer, oip.error_response),
        ("POST", "/v2/models/{model}/versions/{version}/infer", oip.infer, oip.error_response),
        ("GET", "/v2", oip.server_metadata, oip.error_response),
        ("GET", "/v2/health/live", oip.server_live, oip.error_response),
        ("GET", "/v2/health/ready", oip.server_ready, oip.error_response),
        ("GET", "/v2/models/{model}", oip.model_metadata, oip.error_response),
        ("GET", "/v2/models/{model}/ready", oip.model_ready, oip.error_response),
        ("GET", "/v2/models/{model}/versions/{version}", oip.model_metadata, oip.error_response),
        ("GET", "/v2/models/{model}/versions/{version}/ready", oip.model_ready, oip.error_response),
        ("POST", "/v1/models/{model}:predict", tfs.predict, oip.error_response),
        ("POST", "/v1/models/{model}/versions/{version}:predict", tfs.predict, oip.error_response),
        ("POST", "/v1/models/{model}/labels/{label}:predict", tfs.predict, oip.error_response),
        ("POST", "/v1/models/{model}:decide", decide, oip.error_response),
        ("POST", "/v1/models/{model}/versions/{version}:decide", decide, oip.error_response),
        ("GET", "/v1/models/{model}", tfs.status, oip.error_response),
        ("GET", "/v1/models/{model}/metadata", tfs.metadata, oip.error_response),
        ("GET", "/v1/models/{model}/versions/{version}", tfs.status, oip.error_response),
        ("GET", "/v1/models/{model}/versions/{version}/metadata", tfs.metadata, oip.error_response),
        ("GET", "/v1/models/{model}/labels/{label}", tfs.status, oip.error_response),
        ("GET", "/v1/models/{model}/labels/{label}/metadata", tfs.metadata, oip.error_response),
        ("POST", "/predictions/{model}", torch.predict, torch.error_response),
        ("POST", "/predictions/{model}/{version}", torch.predict, torch.error_response),
        ("POST", "/invocations", invocations, mlflow.error_response),
        ("GET", "/v1/predictions/{prediction}", prediction, oip.error_response),
        ("GET", "/ping", torch.ping, torch.error_response),
    ]
    return [Route(*row) for row in table]


def decide(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    from lastmile.protocols import deciding  # what only predicts does not load the policies

    return deciding.decide(predictor, request, model, version)


class Protocols:
    """Answers every prediction route over one Predictor; pure bytes to bytes."""

    def __init__(self, predictor: Predictor, *, default_model: str | None = None) -> None:
        self._predictor = predictor
        self.routes = tuple(_routes(default_model, self._look))
        self._by_length: dict[tuple[str, int], list[tuple[list[str], Route]]] = {}
        for route in self.routes:
            segments = _segments(route.template)
            self._by_length.setdefault((route.method, len(segments)), []).append((segments, route))
        self._known = lru_cache(PATHS_KEPT)(self._find)  # most requests go where one went before

    def answer(self, request: Request) -> Response | None:
        """The response, or None where no prediction route has this method and path."""
        found = self.match(request.method, request.path)
        return None if found is None else self.call(found[0], request, found[1])

    def match(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        """The route and what its path names, before anything of the body is read."""
        return self._known(method, path)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        segments = _segments(path)
        for template, route in self._by_length.get((method, len(segments)), ()):
            parameters = _match(template, segments)
            if parameters is not None:
                return route, parameters
        return None

    def call(self, route: Route, request: Request, parameters: dict[str, str]) -> Response:
        try:
            return route.endpoint(self._predictor, request, **parameters)
        except AnswerLater as later:
            return self.call(route._replace(endpoint=partial(self._accept, later=later)), request, {})
        except LastmileError as error:
            status, message = status_of(error)
            if status >= 500:
                sys.stderr.write(f"lastmile: {request.method} {request.path}: {type(error).__name__}: {error}\n")
            return route.error_response(status, message)

    def _accept(self, predictor: Predictor, request: Request, later: AnswerLater) -> Response:
        from lastmile.protocols.later import accept  # only versions with a heavy side answer later

        return accept(predictor, later, request)

    def _look(self, predictor: Predictor, request: Request, prediction: str) -> Response:
        """What has become of a prediction whose answer comes later."""
        from lastmile.protocols.later import look

        return look(predictor, prediction, self._answered)

    def _answered(self, predictor: Any, request: Request) -> Response:
        found = self.match(request.method, request.path)
        assert found is not None  # it was, when the request came
        route, parameters = found
        return route.endpoint(predictor, request, **parameters)


def _segments(path: str) -> list[str]:
    """The path in pieces, a custom verb (`:predict`) as a piece of its own."""
    return path.replace(":", "/:").split("/")


def _match(template: list[str], segments: list[str]) -> dict[str, str] | None:
    parameters = {}
    for wanted, segment in zip(template, segments, strict=True):
        if wanted == segment:
            continue
        if not segment or not wanted.startswith("{") or segment.startswith(":"):
            return None
        parameters[wanted[1:-1]] = segment
    return parameters
