"""TorchServe's inference API: `POST /predictions/{model}` with the handler's input, a bare answer back.

https://pytorch.org/serve/inference_api.html
"""

from typing import Any

from lastmile.errors import InvalidInput
from lastmile.predictor import Predictor, Served
from lastmile.protocols.messages import Request, Response, json_response, parse_json, version_number
from lastmile.protocols.rows import feeds_from_columns, feeds_from_instances, rows_of
from lastmile.tensors import Array

EXCEPTIONS = {
    400: "BadRequestException",
    404: "ModelNotFoundException",
    409: "ConflictStatusException",
    413: "RequestEntityTooLargeException",
    503: "ServiceUnavailableException",
}


def predict(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    """The body is a list of rows, `{"instances": […]}`, `{"data": […]}`, or one row; one row gives one answer.

    A body of content type text/plain is the one string that a text model takes.
    """
    served = predictor.resolve(
        model, version=None if version is None else version_number(version), routing_key=request.routing_key()
    )
    if request.headers.get("content-type", "").startswith("text/"):
        body: Any = _text(request.content())
    else:
        body = parse_json(request.content(), "the body")
    feeds, single = _feeds(body, served)
    prediction = predictor.run(served, feeds)
    answer = rows_of(prediction.outputs)
    is_one = single and len(answer) == 1  # a model may find any number of things in one row
    return json_response(answer[0] if is_one else answer, prediction)


def ping(predictor: Predictor, request: Request) -> Response:
    """Alive: what TorchServe, SageMaker and MLflow ask in the same words."""
    return json_response({"status": "Healthy"})


def error_response(status: int, message: str) -> Response:
    kind = EXCEPTIONS.get(status, "InternalServerException")
    return json_response({"code": status, "type": kind, "message": message}, status=status)


def _text(body: bytes) -> str:
    try:
        return body.decode()
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the text is not UTF-8 at byte {error.start}") from None


def _feeds(body: Any, served: Served) -> tuple[dict[str, Array], bool]:
    """The feeds, and whether the body was one row."""
    if type(body) is dict:
        for key in ("instances", "data"):
            if set(body) == {key} and key not in served.loaded.inputs and type(body[key]) is list:
                return feeds_from_instances(body[key], served), False
        return feeds_from_instances([body], served), True
    if type(body) is list and body and not _is_one_row(body, served):
        return feeds_from_instances(body, served), False
    return feeds_from_columns([body], served), True


def _is_one_row(body: list[Any], served: Served) -> bool:
    """A list is one row where the model's one input has as many dimensions as the list, and one for the batch."""
    specs = list(served.loaded.inputs.values())
    level: Any = body
    depth = 0
    while type(level) is list and level:
        depth, level = depth + 1, level[0]
    return len(specs) == 1 and type(level) is not dict and len(specs[0].shape) == depth + 1 and specs[0].shape[-1] != 1
