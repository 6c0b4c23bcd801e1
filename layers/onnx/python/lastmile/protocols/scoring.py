"""The scoring contract of MLflow model servers and of SageMaker containers: `POST /invocations`, `GET /ping`.

https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally and
https://docs.aws.amazon.com/sagemaker/latest/dg/your-algorithms-inference-code.html
"""

import math
from collections.abc import Callable
from typing import Any

from lastmile.errors import InvalidInput, PayloadTooLarge
from lastmile.predictor import Predictor, Served
from lastmile.protocols.messages import MAX_BODY_BYTES, Request, Response, as_list, as_object, as_text, json_response
from lastmile.protocols.rows import feeds_from_columns, feeds_from_frame, feeds_from_instances, rows_of
from lastmile.tensors import Array

FORMATS = ("dataframe_split", "dataframe_records", "instances", "inputs")
TARGET_MODEL = "x-amzn-sagemaker-target-model"
MOST_CELLS = 8_000_000  # of records, which may leave most of them out: as many values as a body can hold
MOST_LINES = 1_000_000  # of a CSV that was packed
ERROR_CODES = {
    400: "BAD_REQUEST",
    404: "RESOURCE_DOES_NOT_EXIST",
    409: "RESOURCE_CONFLICT",
    413: "REQUEST_LIMIT_EXCEEDED",
    503: "TEMPORARILY_UNAVAILABLE",
}


def invocations(predictor: Predictor, request: Request, default_model: str | None) -> Response:
    """JSON in one of MLflow's four formats, or CSV with a header; the answer is `{"predictions": …}`.

    The model is the one of `?model=`, of SageMaker's target-model header, or the default.
    """
    model = model_of(request, default_model)
    if not model:
        raise InvalidInput(f"name the model: /invocations?model=<name>, or the header {TARGET_MODEL}")
    served = predictor.resolve(model, routing_key=request.routing_key())
    if request.headers.get("content-type", "").partition(";")[0].strip() == "text/csv":
        feeds = _feeds_from_csv(request.content(), served)
    else:
        feeds = _feeds(request.json_object(), served)
    prediction = predictor.run(served, feeds)
    return json_response({"predictions": rows_of(prediction.outputs)}, prediction)


def model_of(request: Request, default_model: str | None) -> str | None:
    return _parameter(request.query, "model") or request.headers.get(TARGET_MODEL) or default_model


def error_response(status: int, message: str) -> Response:
    return json_response({"error_code": ERROR_CODES.get(status, "INTERNAL_ERROR"), "message": message}, status=status)


def _feeds(document: dict[str, Any], served: Served) -> dict[str, Array]:
    formats = [name for name in FORMATS if name in document]
    if len(formats) != 1:
        raise InvalidInput(f"the body needs exactly one of {', '.join(FORMATS)}")
    content = document[formats[0]]
    if formats[0] == "instances":
        return feeds_from_instances(as_list(content, "instances"), served)
    if formats[0] == "inputs":
        return feeds_from_columns(content, served)
    columns, rows = _split_frame(content) if formats[0] == "dataframe_split" else _record_frame(content, served)
    if not rows:
        raise InvalidInput(f"{formats[0]} has no rows")
    return feeds_from_frame(columns, rows, served)


def _split_frame(content: Any) -> tuple[list[str], list[list[Any]]]:
    frame = as_object(content, "dataframe_split")
    columns = [
        as_text(name, f"dataframe_split.columns[{index}]")
        for index, name in enumerate(as_list(frame.get("columns"), "dataframe_split.columns"))
    ]
    rows = as_list(frame.get("data"), "dataframe_split.data")
    for index, row in enumerate(rows):
        if len(as_list(row, f"dataframe_split.data[{index}]")) != len(columns):
            raise InvalidInput(f"dataframe_split.data[{index}] has {len(row)} values for {len(columns)} columns")
    return columns, rows


def _record_frame(content: Any, served: Served) -> tuple[list[str], list[list[Any]]]:
    """Records may leave out a column: it is null there. Columns that no input wants are left where they are, since each
    record may name others."""
    records = [
        as_object(record, f"dataframe_records[{index}]")
        for index, record in enumerate(as_list(content, "dataframe_records"))
    ]
    wanted = {name for spec in served.loaded.inputs.values() for name in spec.columns or (spec.name,)}
    columns = [name for name in dict.fromkeys(name for record in records for name in record) if name in wanted]
    if len(records) * len(columns) > MOST_CELLS:
        size = f"{len(records):,} rows of {len(columns):,} columns"
        raise PayloadTooLarge(f"dataframe_records has {size}, at most {MOST_CELLS:,} values fit")
    return columns, [[record.get(name) for name in columns] for record in records]


def _feeds_from_csv(body: bytes, served: Served) -> dict[str, Array]:
    import csv  # everybody else sends JSON
    import io

    if len(body) > MAX_BODY_BYTES and body.count(b"\n") > MOST_LINES:
        raise PayloadTooLarge(f"the CSV has more than {MOST_LINES:,} lines; send fewer rows")
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InvalidInput(f"the CSV is not UTF-8 at byte {error.start}") from None
    converters = _converters(served)
    rows: list[list[Any]] = []
    lines = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(lines, None)
        if header is None:
            raise InvalidInput("the body is not CSV with a header: it is empty")
        cells = len(header)
        at = [(index, name, converters[name]) for index, name in enumerate(header) if name in converters]
        for number, row in enumerate(lines, start=2):
            if not row:
                continue
            if len(row) != cells:
                raise InvalidInput(f"line {number} of the CSV has {len(row)} cells for {cells} columns")
            rows.append([_cell(row[index], name, number, convert) for index, name, convert in at])
    except csv.Error as error:
        raise InvalidInput(f"the body is not CSV with a header: {error}") from None
    if not rows:
        raise InvalidInput("the CSV has no rows")
    return feeds_from_frame([name for _, name, _ in at], rows, served)


def _converters(served: Served) -> dict[str, Callable[[str], Any]]:
    """How the text of a cell becomes the value its column wants."""
    return {
        column: _CONVERTERS.get(spec.datatype, _number if spec.datatype.startswith("FP") else _whole)
        for spec in served.loaded.inputs.values()
        for column in spec.columns or (spec.name,)
    }


def _boolean(text: str) -> bool:
    return {"true": True, "false": False, "1": True, "0": False}[text.lower()]


def _number(text: str) -> float | None:
    """As JSON has numbers, where there is none that is infinite; what is none is missing."""
    number = float(_as_written(text))
    if math.isinf(number):
        raise ValueError(text)
    return None if math.isnan(number) else number


def _whole(text: str) -> int:
    return int(_as_written(text))


def _as_written(text: str) -> str:
    """Python also reads 1_000, and the digits of all scripts."""
    if "_" in text or not text.isascii():
        raise ValueError(text)
    return text


_CONVERTERS: dict[str, Callable[[str], Any]] = {"BYTES": str, "BOOL": _boolean}


def _cell(text: str, column: str, line: int, convert: Callable[[str], Any]) -> Any:
    if text == "" and convert is not str:
        return None
    try:
        return convert(text)
    except (ValueError, KeyError):
        raise InvalidInput(f"line {line} of the CSV, column '{column}': {text[:40]!r} is not readable") from None


def _parameter(query: str, name: str) -> str | None:
    prefix = f"{name}="
    return next((pair.removeprefix(prefix) for pair in query.split("&") if pair.startswith(prefix)), None)
