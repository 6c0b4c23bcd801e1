"""The learning pipeline in Amazon States Language: every step calls one function, which says what is next.

https://states-language.net/spec.html. All that a run knows lies in the data bucket; only its address travels here.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

type Document = dict[str, Any]

FIRST, ASKING, ORDER, FAILED, OVER = "claim", "ask", "order", "failed", "over"
JOBS = ("job", "boost")
ASK_SECONDS = (86_400, 600, 10)
# Turned away before it began: too many at once, or an image that ECR's cache is still to fetch.
REFUSED: Document = {
    "ErrorEquals": ["SageMaker.AmazonSageMakerException", "SageMaker.SageMakerException"],
    "IntervalSeconds": 60,
    "BackoffRate": 2,
    "MaxAttempts": 4,
    "JitterStrategy": "FULL",
}
# The function cannot take a call yet. One that was idle for weeks is made ready again when it is called, in a minute or
# two: https://docs.aws.amazon.com/lambda/latest/dg/functions-states.html, and as Step Functions sees it
# https://github.com/aws-solutions-library-samples/accelerated-intelligent-document-processing-on-aws/issues/801
NOT_READY: Document = {
    "ErrorEquals": [
        "Lambda.CodeArtifactUserPendingException",
        "Lambda.ResourceConflictException",
        "Lambda.ResourceNotReadyException",
        "Lambda.SnapStartNotReadyException",
        "Lambda.TooManyRequestsException",
    ],
    "IntervalSeconds": 5,
    "BackoffRate": 2,
    "MaxDelaySeconds": 60,
    "MaxAttempts": 9,
}
YEAR_SECONDS = 365 * 86_400  # the longest that Step Functions runs anything


@dataclass(frozen=True, slots=True)
class Step:
    """`leads` says by the outcome which step is next; None ends the run."""

    leads: Mapping[str, str | None]
    minutes: int = 5
    attempts: int = 5


def _quick(**leads: str) -> Step:
    return Step({**leads, "refused": FAILED, "end": None})


def _heavy(**leads: str) -> Step:
    return Step({**leads, "refused": FAILED, "end": None}, minutes=15, attempts=2)


# As functions/retraining/pipeline.py says it; a test compares the two.
STEPS: Mapping[str, Step] = {
    "claim": _quick(done="validate", wait="claim"),
    "validate": _heavy(done="train", beyond=ORDER),
    "train": _heavy(done="evaluate"),
    ORDER: _heavy(done="evaluate", job="job", boost="boost"),
    **{name: Step({"done": ORDER}, attempts=2) for name in JOBS},
    "evaluate": _heavy(done="compress"),
    "compress": _heavy(done="certify"),
    "certify": _heavy(done="register"),
    "register": _quick(done="approve"),
    "approve": _quick(done="resume", ask=ASKING),
    ASKING: Step({"done": "approve", "end": None}),
    "resume": _quick(done="canary", wait="resume"),
    "canary": _quick(done="promote", wait="judge"),
    "judge": _quick(done="canary", wait="judge", worse="roll back"),
    "promote": _quick(),
    "roll back": _quick(),
    FAILED: Step({"end": None, "broken": None}),
}


@dataclass(frozen=True)
class Machine:
    """`function` is the ARN of the function, `partition` that of AWS.

    `jobs` are the requests for training jobs, in which paths stand for what the step that orders them says; without
    them there is no such branch.
    """

    function: str
    partition: str
    jobs: Mapping[str, Document] | None = None
    job_seconds: int = 86_400

    @property
    def steps(self) -> Mapping[str, Step]:
        if self.jobs is not None:
            return STEPS
        away = {ORDER, *JOBS}
        return {
            name: replace(step, leads={key: target for key, target in step.leads.items() if target not in away})
            for name, step in STEPS.items()
            if name not in away
        }

    def definition(self) -> Document:
        return {
            "Comment": "From an upload to a version that serves, or to a report that says why not",
            "StartAt": FIRST,
            "TimeoutSeconds": YEAR_SECONDS,
            "States": dict(self._states()),
        }

    def _states(self) -> Iterator[tuple[str, Document]]:
        for name, step in self.steps.items():
            if name == ASKING:
                yield from self._asking(step)
                continue
            if name in JOBS:
                yield name, self._job(name, step)
                continue
            yield name, self._task(name, step) | {"Next": f"after {name}"}
            yield f"after {name}", _choice(name, step)
            if (waited_for := step.leads.get("wait")) is not None:
                yield f"wait after {name}", {"Type": "Wait", "SecondsPath": "$.seconds", "Next": waited_for}
        yield "broken", {"Type": "Fail", "Error": "RunFailed", "Cause": "The run's report says which step, and why."}
        yield OVER, {"Type": "Succeed"}

    def _task(self, name: str, step: Step) -> Document:
        more = {FIRST: {"execution.$": "$$.Execution.Id"}, FAILED: {"error.$": "$.error"}}.get(name, {})
        task = self._call({"step": name, "run.$": "$.run", **more}) | {
            "ResultSelector": {
                **({"job.$": "$.Payload.job"} if name == ORDER else {}),
                "run.$": "$.Payload.run",
                "outcome.$": "$.Payload.outcome",
                "seconds.$": "$.Payload.seconds",
                "error": "none",  # a null would be left out of the template
            },
            "TimeoutSeconds": step.minutes * 60,
            "Retry": [NOT_READY, _retry("States.ALL", step.attempts)],
        }
        return task if name == FAILED else task | {"Catch": [_caught("States.ALL", FAILED)]}

    def _job(self, name: str, step: Step) -> Document:
        """Until the training job has ended; stopping the execution stops it."""
        assert self.jobs is not None
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::sagemaker:createTrainingJob.sync",
            "Parameters": self.jobs[name],
            "ResultPath": "$.trained",  # which nobody reads: what the job left lies in the data bucket
            "TimeoutSeconds": self.job_seconds + 3600,
            "Retry": [REFUSED, _retry("States.ALL", step.attempts)],
            "Catch": [_caught("States.ALL", FAILED)],
            "Next": step.leads["done"],
        }

    def _asking(self, step: Step) -> Iterator[tuple[str, Document]]:
        """A wait for each length, the shortest also for less; it ends early when somebody answers."""
        after = step.leads["done"]
        choices = [
            {"Variable": "$.seconds", "NumericGreaterThanEquals": seconds, "Next": f"{ASKING} for {seconds} s"}
            for seconds in ASK_SECONDS
        ]
        yield ASKING, {"Type": "Choice", "Choices": choices, "Default": f"{ASKING} for {ASK_SECONDS[-1]} s"}
        for seconds in ASK_SECONDS:
            payload = {"step": ASKING, "run.$": "$.run", "token.$": "$$.Task.Token"}
            yield (
                f"{ASKING} for {seconds} s",
                self._call(payload, how=".waitForTaskToken")
                | {
                    "ResultPath": "$.answer",  # which nobody reads: the answer itself lies in the data bucket
                    "TimeoutSeconds": seconds,
                    "Retry": [NOT_READY, _retry("States.Timeout", 1), _retry("States.ALL", step.attempts)],
                    "Catch": [
                        {"ErrorEquals": ["States.Timeout"], "ResultPath": "$.answer", "Next": after},
                        _caught("States.ALL", FAILED),
                    ],
                    "Next": after,
                },
            )

    def _call(self, payload: Document, *, how: str = "") -> Document:
        return {
            "Type": "Task",
            "Resource": f"arn:{self.partition}:states:::lambda:invoke{how}",
            "Parameters": {"FunctionName": self.function, "Payload": payload},
        }


def _choice(name: str, step: Step) -> Document:
    """Whatever it cannot understand is a failure."""
    targets = {outcome: OVER if target is None else target for outcome, target in step.leads.items()}
    if "wait" in targets:
        targets["wait"] = f"wait after {name}"
    if "broken" in targets:
        targets["broken"] = "broken"
    choices = [{"Variable": "$.outcome", "StringEquals": key, "Next": target} for key, target in targets.items()]
    return {"Type": "Choice", "Choices": choices, "Default": FAILED if name != FAILED else "broken"}


def _retry(error: str, attempts: int) -> Document:
    if attempts == 1:
        return {"ErrorEquals": [error], "MaxAttempts": 0}
    return {
        "ErrorEquals": [error],
        "IntervalSeconds": 1,
        "BackoffRate": 3,
        "MaxAttempts": attempts - 1,
        "JitterStrategy": "FULL",
    }


def _caught(error: str, target: str) -> Document:
    return {"ErrorEquals": [error], "ResultPath": "$.error", "Next": target}
