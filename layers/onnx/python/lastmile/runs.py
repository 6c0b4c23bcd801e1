"""Runs of the learning pipeline, as records in the data store: one per upload, moved by compare-and-swap."""

import hashlib
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from lastmile.errors import NotFound, parsed
from lastmile.executions import RUNNING, Ask, is_process, status, untold
from lastmile.manifest import MODEL_NAME
from lastmile.store import Store, checked

LIVE = ("queued", "running", "waiting for approval", "in canary")
FINAL = ("promoted", "rolled back", "refused", "rejected", "expired", "superseded", "overtaken", "failed")

QUIET_SECONDS = 20.0  # of a record that was written so lately Step Functions is not asked
LAST_WORD_SECONDS = 30.0  # in which a run whose execution has ended is put in order
LONGEST_SILENCE = 26 * 3600.0  # a training job may take a day, and so may one wait for a person


@dataclass(frozen=True, slots=True)
class Upload:
    """One version of an object with training data; `at` is when it was written, in seconds since 1970."""

    key: str
    version: str
    size: int
    at: float

    @property
    def model(self) -> str:
        return model_of(self.key)


@dataclass(frozen=True, slots=True)
class Run:
    """What became of an upload so far.

    `steps` holds what each finished step found out, `waits` what a step that is looked at again must remember.
    `execution` is who works on the run, `problem` the step, the reason and what to do where it did not succeed.
    """

    id: str
    model: str
    upload: Upload
    execution: str
    state: str = "queued"
    step: str = "claim"
    started_at: float = 0.0
    updated_at: float = 0.0
    version: int | None = None
    steps: dict[str, dict[str, Any]] = field(default_factory=dict)
    waits: dict[str, dict[str, Any]] = field(default_factory=dict)
    problem: dict[str, str] | None = None
    report: str | None = None

    @property
    def is_over(self) -> bool:
        return self.state in FINAL

    def found(self, step: str) -> dict[str, Any]:
        """The facts of a finished step."""
        facts: dict[str, Any] = self.steps[step]["facts"]
        return facts

    def path(self, name: str) -> str:
        return f"{folder(self.model)}/{self.id}/{name}"

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Run":
        return cls(**{**document, "upload": Upload(**document["upload"])})


def model_of(key: str) -> str:
    """The model that an upload is for; raises NotFound when the key is none of training data."""
    room, _, rest = key.partition("/")
    model, _, name = rest.partition("/")
    if room != "training" or not name or MODEL_NAME.fullmatch(model) is None:
        raise NotFound(f"'{key[:200]}' is no training data: upload it as training/<model>/<file>")
    return model


def run_id(upload: Upload) -> str:
    """Names the version of the object, and sorts by its time; two deliveries of one upload are one run."""
    digest = hashlib.sha256(f"{upload.key}\n{upload.version}".encode()).hexdigest()
    return f"{datetime.fromtimestamp(int(upload.at), UTC):%Y%m%dT%H%M%SZ}-{digest[:12]}"


def folder(model: str) -> str:
    return f"runs/{model}"


class Runs:
    """The records of all runs. Reading raises NotFound. `ask` knows how executions have ended."""

    def __init__(self, store: Store, *, ask: Ask = untold, clock: Callable[[], float] = time.time) -> None:
        self._store = store
        self._ask = ask
        self._clock = clock

    def ids(self, model: str) -> list[str]:
        """Newest first."""
        return sorted(self._store.list_folders(folder(_named(model))), reverse=True)

    def newest(self, model: str, *, limit: int) -> list[Run]:
        found = []
        for run in self.ids(model)[:limit]:
            try:
                found.append(self.seen(model, run))
            except NotFound:  # its folder is older than its record
                continue
        return sorted(found, key=lambda run: (run.upload.at, run.started_at), reverse=True)

    def models(self) -> list[str]:
        return self._store.list_folders("runs")

    def read(self, model: str, run: str) -> tuple[Run, str]:
        """The record and its etag; raises Damaged for what is none."""
        path = f"{folder(_named(model))}/{run}/run.json"
        try:
            stored = self._store.get(checked(path))
        except NotFound:
            raise NotFound(f"model '{model[:200]}' has no run '{run[:200]}'") from None
        return parsed(lambda data: Run.from_document(orjson.loads(data)), stored.data, path, "run"), stored.etag

    def seen(self, model: str, run: str) -> Run:
        """The record as whoever looks at it should see it: nobody may be left to write that the run is over."""
        found, etag = self.read(model, run)
        reason = None if found.is_over else self._silence(found)
        if reason is None:
            return found
        again, now = self.read(model, run)
        return again if now != etag else _wordless(found, reason)  # it may have had its last word meanwhile

    def _silence(self, run: Run) -> str | None:
        """Why nothing more is to be heard of it; None while something is."""
        now = self._clock()
        if now - run.updated_at < QUIET_SECONDS and not is_process(run.execution):
            return None
        found = status(run.execution, self._ask)
        if found is None:
            hours = (now - run.updated_at) / 3600
            silent = hours * 3600 > LONGEST_SILENCE
            return f"nothing was heard of it for {hours:.0f} hours after step {run.step}" if silent else None
        if found.name == RUNNING or (found.ended_at is not None and now - found.ended_at < LAST_WORD_SECONDS):
            return None
        return f"the pipeline ended without a word at step {run.step} ({found.name})"

    def create(self, run: Run) -> str:
        """Returns the etag; raises AlreadyExists."""
        return self._store.create(run.path("run.json"), _bytes(run))

    def replace(self, run: Run, etag: str, *, now: float) -> tuple[Run, str]:
        """Write over the record that was read with that etag; raises Conflict."""
        written = replace(run, updated_at=now)
        return written, self._store.replace(run.path("run.json"), _bytes(written), etag)


def _wordless(run: Run, reason: str) -> Run:
    if is_process(run.execution):
        advice = f"Train again: `lastmile train {run.model} <data> --here`."
    else:
        advice = f"Take it up again: `lastmile run repeat {run.id}`; what went wrong: `lastmile logs retraining`."
    if run.state == "in canary":
        ends = f"`lastmile release rollback {run.model}`"
        advice += f" Until then version {run.version} keeps its share; {ends} ends that."
    step = run.step
    if run.problem is not None:  # it was being refused
        step, reason = run.problem["step"], f"{run.problem['reason']}; then {reason}"
    return replace(run, state="failed", problem={"step": step, "reason": reason, "advice": advice})


def _bytes(run: Run) -> bytes:
    return orjson.dumps(run.to_document(), option=orjson.OPT_SERIALIZE_NUMPY)


def _named(model: str) -> str:
    if MODEL_NAME.fullmatch(model) is None:
        raise NotFound(f"there is no model '{model[:200]}'")
    return model
