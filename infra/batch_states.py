"""A batch job in Amazon States Language: a plan, a distributed map over the slices of the input, and a report.

All that a job is lies in the data bucket; only its address travels here. What failed is kept with its reason, and a
job that is started again does what is missing.
"""

from dataclasses import dataclass
from typing import Any

from infra.states import NOT_READY, REFUSED

type Document = dict[str, Any]

PLAN, SLICES, JOIN, OVER, BROKEN = "plan", "slices", "join", "over", "broken"
ORDER, MODEL, TRANSFORM, FORGET = "order", "model", "transform", "forget"
COLLECT, SETTLE, AGAIN = "collect", "settle", "again"
ALONE = {"alone.$": "$.plan.alone"}
DAY_SECONDS = 86_400
STEP_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Machine:
    """`function` is the ARN of the function, `bucket` the data bucket, `at_once` how many slices are done together.

    `model` and `job` are the requests for a model and a transform job of it, in which paths stand for what the step
    `order` says; without them the function asks heavy sides at their endpoint, slice by slice.
    """

    function: str
    bucket: str
    partition: str
    at_once: int
    model: Document | None = None
    job: Document | None = None

    def definition(self) -> Document:
        transforms = self.job is not None
        return {
            "Comment": "From a file of rows to files with their predictions",
            "StartAt": PLAN,
            "TimeoutSeconds": 7 * DAY_SECONDS,
            "States": {
                PLAN: self._plan(PLAN, "not planned") | {"Next": "planned"},
                "planned": _choice("$.plan.outcome", JOIN, planned=SLICES, refused=BROKEN),
                SLICES: self._map(SLICES, "slice", "$.plan.items") | {"Next": "sliced" if transforms else JOIN},
                **(self._transforming() if transforms else {}),
                JOIN: self._join(),
                "not planned": self._join(with_error=True),
                "broken off": self._join(with_error=True),
                "joined": _choice("$.report.outcome", BROKEN, done=OVER),
                OVER: {"Type": "Succeed"},
                BROKEN: {"Type": "Fail", "Error": "BatchIncomplete", "Cause": "The job's report says what is missing."},
            },
        }

    def _transforming(self) -> Document:
        """The slices have written what is to be asked; a job answers, as far as it comes; they are made of that. Rows
        whose requests had no answer are asked once more, each alone."""
        return {
            "sliced": _choice("$.plan.by", JOIN, transform=ORDER),
            ORDER: self._step(ORDER, ALONE)
            | {
                "ResultSelector": {
                    "outcome.$": "$.Payload.outcome",
                    "items.$": "$.Payload.items",
                    "order.$": "$.Payload.order",
                },
                "ResultPath": "$.asking",
                "Catch": [_caught("broken off")],
                "Next": "ordered",
            },
            "ordered": _choice("$.asking.outcome", JOIN, ask=MODEL, settle=COLLECT),
            MODEL: self._sagemaker("sagemaker:createModel", self.model)
            | {"ResultPath": "$.model", "Catch": [_caught("broken off")], "Next": TRANSFORM},
            # A job of which some requests fail is a failed one, and its other answers are there.
            TRANSFORM: self._sagemaker("sagemaker:createTransformJob.sync", self.job)
            | {"TimeoutSeconds": DAY_SECONDS, "ResultPath": "$.job_done", "Catch": [_caught(FORGET)], "Next": FORGET},
            FORGET: self._sagemaker("aws-sdk:sagemaker:deleteModel", {"ModelName.$": "$.asking.order.name"})
            | {
                "ResultPath": "$.forgotten",
                "Catch": [{"ErrorEquals": ["States.ALL"], "ResultPath": "$.forgotten", "Next": COLLECT}],
                "Next": COLLECT,
            },
            COLLECT: self._step(COLLECT, ALONE)
            | {"ResultPath": "$.collected", "Catch": [_caught("broken off")], "Next": SETTLE},
            SETTLE: self._map(SETTLE, SETTLE, "$.asking.items") | {"Next": "settled"},
            "settled": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.plan.alone", "BooleanEquals": False, "Next": AGAIN}],
                "Default": "answered",
            },
            AGAIN: self._plan(AGAIN, "broken off") | {"Next": "planned again"},
            "planned again": _choice("$.plan.outcome", "answered", planned=SLICES),
            "answered": {
                "Type": "Choice",
                "Choices": [{"Variable": "$.error", "IsPresent": True, "Next": "broken off"}],
                "Default": JOIN,
            },
        }

    def _plan(self, step: str, otherwise: str) -> Document:
        """Which slices are to be done, and how."""
        told = ("outcome", "items", "by", "alone")
        return self._step(step) | {
            "ResultSelector": {f"{name}.$": f"$.Payload.{name}" for name in told},
            "ResultPath": "$.plan",
            "Catch": [_caught(otherwise)],
        }

    def _sagemaker(self, action: str, parameters: Document | None) -> Document:
        """Tried again where SageMaker has turned it away, and not where a job has failed."""
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::{action}",
            "Parameters": parameters,
            "TimeoutSeconds": STEP_SECONDS,
            "Retry": [REFUSED | {"IntervalSeconds": 30}],
        }

    def _map(self, label: str, step: str, items: str) -> Document:
        given = {"slice.$": "$.slice", "attempt.$": "$.attempt"}
        # What all slices say is one document of at most 256 KB; more would end the job without a report:
        # https://docs.aws.amazon.com/step-functions/latest/dg/service-quotas.html
        nothing: Document = {"ResultSelector": {}}
        return {
            "Type": "Map",
            "Label": label,
            "MaxConcurrency": self.at_once,
            "ItemReader": {
                "Resource": f"arn:{self.partition}:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSON"},
                "Parameters": {"Bucket": self.bucket, "Key.$": items},
            },
            "ItemSelector": {
                "job.$": "$.job",
                "attempt.$": "$$.Execution.Name",
                "slice.$": "$$.Map.Item.Value.slice",
                **ALONE,
            },
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": step,
                "States": {
                    step: self._patient(self._call({"step": step, **given, "alone.$": "$.alone"}))
                    | {**nothing, "Catch": [_caught("failed")], "End": True},
                    # One slice that fails for good keeps no other from being done; so many of them do.
                    "failed": self._call({"step": "failed", **given, "error.$": "$.error"}) | {**nothing, "End": True},
                },
            },
            "ResultPath": "$.slices",
            "Catch": [_caught("broken off")],
        }

    def _patient(self, task: Document) -> Document:
        """An endpoint that is at zero takes minutes to wake, and nothing is paid for while the state machine waits."""
        waking = {
            "ErrorEquals": ["EndpointUnavailable"],
            "IntervalSeconds": 60,
            "BackoffRate": 1.5,
            "MaxAttempts": 8,
            "MaxDelaySeconds": 300,
        }
        return task | {"Retry": [waking, *task["Retry"]]}

    def _join(self, *, with_error: bool = False) -> Document:
        return self._step(JOIN, {"error.$": "$.error"} if with_error else {}) | {
            "ResultSelector": {"outcome.$": "$.Payload.outcome"},
            "ResultPath": "$.report",
            "Next": "joined",
        }

    def _step(self, step: str, more: Document | None = None) -> Document:
        return self._call({"step": step, "attempt.$": "$$.Execution.Name", **(more or {})})

    def _call(self, payload: Document) -> Document:
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::lambda:invoke",
            "Parameters": {"FunctionName": self.function, "Payload": {"job.$": "$.job", **payload}},
            "TimeoutSeconds": STEP_SECONDS,
            "Retry": [
                NOT_READY,
                {
                    "ErrorEquals": ["States.ALL"],
                    "IntervalSeconds": 1,
                    "BackoffRate": 3,
                    "MaxAttempts": 2,
                    "JitterStrategy": "FULL",
                },
            ],
        }


def _choice(variable: str, otherwise: str, **targets: str) -> Document:
    choices = [{"Variable": variable, "StringEquals": value, "Next": target} for value, target in targets.items()]
    return {"Type": "Choice", "Choices": choices, "Default": otherwise}


def _caught(target: str) -> Document:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": target}
