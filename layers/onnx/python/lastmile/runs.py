"""Runs of the learning pipeline, as records in the data store: one per upload, moved by compare-and-swap."""

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import orjson

from lastmile.errors import NotFound
from lastmile.manifest import MODEL_NAME
from lastmile.store import Store, checked

LIVE = ("queued", "running", "waiting for approval", "in canary")
FINAL = ("promoted", "rolled back", "refused", "rejected", "expired", "superseded", "overtaken", "failed")


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
    """The records of all runs. Reading raises NotFound."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def ids(self, model: str) -> list[str]:
        """Newest first."""
        return sorted(self._store.list_folders(folder(_named(model))), reverse=True)

    def newest(self, model: str, *, limit: int) -> list[Run]:
        found = []
        for run in self.ids(model)[:limit]:
            try:
                found.append(self.read(model, run)[0])
            except NotFound:  # its folder is older than its record
                continue
        return sorted(found, key=lambda run: (run.upload.at, run.started_at), reverse=True)

    def models(self) -> list[str]:
        return self._store.list_folders("runs")

    def read(self, model: str, run: str) -> tuple[Run, str]:
        """The record and its etag."""
        try:
            stored = self._store.get(checked(f"{folder(_named(model))}/{run}/run.json"))
        except NotFound:
            raise NotFound(f"model '{model[:200]}' has no run '{run[:200]}'") from None
        return Run.from_document(orjson.loads(stored.data)), stored.etag

    def create(self, run: Run) -> str:
        """Returns the etag; raises AlreadyExists."""
        return self._store.create(run.path("run.json"), _bytes(run))

    def replace(self, run: Run, etag: str, *, now: float) -> tuple[Run, str]:
        """Write over the record that was read with that etag; raises Conflict."""
        written = replace(run, updated_at=now)
        return written, self._store.replace(run.path("run.json"), _bytes(written), etag)


def _bytes(run: Run) -> bytes:
    return orjson.dumps(run.to_document(), option=orjson.OPT_SERIALIZE_NUMPY)


def _named(model: str) -> str:
    if MODEL_NAME.fullmatch(model) is None:
        raise NotFound(f"there is no model '{model[:200]}'")
    return model
