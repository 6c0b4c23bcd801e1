"""One step of one run: what it may use, how its result is kept, and how a refusal differs from a breakdown.

Whatever breaks off can be repeated: a finished step answers from the run's record, and a step that was cut short
finds what it wrote before and goes on.
"""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from functions.retraining import pipeline
from functions.retraining.executions import Executions
from functions.retraining.lease import LeaseLost, Leases
from lastmile.approvals import Approvals
from lastmile.bus import Bus, EventRefused
from lastmile.errors import LastmileError, NotFound, StoreUnavailable
from lastmile.profile import Profile
from lastmile.registry import Registry, Release
from lastmile.runs import Run, Runs
from lastmile.spec import ModelSpec
from lastmile.store import Conflict, Store

type Profiles = Callable[[str, int, float, float], Profile | None]


class Desk:
    """Everything a step may use. `clock` gives seconds since 1970, `largest_bytes` is the largest upload it takes.

    `profiles` gives what was captured of a version of a model between two times. `threads` are those of a session
    that measures, `code` says which code the steps were, where that is known. `jobs` is the URI of `data` where
    training jobs take what is too large, and `most_cells` how many values of a table are kept for later steps.
    """

    def __init__(
        self,
        *,
        data: Store,
        registry: Registry,
        profiles: Profiles,
        bus: Bus,
        executions: Executions,
        clock: Callable[[], float] = time.time,
        largest_bytes: int | None = None,
        threads: int = 1,
        code: dict[str, Any] | None = None,
        jobs: str | None = None,
        most_cells: int | None = None,
    ) -> None:
        self.data = data
        self.registry = registry
        self.profiles = profiles
        self.bus = bus
        self.executions = executions
        self.clock = clock
        self.largest_bytes = largest_bytes
        self.threads = threads
        self.code = code or {}
        self.jobs = jobs
        self.most_cells = most_cells
        self.runs = Runs(data)
        self.approvals = Approvals(data)
        self.reconnects: tuple[Callable[[], None], ...] = ()
        self.leases = Leases(data, clock=clock, is_running=executions.is_running)


class Refused(LastmileError):
    """The run cannot go on, for a reason that repeating it would not change; `advice` says what would.

    `facts` are what the step has found all the same.
    """

    def __init__(self, reason: str, advice: str = "", facts: dict[str, Any] | None = None) -> None:
        super().__init__(reason)
        self.advice = advice
        self.facts = facts or {}


class Overtaken(LastmileError):
    """Somebody else has moved the release, or rejected the version: their word counts."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a step found. `facts` are kept in the run for the steps after it, `remember` for the step's own next look.

    `seconds` is how long to wait before that look; `state` and `why` end the run, and `job` is
    what a training job is to do.
    """

    name: str = pipeline.DONE
    facts: dict[str, Any] = field(default_factory=dict)
    remember: dict[str, Any] | None = None
    seconds: float = 0.0
    state: str | None = None
    version: int | None = None
    why: str | None = None
    advice: str = ""
    job: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What the state machine is told: where to go, and how long to wait before."""

    outcome: str
    run: dict[str, Any]
    seconds: int = 0
    job: dict[str, Any] | None = None

    def to_document(self) -> dict[str, Any]:
        return {"outcome": self.outcome, "run": self.run, "seconds": self.seconds, "job": self.job}


class Job:
    """A run in the hands of one execution."""

    def __init__(self, desk: Desk, run: Run, etag: str) -> None:
        self.desk = desk
        self.run = run
        self._etag = etag

    @classmethod
    def open(cls, desk: Desk, address: dict[str, Any]) -> "Job":
        return cls(desk, *desk.runs.read(address["model"], address["id"]))

    @property
    def address(self) -> dict[str, Any]:
        return {"model": self.run.model, "id": self.run.id, "execution": self.run.execution}

    @property
    def actor(self) -> str:
        """Who acts, for the audit."""
        return f"learning run {self.run.id}"

    @property
    def spec(self) -> ModelSpec:
        """As it was when the run began; what is pushed later is for later runs."""
        import orjson

        return ModelSpec.from_document(orjson.loads(self.desk.data.get(self.run.path("spec.json")).data))

    def made(self, release: Release) -> bool:
        """Whether this run, in whichever hands, made the last move of what serves."""
        for entry in self.desk.registry.audit(self.run.model, limit=50):
            if entry.to_revision == release.revision and entry.from_revision != entry.to_revision:
                return entry.actor == self.actor
        return False

    def write(self, **changes: Any) -> None:
        """Change the record; raises StoreUnavailable when another attempt of this step was faster."""
        try:
            changed = replace(self.run, **changes)
            self.run, self._etag = self.desk.runs.replace(changed, self._etag, now=self.desk.clock())
        except Conflict:
            raise StoreUnavailable(f"another attempt writes run {self.run.id}; look again") from None

    def refuse(self, step: str, problem: dict[str, str], facts: dict[str, Any]) -> None:
        """Keep why the run cannot go on, and what the step found."""
        done = {"at": self.desk.clock(), "outcome": pipeline.REFUSED, "facts": facts}
        self.write(problem=problem, steps={**self.run.steps, step: done} if facts else self.run.steps)

    def finish(self, step: str, outcome: "Outcome") -> None:
        """Keep what the step found."""
        done = {"at": self.desk.clock(), "outcome": outcome.name, "facts": outcome.facts}
        steps, waits = self.run.steps, self.run.waits
        if outcome.name not in (pipeline.WAIT, pipeline.ASK, *pipeline.JOBS):
            steps = {**steps, step: done}
        if outcome.remember is not None:
            waits = {**waits, step: outcome.remember}
        version = self.run.version if outcome.version is None else outcome.version
        self.write(steps=steps, waits=waits, version=version, state=outcome.state or self.run.state)


type Act = Callable[[Job], Outcome]
type Conclude = Callable[[Job, str, dict[str, str] | None], None]

AGAIN = ("claim", "order", "approve", "resume", "canary", "judge")  # looked at more than once
FREE = ("approve", "resume")  # for these steps the model need not be held: the run may have waited for a person


def perform(step: str, job: Job, act: Act, conclude: Conclude) -> Answer:
    """Do a step's work, unless it is done or the run is in other hands.

    Refusals come back as an outcome; everything else that goes wrong is raised, and the step is tried again.
    """
    run = job.run
    if run.is_over:
        return Answer(pipeline.END, job.address)
    if step not in AGAIN and step in run.steps:
        return Answer(run.steps[step]["outcome"], job.address)
    try:
        if step not in FREE:
            job.desk.leases.hold(run)
        if run.step != step:
            job.write(step=step)
        outcome = act(job)
    except LeaseLost:
        return Answer(pipeline.END, job.address)
    except (StoreUnavailable, EventRefused):  # which may be over with the next attempt
        raise
    except Overtaken as error:
        outcome = Outcome(pipeline.END, state=_overtaken_as(job), why=str(error), advice="Nothing.")
    except (LastmileError, MemoryError) as error:
        job.refuse(step, problem(step, error), getattr(error, "facts", {}))
        return Answer(pipeline.REFUSED, job.address)
    if outcome.name == pipeline.END:
        assert outcome.state is not None
        said = {"step": step, "reason": outcome.why or "", "advice": outcome.advice}
        conclude(job, outcome.state, None if outcome.state == "promoted" else said)
    else:
        job.finish(step, outcome)
    return Answer(outcome.name, job.address, max(1, math.ceil(outcome.seconds)), outcome.job)


def _overtaken_as(job: Job) -> str:
    version = job.run.version
    rejected = version is not None and job.desk.registry.rejection(job.run.model, version) is not None
    return "rejected" if rejected else "overtaken"


def problem(step: str, error: BaseException) -> dict[str, str]:
    """The step, the reason and what to do."""
    if isinstance(error, MemoryError):
        reason, advice = "the data does not fit into memory", "Upload fewer rows or columns."
    else:
        said = str(error).rstrip(".")
        reason, advice = said, getattr(error, "advice", "") or ADVICE.get(step, "")
    return {"step": step, "reason": reason, "advice": advice}


ADVICE = {
    "claim": "Declare the model with `lastmile train <model> <data> --spec <spec.toml>`, then upload again.",
    "validate": "Mend the data and upload it again; the report lists what is wrong and where.",
    "train": "Check the training section of the spec against the data.",
    "evaluate": "Look at the gates and the metrics; better data or another recipe may help.",
    "compress": "Check the compression section of the spec.",
    "certify": "Lower no tolerance lightly: the converted model answers differently from the trained one.",
    "register": "Check the spec's inputs and outputs against the trained graph.",
}


def exists(job: Job, name: str) -> bool:
    return job.desk.data.exists(job.run.path(name))


def read(job: Job, name: str) -> bytes:
    """What an earlier step left."""
    try:
        return job.desk.data.get(job.run.path(name)).data
    except NotFound as error:
        raise StoreUnavailable(f"{name} of run {job.run.id} is not there yet") from error


def keep(job: Job, name: str, data: bytes) -> str:
    """Leave something for later steps; whoever repeats the step writes over it. Returns the name."""
    job.desk.data.put(job.run.path(name), data)
    return name
