"""What the documentation says of each route: one row per operation, however many paths it has."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from functions.inference import examples as shown

JSON = "application/json"
BINARY = "application/octet-stream"


@dataclass(frozen=True)
class Content:
    """A body: media type, schema (a name under components, or None for bytes), and named examples."""

    media_type: str
    schema: str | None
    examples: Mapping[str, Any]


@dataclass(frozen=True)
class Operation:
    """`errors` names the schema of the protocol's errors. `predicts` operations answer with provenance headers."""

    id: str
    tag: str
    summary: str
    description: str
    answers: tuple[Content, ...]
    requests: tuple[Content, ...] = ()
    errors: str = "Error"
    refusals: tuple[int, ...] = ()
    predicts: bool = False


@dataclass(frozen=True)
class Tag:
    name: str
    description: str
    url: str | None = None


V2 = Tag(
    "Open Inference Protocol",
    "Version 2, as KServe, Triton and MLServer speak it; JSON and binary tensors.",
    "https://github.com/kserve/open-inference-protocol",
)
TFS = Tag(
    "TensorFlow Serving",
    "Its REST API: predict by rows or by columns, status, metadata.",
    "https://www.tensorflow.org/tfx/serving/api_rest",
)
TORCH = Tag("TorchServe", "Its inference API.", "https://pytorch.org/serve/inference_api.html")
SCORING = Tag(
    "MLflow and SageMaker",
    "The scoring contract of MLflow's model servers and SageMaker's containers.",
    "https://mlflow.org/docs/latest/ml/deployment/deploy-model-locally",
)
DECISIONS = Tag("Decisions", "Lastmile's own: a prediction put through the policy of the version that made it.")
LATE = Tag("Answers that come later", "Lastmile's own: for models whose endpoint sleeps while nobody asks.")
SERVICE = Tag("Service", "Liveness and documentation; no token needed.")
TAGS = (V2, TFS, TORCH, SCORING, DECISIONS, LATE, SERVICE)

OF_A_MODEL = (404, 409, 503)  # what may happen when a model has to be found
PREDICTS = (400, 404, 409, 413, 500, 503)


def _json(schema: str, examples: Mapping[str, Any]) -> tuple[Content]:
    return (Content(JSON, schema, examples),)


def _one(schema: str, example: Any) -> tuple[Content]:
    return _json(schema, {"digits": example})


INFER = Operation(
    "infer",
    V2.name,
    "Tensors in, tensors out",
    "Send one tensor for each input of the model. In the binary form (Triton's binary tensor data extension, what "
    "`tritonclient.http` sends) the body is the JSON document, its length in bytes in the header "
    "`Inference-Header-Content-Length`, and behind it the raw little-endian data of every tensor that has a "
    "`binary_data_size`. Outputs asked for as binary data come back the same way. The body may be gzip or deflate.",
    requests=(
        Content(JSON, "InferenceRequest", shown.V2_REQUESTS),
        Content(BINARY, None, {"a black image, as zeros": shown.V2_BINARY_REQUEST}),
    ),
    answers=(
        Content(JSON, "InferenceResponse", {"digits": shown.V2_ANSWER}),
        Content(BINARY, None, {"label only": shown.V2_BINARY_ANSWER}),
    ),
    refusals=PREDICTS,
    predicts=True,
)
MODEL_METADATA = Operation(
    "model_metadata",
    V2.name,
    "Inputs and outputs of a model",
    "Names, datatypes and shapes of the tensors that the version takes and gives.",
    answers=_one("ModelMetadata", shown.V2_METADATA),
    refusals=OF_A_MODEL,
)
MODEL_READY = Operation(
    "model_ready",
    V2.name,
    "Is the model ready?",
    "200 when the version is loaded, or could be loaded just now.",
    answers=_one("ModelReady", {"name": "digits", "ready": True}),
    refusals=OF_A_MODEL,
)
PREDICT = Operation(
    "predict",
    TFS.name,
    "Predict by rows or by columns",
    "`instances` takes a list of rows and answers with `predictions`, one per row; `inputs` takes whole columns and "
    'answers with `outputs`. A text may be sent as `{"b64": …}`.',
    requests=_json("PredictRequest", shown.TFS_REQUESTS),
    answers=_json("PredictResponse", shown.TFS_ANSWERS),
    refusals=PREDICTS,
    predicts=True,
)
MODEL_STATUS = Operation(
    "model_status",
    TFS.name,
    "Status of a model",
    "The version that answers, and its state.",
    answers=_one("ModelStatus", shown.TFS_STATUS),
    refusals=OF_A_MODEL,
)
MODEL_SIGNATURES = Operation(
    "model_signatures",
    TFS.name,
    "Signature of a model",
    "Inputs and outputs in TensorFlow's words.",
    answers=_one("ModelSignatures", shown.TFS_METADATA),
    refusals=OF_A_MODEL,
)
HANDLE = Operation(
    "predictions",
    TORCH.name,
    "Predict, bare answer",
    "One row gives one answer, a list of rows a list of answers. With content type `text/plain` the body is the one "
    "text that a text model takes.",
    requests=_json("HandlerInput", shown.TORCH_REQUESTS),
    answers=_json("HandlerOutput", shown.TORCH_ANSWERS),
    errors="HandlerError",
    refusals=PREDICTS,
    predicts=True,
)
PING = Operation(
    "ping",
    TORCH.name,
    "Alive?",
    "What TorchServe, SageMaker and MLflow ask in the same words.",
    answers=_one("Healthy", {"status": "Healthy"}),
    errors="HandlerError",
)
SCORE = Operation(
    "invocations",
    SCORING.name,
    "Score a data frame",
    "JSON in one of MLflow's four forms, or CSV with a header line. The model is the one named by `model`, by the "
    "header `X-Amzn-SageMaker-Target-Model`, or this deployment's default.",
    requests=(
        Content(JSON, "ScoringRequest", shown.SCORING_REQUESTS),
        Content("text/csv", None, {"digits": shown.SCORING_CSV}),
    ),
    answers=_one("ScoringResponse", shown.SCORING_ANSWER),
    errors="ScoringError",
    refusals=PREDICTS,
    predicts=True,
)

DECIDE = Operation(
    "decide",
    DECISIONS.name,
    "Decide",
    "Features in, a decision with reasons for each row out. The policy stands in the model's spec (`[decision]`) and "
    "is kept with the version, so that a promotion moves model and policy together. `context` holds what the model "
    "does not know but the policy asks for, one object for each row: the stock at hand, say. A model without a policy "
    "answers 400. Where `review` is true, an event `DecisionReview` asks for a person.",
    requests=_json("DecisionRequest", shown.DECIDE_REQUESTS),
    answers=_one("DecisionResponse", shown.DECIDE_ANSWER),
    refusals=PREDICTS,
    predicts=True,
)

LATER = Operation(
    "prediction",
    LATE.name,
    "The answer that was to come later",
    "Where a request was answered with 202, its `Location` is here. 202 again while there is no answer; then 200 with "
    "exactly the body that the protocol of the request would have given at once, and `lastmile-state: answered`. Where "
    "there will be no answer, 200 with `lastmile-state: failed` and the reason. Kept for seven days.",
    answers=(
        Content(JSON, "LateAnswer", {"digits": shown.V2_ANSWER, "no answer": shown.FAILED}),
        Content(BINARY, None, {"label only": shown.V2_BINARY_ANSWER}),
    ),
    refusals=(404, 409, 503),
    predicts=True,
)

OPERATIONS: dict[tuple[str, str], Operation] = {
    ("POST", "/v2/models/{model}/infer"): INFER,
    ("POST", "/v2/models/{model}/versions/{version}/infer"): INFER,
    ("GET", "/v2"): Operation(
        "server_metadata",
        V2.name,
        "What serves here",
        "Name, version and protocol extensions of this server.",
        answers=_one("ServerMetadata", {"name": "lastmile", "version": "0.1.0", "extensions": ["binary_tensor_data"]}),
    ),
    ("GET", "/v2/health/live"): Operation(
        "server_live", V2.name, "Is the server alive?", "200 while it is.", answers=_one("Live", {"live": True})
    ),
    ("GET", "/v2/health/ready"): Operation(
        "server_ready",
        V2.name,
        "Is the server ready?",
        "200 once the champions are loaded, 503 before.",
        answers=_one("Ready", {"ready": True}),
        errors="Ready",
        refusals=(503,),
    ),
    ("GET", "/v2/models/{model}"): MODEL_METADATA,
    ("GET", "/v2/models/{model}/ready"): MODEL_READY,
    ("GET", "/v2/models/{model}/versions/{version}"): MODEL_METADATA,
    ("GET", "/v2/models/{model}/versions/{version}/ready"): MODEL_READY,
    ("POST", "/v1/models/{model}:predict"): PREDICT,
    ("POST", "/v1/models/{model}/versions/{version}:predict"): PREDICT,
    ("POST", "/v1/models/{model}/labels/{label}:predict"): PREDICT,
    ("POST", "/v1/models/{model}:decide"): DECIDE,
    ("POST", "/v1/models/{model}/versions/{version}:decide"): DECIDE,
    ("GET", "/v1/models/{model}"): MODEL_STATUS,
    ("GET", "/v1/models/{model}/metadata"): MODEL_SIGNATURES,
    ("GET", "/v1/models/{model}/versions/{version}"): MODEL_STATUS,
    ("GET", "/v1/models/{model}/versions/{version}/metadata"): MODEL_SIGNATURES,
    ("GET", "/v1/models/{model}/labels/{label}"): MODEL_STATUS,
    ("GET", "/v1/models/{model}/labels/{label}/metadata"): MODEL_SIGNATURES,
    ("POST", "/predictions/{model}"): HANDLE,
    ("POST", "/predictions/{model}/{version}"): HANDLE,
    ("POST", "/invocations"): SCORE,
    ("GET", "/v1/predictions/{prediction}"): LATER,
    ("GET", "/ping"): PING,
}

PUBLIC: dict[tuple[str, str], Operation] = {
    ("GET", "/health"): Operation(
        "health", SERVICE.name, "Alive?", "200 while the process answers.", answers=_one("Health", {"status": "ok"})
    ),
    ("GET", "/openapi.json"): Operation(
        "openapi",
        SERVICE.name,
        "This document",
        "OpenAPI 3.1.",
        answers=(Content(JSON, "Document", {}),),
    ),
    ("GET", "/docs"): Operation(
        "docs",
        SERVICE.name,
        "The documentation to read and try",
        "Swagger UI.",
        answers=(Content("text/html", None, {}),),
    ),
    ("GET", "/docs/{asset}"): Operation(
        "docs_asset",
        SERVICE.name,
        "Scripts, styles and icon of the documentation",
        "Static files.",
        answers=tuple(Content(kind, None, {}) for kind in ("text/javascript", "text/css", "image/png")),
        refusals=(404,),
    ),
}
