"""The door of the pipeline: an event names a step and a run, and the answer says what is next."""

import time
from collections.abc import Callable, Mapping
from typing import Any

import orjson
from aws_lambda_powertools import Logger

from functions.retraining import approval, canary, claiming, ending, pipeline, registering, steps
from functions.retraining.environment import Environment
from functions.retraining.executions import Executions
from functions.retraining.job import orders
from functions.retraining.work import Act, Answer, Desk, Job, Profiles, perform
from lastmile.bus import Bus, Client
from lastmile.profile import Profile
from lastmile.registry import Registry
from lastmile.store import Store

type Event = dict[str, Any]

ACTS: Mapping[str, Act] = {
    "validate": steps.validate,
    "train": steps.train,
    "order": orders.order,
    "evaluate": steps.evaluate,
    "compress": steps.compress,
    "certify": steps.certify,
    "register": registering.register,
    "approve": approval.approve,
    "resume": approval.resume,
    "canary": canary.canary,
    "judge": canary.judge,
    "promote": canary.promote,
    "roll back": canary.roll_back,
}

logger = Logger(service="retraining")


def connect() -> Client:
    import boto3  # Lambda's runtime has it; 0.4 s that only a run with something to tell pays

    client: Client = boto3.client("events")
    return client


class Door:
    """One step of one run for each call. A run that was ended from outside is noticed by its execution's status."""

    def __init__(self, desk: Desk, *, acts: Mapping[str, Act] = ACTS) -> None:
        self.desk = desk
        self.acts = acts

    @classmethod
    def open(cls, environ: Mapping[str, str], *, clock: Callable[[], float] = time.time) -> "Door":
        environment = Environment.from_env(environ)
        data = Store.open(environment.data, environ=environ)
        artifacts = Store.open(environment.artifacts, environ=environ)
        desk = Desk(
            data=data,
            registry=Registry(artifacts),
            profiles=captured(data),
            bus=Bus(environment.bus, connect),
            executions=Executions(),
            clock=clock,
            largest_bytes=environment.largest_mb * 1_000_000,
            code=environment.code,
            jobs=environment.data if environment.jobs else None,
        )
        desk.reconnects = (data.reconnect, artifacts.reconnect, desk.bus.reconnect, desk.executions.reconnect)
        return cls(desk)

    def __call__(self, event: Event, context: Any = None) -> Event:
        if event.get("source") == "aws.states":
            self._abandon(event["detail"])
            return {}
        started = time.perf_counter()
        answer = self._answer(event)
        took = round(time.perf_counter() - started, 3)
        logger.info("step", extra={"step": event["step"], "outcome": answer.outcome, "took": took, **answer.run})
        return answer.to_document()

    def _answer(self, event: Event) -> Answer:
        step, run = event["step"], event["run"]
        match step:
            case pipeline.FIRST:
                return claiming.claim(self.desk, run, event["execution"])
            case pipeline.FAILED:
                return self._failed(event)
        job = self._job(run)
        if job.run.execution != run["execution"]:
            return Answer(pipeline.END, run)
        if step == pipeline.ASKING:
            return approval.ask(self.desk, job, event["token"])
        if job.run.is_over:
            ending.announce(job)
        return perform(step, job, self.acts[step], ending.conclude)

    def _job(self, address: Event) -> Job:
        return Job.open(self.desk, address)

    def _failed(self, event: Event) -> Answer:
        """A step broke off. Where it was the first, whose run it would have been is known once the execution has ended
        (`_abandon`): another one may work on it."""
        run, error = event["run"], event.get("error")
        execution = run.get("execution") or event.get("execution")
        if execution is None:
            return Answer(pipeline.BROKEN, run)
        job = self._job(run) if "id" in run else claiming.find(self.desk, run["object"], execution)
        if job is None or job.run.execution != execution:
            return Answer(pipeline.END, run)
        ending.fail(job, error if isinstance(error, dict) else None)
        return Answer(pipeline.BROKEN if job.run.state == "failed" else pipeline.END, run)

    def _abandon(self, ended: Event) -> None:
        """An execution was stopped, or ran out of time, or its last resort failed: what it held is put in order."""
        run = orjson.loads(ended["input"])["run"]
        job = claiming.find(self.desk, run["object"], ended["executionArn"]) if "object" in run else None
        if job is not None:
            ending.fail(job, {"Error": f"the execution has ended as {ended['status']}"})


def captured(data: Store) -> Profiles:
    """What was captured of a version, read when a canary is looked at and not before."""

    def read(model: str, version: int, since: float, until: float) -> Profile | None:
        from lastmile.profiles import ProfileStore

        return ProfileStore(data).read(model, version, since, until)

    return read
