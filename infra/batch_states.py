"""A batch job in Amazon States Language: a plan, a distributed map over the slices of the input, and a report.

All that a job is lies in the data bucket; only its address travels here. What failed is kept with its reason, and a
job that is started again does what is missing.
"""

from dataclasses import dataclass
from typing import Any

type Document = dict[str, Any]

PLAN, SLICES, JOIN, OVER, BROKEN = "plan", "slices", "join", "over", "broken"
DAY_SECONDS = 86_400
STEP_SECONDS = 900


@dataclass(frozen=True, slots=True)
class Machine:
    """`function` is the ARN of the function, `bucket` the data bucket, `at_once` how many slices are done together."""

    function: str
    bucket: str
    partition: str
    at_once: int

    def definition(self) -> Document:
        return {
            "Comment": "From a file of rows to files with their predictions",
            "StartAt": PLAN,
            "TimeoutSeconds": 7 * DAY_SECONDS,
            "States": {
                PLAN: self._step(PLAN)
                | {
                    "ResultSelector": {"outcome.$": "$.Payload.outcome", "items.$": "$.Payload.items"},
                    "ResultPath": "$.plan",
                    "Catch": [_caught("not planned")],
                    "Next": "planned",
                },
                "planned": {
                    "Type": "Choice",
                    "Choices": [
                        {"Variable": "$.plan.outcome", "StringEquals": "planned", "Next": SLICES},
                        {"Variable": "$.plan.outcome", "StringEquals": "refused", "Next": BROKEN},
                    ],
                    "Default": JOIN,
                },
                SLICES: self._map(),
                JOIN: self._join(),
                "not planned": self._join(with_error=True),
                "broken off": self._join(with_error=True),
                "joined": {
                    "Type": "Choice",
                    "Choices": [{"Variable": "$.report.outcome", "StringEquals": "done", "Next": OVER}],
                    "Default": BROKEN,
                },
                OVER: {"Type": "Succeed"},
                BROKEN: {"Type": "Fail", "Error": "BatchIncomplete", "Cause": "The job's report says what is missing."},
            },
        }

    def _map(self) -> Document:
        return {
            "Type": "Map",
            "Label": SLICES,
            "MaxConcurrency": self.at_once,
            "ItemReader": {
                "Resource": f"arn:{self.partition}:states:::s3:getObject",
                "ReaderConfig": {"InputType": "JSON"},
                "Parameters": {"Bucket": self.bucket, "Key.$": "$.plan.items"},
            },
            "ItemSelector": {
                "job.$": "$.job",
                "attempt.$": "$$.Execution.Name",
                "slice.$": "$$.Map.Item.Value.slice",
            },
            "ItemProcessor": {
                "ProcessorConfig": {"Mode": "DISTRIBUTED", "ExecutionType": "STANDARD"},
                "StartAt": "slice",
                "States": {
                    "slice": self._call({"step": "slice", "slice.$": "$.slice", "attempt.$": "$.attempt"})
                    | {"ResultSelector": {"outcome.$": "$.Payload.outcome"}, "Catch": [_caught("failed")], "End": True},
                    # One slice that fails for good keeps no other from being done; so many of them do.
                    "failed": self._call(
                        {"step": "failed", "slice.$": "$.slice", "attempt.$": "$.attempt", "error.$": "$.error"}
                    )
                    | {"ResultSelector": {"outcome.$": "$.Payload.outcome"}, "End": True},
                },
            },
            "ResultPath": "$.slices",
            "Catch": [_caught("broken off")],
            "Next": JOIN,
        }

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
                {
                    "ErrorEquals": ["States.ALL"],
                    "IntervalSeconds": 1,
                    "BackoffRate": 3,
                    "MaxAttempts": 2,
                    "JitterStrategy": "FULL",
                }
            ],
        }


def _caught(target: str) -> Document:
    return {"ErrorEquals": ["States.ALL"], "ResultPath": "$.error", "Next": target}
