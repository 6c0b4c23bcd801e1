"""The bodies of the prediction protocols as JSON Schema (2020-12, as OpenAPI 3.1 has it)."""

from typing import Any

from lastmile.protocols.tensorflow_serving import DT
from lastmile.tensors import DATATYPES

type Schema = dict[str, Any]


def ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def list_of(items: Schema, description: str = "") -> Schema:
    return {"type": "array", "items": items} | ({"description": description} if description else {})


def record(properties: dict[str, Schema], *, optional: tuple[str, ...] = (), description: str = "") -> Schema:
    """An object; further members are allowed, as clients of every protocol send some."""
    required = [name for name in properties if name not in optional]
    schema: Schema = {"type": "object", "properties": properties, "required": required}
    return schema | ({"description": description} if description else {})


def only(properties: dict[str, Schema]) -> Schema:
    """An object of the first member, needed, and perhaps the others; a misspelt one is an error."""
    needed = next(iter(properties))
    return {"type": "object", "properties": properties, "required": [needed], "additionalProperties": False}


TEXT: Schema = {"type": "string"}
ANY: Schema = {}
DATATYPE: Schema = {"type": "string", "enum": list(DATATYPES)}
BINARY_SIZE: Schema = {
    "type": ["integer", "null"],
    "minimum": 0,
    "description": "The tensor's bytes, found behind the JSON header, in the order of the tensors.",
}
CELL: Schema = {"type": ["number", "string", "boolean", "null"]}
CONTEXT: Schema = {
    "type": "array",
    "items": {"type": "object"},
    "description": "What the policy takes beside the features, an object for each row.",
}

SCHEMAS: dict[str, Schema] = {
    "InferenceRequest": record(
        {
            "id": {
                "type": ["string", "null"],
                "description": "Comes back in the answer; the routing key of a canary where none is sent.",
            },
            "inputs": list_of(ref("InputTensor"), "One tensor for each input of the model."),
            "outputs": {
                "type": ["array", "null"],
                "items": ref("RequestedOutput"),
                "description": "The outputs wanted, in this order; all of them if left out.",
            },
            "parameters": {
                "type": ["object", "null"],
                "properties": {"binary_data_output": {"type": "boolean", "description": "All outputs as binary data."}},
            },
        },
        optional=("id", "outputs", "parameters"),
    ),
    "InputTensor": record(
        {
            "name": TEXT,
            "datatype": DATATYPE,
            "shape": list_of({"type": "integer", "minimum": 0}, "Row-major; the first axis is usually the rows."),
            "data": {
                "description": "The elements, flat or nested as the shape says. null is allowed where the "
                "model's input is nullable. Left out for a tensor in binary form.",
                "type": ["array", "number", "string", "boolean", "null"],
            },
            "parameters": {"type": ["object", "null"], "properties": {"binary_data_size": BINARY_SIZE}},
        },
        optional=("data", "parameters"),
    ),
    "RequestedOutput": record(
        {
            "name": TEXT,
            "parameters": {
                "type": ["object", "null"],
                "properties": {"binary_data": {"type": "boolean", "description": "This output as binary data."}},
            },
        },
        optional=("parameters",),
    ),
    "InferenceResponse": record(
        {
            "model_name": TEXT,
            "model_version": TEXT,
            "id": {"type": "string", "description": "The request's own id, if it had one."},
            "outputs": list_of(ref("OutputTensor")),
        },
        optional=("id",),
    ),
    "OutputTensor": record(
        {
            "name": TEXT,
            "datatype": DATATYPE,
            "shape": list_of({"type": "integer", "minimum": 0}),
            "data": list_of(CELL, "Row-major and flat. NaN and infinities, which JSON cannot say, are null."),
            "parameters": record({"binary_data_size": BINARY_SIZE}),
        },
        optional=("data", "parameters"),
    ),
    "ServerMetadata": record({"name": TEXT, "version": TEXT, "extensions": list_of(TEXT)}),
    "ModelMetadata": record(
        {
            "name": TEXT,
            "versions": list_of(TEXT, "The version that answers."),
            "platform": TEXT,
            "inputs": list_of(ref("TensorMetadata")),
            "outputs": list_of(ref("TensorMetadata")),
        }
    ),
    "TensorMetadata": record(
        {
            "name": TEXT,
            "datatype": DATATYPE,
            "shape": list_of({"type": "integer", "minimum": -1}, "-1 is any length."),
            "parameters": record({"columns": {"type": "string", "description": "The last axis by name, a JSON list."}}),
        },
        optional=("parameters",),
    ),
    "Live": record({"live": {"type": "boolean"}}),
    "Ready": record({"ready": {"type": "boolean"}}),
    "ModelReady": record({"name": TEXT, "ready": {"type": "boolean"}}),
    "PredictRequest": {
        "description": "Rows (`instances`) or columns (`inputs`), not both.",
        "oneOf": [
            record(
                {
                    "instances": list_of(
                        ANY, "A value for each row; an object per row where the model has several inputs."
                    ),
                    "signature_name": {"type": "string", "enum": ["serving_default", ""]},
                },
                optional=("signature_name",),
            ),
            record(
                {
                    "inputs": {"description": "The values of the one input, or an object with an entry per input."},
                    "signature_name": {"type": "string", "enum": ["serving_default", ""]},
                },
                optional=("signature_name",),
            ),
        ],
    },
    "PredictResponse": {
        "oneOf": [
            record({"predictions": list_of(ANY, "A value per row; an object per row for several outputs.")}),
            record(
                {"outputs": {"description": "All values of the one output, or an object with an entry per output."}}
            ),
        ],
    },
    "ModelStatus": record(
        {
            "model_version_status": list_of(
                record(
                    {
                        "version": TEXT,
                        "state": {"type": "string", "enum": ["AVAILABLE"]},
                        "status": record({"error_code": TEXT, "error_message": TEXT}),
                    }
                )
            )
        }
    ),
    "ModelSignatures": record(
        {
            "model_spec": record({"name": TEXT, "signature_name": TEXT, "version": TEXT}),
            "metadata": record(
                {"signature_def": record({"signature_def": record({"serving_default": ref("SignatureDef")})})}
            ),
        }
    ),
    "SignatureDef": record(
        {
            "inputs": {"type": "object", "additionalProperties": ref("TensorInfo")},
            "outputs": {"type": "object", "additionalProperties": ref("TensorInfo")},
            "method_name": TEXT,
        }
    ),
    "TensorInfo": record(
        {
            "name": TEXT,
            "dtype": {"type": "string", "enum": list(DT.values())},
            "tensor_shape": record(
                {"dim": list_of(record({"size": TEXT, "name": TEXT})), "unknown_rank": {"type": "boolean"}}
            ),
        }
    ),
    "HandlerInput": {
        "description": 'A list of rows, one row, or `{"instances": […]}` or `{"data": […]}` around rows. '
        "A row is a value, or an object that names the inputs.",
        "type": ["array", "object", "number", "string", "boolean"],
    },
    "HandlerOutput": {"description": "A list with an answer for each row, or the bare answer to one row."},
    "ScoringRequest": {
        "description": "Exactly one of MLflow's four forms.",
        "oneOf": [
            record(
                {
                    "dataframe_split": record(
                        {"columns": list_of(TEXT), "data": list_of(list_of(ANY), "A list of cells per row.")},
                        description="Columns that the model does not take are ignored.",
                    )
                }
            ),
            record(
                {
                    "dataframe_records": list_of(
                        {"type": "object"}, "An object per row; a column that is left out is null."
                    )
                }
            ),
            record({"instances": list_of(ANY, "As in TensorFlow Serving: a value or an object per row.")}),
            record(
                {"inputs": {"description": "As in TensorFlow Serving: values, or an object with an entry per input."}}
            ),
        ],
    },
    "ScoringResponse": record({"predictions": list_of(ANY, "A value per row; an object per row for several outputs.")}),
    "DecisionRequest": {
        "description": "`rows` or `instances`, not both, and the context that the policy asks for.",
        "oneOf": [
            only({"rows": list_of({"type": "object"}, "Features by name, a row each."), "context": CONTEXT}),
            only(
                {
                    "instances": list_of(ANY, "As in TensorFlow Serving: a value or an object per row."),
                    "context": CONTEXT,
                }
            ),
        ],
    },
    "DecisionResponse": record(
        {
            "model": TEXT,
            "version": TEXT,
            "prediction_id": TEXT,
            "decisions": list_of(ref("Decision"), "One for each row, in order."),
        }
    ),
    "Decision": record(
        {
            "decision": {"type": "string", "description": "What to do: allow, a queue's name, order, …"},
            "reasons": list_of(TEXT, "Sentences with the figures used."),
            "review": {"type": "boolean", "description": "Whether a person is asked."},
            "details": {"type": "object", "description": "The figures by name: the expected cost of each option, say."},
            "prediction": {"type": "object", "description": "The model's outputs; named columns are objects."},
        }
    ),
    "PendingPrediction": record(
        {
            "prediction_id": TEXT,
            "state": {"type": "string", "enum": ["pending"]},
            "location": {"type": "string", "description": "Where to ask for the answer."},
            "reason": {"type": "string", "description": "Why not now: asleep, slow, throttled, failing, large, …"},
        }
    ),
    "LateAnswer": {
        "description": "What the protocol of the request says to it; or, where there will be no answer, an object with "
        "`state` failed and `error`. The header `lastmile-state` tells which.",
    },
    "Healthy": record({"status": {"type": "string", "enum": ["Healthy"]}}),
    "Health": record({"status": {"type": "string", "enum": ["ok"]}}),
    "Document": record({"openapi": TEXT, "info": {"type": "object"}, "paths": {"type": "object"}}),
    "Error": record({"error": {"type": "string", "description": "What is wrong, and where."}}),
    "HandlerError": record({"code": {"type": "integer"}, "type": TEXT, "message": TEXT}),
    "ScoringError": record({"error_code": TEXT, "message": TEXT}),
    "GatewayError": record(
        {"message": {"type": ["string", "null"]}, "error": TEXT},
        optional=("message", "error"),
        description="Said before a protocol is reached: `message` by API Gateway, `error` where no route answers.",
    ),
    "Incident": record(
        {"error": TEXT, "id": {"type": "string", "description": "Under this id the cause is in the log."}},
        optional=("id",),
    ),
}
