"""The Lambda door: the state machine names a job and a step, and is told what is next."""

import time
from collections.abc import Callable, Mapping
from typing import Any

from aws_lambda_powertools import Logger

from functions.batch import joining, planning, slicing
from functions.batch.desk import Desk, Job, Transforms
from functions.batch.environment import Environment
from functions.batch.sides import Opening
from functions.batch.transforming import Asking
from lastmile.batches import Batches
from lastmile.errors import EndpointUnavailable, InvalidInput, LastmileError, NotFound
from lastmile.predictor import Predictor
from lastmile.registry import Registry
from lastmile.store import Store

type Event = dict[str, Any]

logger = Logger(service="batch")


class Door:
    """Steps: plan, slice, failed (of a slice), join; where a transform job answers, order, collect, settle (of a slice)
    and again too.

    An exception is a failure that the state machine repeats.
    """

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    @classmethod
    def open(cls, environ: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> "Door":
        environment = Environment.from_env(environ)
        predictor = Predictor(
            Registry(Store.open(environment.artifacts, environ=environ)),
            threads=environment.threads,
            heavy=lambda: Opening(environ, stage=environment.stage, data=None),
        )
        data, _, bucket = environment.data.partition("s3://")
        store = Store.open(environment.data, environ=environ)
        transforms = None
        if environment.transforms is not None:
            transforms = Transforms(environment.stage, environment.artifacts, environment.transforms)
        named = bucket.partition("/")[0] if not data else None
        return cls(Desk(predictor, store, named, environ, clock, transforms))

    def __call__(self, event: Event, context: Any = None) -> Event:
        started = time.perf_counter()
        step, attempt = event["step"], event["attempt"]
        job = Job(self.desk, Batches(self.desk.data).read(event["job"]["model"], event["job"]["id"]))
        answer = self._step(step, attempt, job, event)
        took = round(time.perf_counter() - started, 3)
        logger.info("step", extra={"step": step, "took": took, **event["job"], **answer})
        return answer

    def _step(self, step: str, attempt: str, job: Job, event: Event) -> Event:
        match step:
            case "plan":
                return self._plan(job)
            case "slice" | "settle" if slicing.is_made(job, event["slice"]):
                return {"outcome": "found"}
            case "slice" if job.transform is None:
                return slicing.make(job, event["slice"])
            case "slice":
                return _asking(job, event).ask(event["slice"])
            case "order":
                return _asking(job, event).order()
            case "collect":
                _asking(job, event).transform.answers.collect()
                return {"outcome": "collected"}
            case "settle":
                return _asking(job, event).settle(event["slice"])
            case "again":
                return Asking.of(job, attempt, alone=True).again()
            case "failed":
                slicing.note_failure(job, attempt, event["slice"], _error(event["error"]))
                return {"outcome": "noted"}
            case "join":
                report = joining.join(
                    job, attempt, tolerated=event["job"].get("tolerated", 0.0), error=_error(event.get("error"))
                )
                return {"outcome": report["state"]}
            case _:
                raise LastmileError(f"there is no step '{step}'")

    def _plan(self, job: Job) -> Event:
        """What cannot be done is an outcome: nothing is gained by trying it again."""
        try:
            missing = planning.plan(job)
        except (InvalidInput, NotFound, EndpointUnavailable) as error:
            joining.refuse(job, str(error))
            return {"outcome": "refused", "items": job.batch.path("items.json"), "by": "none", "alone": False}
        by = "function"
        if (transform := job.transform) is not None:
            by = "transform"
            transform.answers.collect()  # those of an execution that was stopped before it came to that
        outcome = "planned" if missing else "ready"
        return {"outcome": outcome, "items": job.batch.path("items.json"), "by": by, "alone": False}


def _asking(job: Job, event: Event) -> Asking:
    return Asking.of(job, event["attempt"], event["alone"])


def _error(given: Any) -> Event:
    return given if isinstance(given, dict) else {}
