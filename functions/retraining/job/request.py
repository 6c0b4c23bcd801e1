"""What a training job is asked to do, and what it tells: the run, its spec, and what each step found."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import orjson

from lastmile.runs import Run
from lastmile.spec import ModelSpec

OUTCOME = "outcome.json"  # beside what the steps left


@dataclass(frozen=True, slots=True)
class Request:
    run: Run
    spec: ModelSpec

    def to_bytes(self) -> bytes:
        return orjson.dumps({"run": self.run.to_document(), "spec": self.spec.to_document()})

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        document = orjson.loads(data)
        return cls(Run.from_document(document["run"]), ModelSpec.from_document(document["spec"]))


@dataclass(frozen=True, slots=True)
class Told:
    """`facts` by step, as the run's record will have them; `problem` is why the data or the spec is refused."""

    facts: Mapping[str, dict[str, Any]]
    problem: dict[str, str] | None = None

    def to_bytes(self) -> bytes:
        return orjson.dumps({"facts": self.facts, "problem": self.problem}, option=orjson.OPT_SERIALIZE_NUMPY)

    @classmethod
    def from_bytes(cls, data: bytes) -> Self:
        document = orjson.loads(data)
        return cls(document["facts"], document["problem"])
