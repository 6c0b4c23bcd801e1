"""`POST /v1/models/<m>:decide`: rows of features in, a decision with reasons for each out.

This is Lastmile's own protocol. The policy is the one kept with the version that answers, so both move together.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lastmile.decision import policy_of, prepare
from lastmile.decision.policy import Decided, Policy, features_of
from lastmile.errors import InvalidInput, InvalidSpec, LastmileError
from lastmile.predictor import Prediction, Predictor, Served
from lastmile.protocols.messages import Request, Response, as_list, as_object, json_response, version_number
from lastmile.protocols.rows import feeds_from_instances, tensor
from lastmile.tensors import Array, TensorSpec, check_feeds, nested_json

MAX_ROWS = 256  # with their reasons they are one line of the log
KEYS = ("rows", "instances", "context")


def decide(predictor: Predictor, request: Request, model: str, version: str | None = None) -> Response:
    """`{"rows": [{feature: value, …}, …], "context": [{…}, …]?}`, or `instances` as TensorFlow Serving has them."""
    document = request.json_object()
    unknown = next((key for key in document if key not in KEYS), None)
    if unknown is not None:
        raise InvalidInput(f"'{unknown:.60}' is unknown; the body has rows or instances, and context")
    if ("rows" in document) == ("instances" in document):
        raise InvalidInput("the body needs either rows (objects of features) or instances")
    served = predictor.resolve(
        model, version=None if version is None else version_number(version), routing_key=request.routing_key()
    )
    policy = _policy(served)
    feeds = _feeds(document, served)
    check_feeds(served.loaded.inputs, feeds)  # the policy reads them before the model does
    context = [as_object(entry, f"context[{row}]") for row, entry in enumerate(_list(document, "context"))]
    apply = prepare(policy, feeds, context)
    made: list[Decided] = []

    def captured(outputs: dict[str, Array]) -> list[dict[str, Any]]:
        made.extend(apply(outputs))
        return [_line(row, one) for row, one in enumerate(made)]

    prediction = predictor.run(served, feeds, decide=captured)
    answers = zip(made, _predictions(served, prediction), strict=True)
    return json_response(
        {
            "model": model,
            "version": str(prediction.version),
            "prediction_id": prediction.id,
            "decisions": [
                {
                    "decision": one.decision,
                    "reasons": one.reasons,
                    "review": one.review,
                    "details": one.details,
                    "prediction": values,
                }
                for one, values in answers
            ],
        },
        prediction,
    )


def _policy(served: Served) -> Policy:
    declared = served.loaded.manifest.policy.get("decision")
    if declared is None:
        raise InvalidInput(
            f"version {served.version} of model '{served.model}' has no decision policy; its spec needs a [decision]"
        )
    try:
        return policy_of(declared["kind"], declared["options"], served.loaded.manifest.signature)
    except InvalidSpec as error:  # it was checked when it was pushed
        raise LastmileError(f"the policy of version {served.version} of '{served.model}' is broken: {error}") from error


def _feeds(document: dict[str, Any], served: Served) -> dict[str, Array]:
    key = "rows" if "rows" in document else "instances"
    rows = as_list(document[key], key)
    if not rows:
        raise InvalidInput(f"{key} is empty")
    if len(rows) > MAX_ROWS:
        raise InvalidInput(f"{key} has {len(rows)} rows, at most {MAX_ROWS} are decided at once")
    if key == "instances":
        return feeds_from_instances(rows, served)
    return feeds_from_rows([as_object(row, f"rows[{index}]") for index, row in enumerate(rows)], served)


def feeds_from_rows(rows: Sequence[Mapping[str, Any]], served: Served) -> dict[str, Array]:
    """Each row an object of features. A number that may be missing may be left out; a text that is missing is null."""
    specs = served.loaded.inputs
    features = features_of(specs.values())
    for index, row in enumerate(rows):
        for name in row:
            if name not in features:
                raise InvalidInput(f"rows[{index}]: '{name:.60}' is unknown; the model takes {', '.join(features)}")
        missing = [name for name, feature in features.items() if name not in row and not feature.tensor.nullable]
        if missing:
            raise InvalidInput(f"rows[{index}]: missing {', '.join(missing)}")
    return {name: _tensor(rows, spec) for name, spec in specs.items()}


def _tensor(rows: Sequence[Mapping[str, Any]], spec: TensorSpec) -> Array:
    if not spec.columns:
        return tensor(_texts([row.get(spec.name) for row in rows], spec), spec)
    columns = [_column([row.get(name) for row in rows], name, spec) for name in spec.columns]
    return np.stack(columns, axis=-1)


def _column(values: list[Any], name: str, spec: TensorSpec) -> Array:
    """The values of one column, so that an error can name it."""
    array = tensor(_texts(values, spec), TensorSpec(name, spec.datatype, spec.shape[:-1], nullable=spec.nullable))
    if array.ndim != len(spec.shape) - 1:
        raise InvalidInput(f"input '{name}': {'a list' if len(spec.shape) > 2 else 'one value'} is wanted in each row")
    return array


def _texts(values: list[Any], spec: TensorSpec) -> list[Any]:
    """A missing text is the empty one, and lists of texts are filled up with it to the length that the input takes."""
    if spec.datatype != "BYTES":
        return values
    if spec.columns or len(spec.shape) != 2 or spec.shape[1] == 1:
        return ["" if value is None else value for value in values]
    lists = [[] if value is None else value for value in values]
    longest = max((len(value) for value in lists if type(value) is list), default=0)
    length = max(longest, spec.shape[1], 1)
    return [[*value, *[""] * (length - len(value))] if type(value) is list else value for value in lists]


def _predictions(served: Served, prediction: Prediction) -> list[dict[str, Any]]:
    """The outputs row by row; an output whose columns have names is an object of them."""
    values = []
    for name, array in prediction.outputs.items():
        columns = served.loaded.outputs[name].columns
        rows = nested_json(array, f"output '{name}'")
        values.append([dict(zip(columns, row, strict=True)) for row in rows] if columns else rows)
    names = list(prediction.outputs)
    return [dict(zip(names, row, strict=True)) for row in zip(*values, strict=True)]


def _line(row: int, one: Decided) -> dict[str, Any]:
    """What the capture keeps; a decision that asks for a person becomes an event there."""
    line = {"row": row, "decision": one.decision, "reasons": one.reasons}
    return line | {"review": True} if one.review else line


def _list(document: dict[str, Any], key: str) -> list[Any]:
    return as_list(document[key], key) if key in document else []
