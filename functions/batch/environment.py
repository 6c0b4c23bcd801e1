"""What the batch function's environment says, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from lastmile.errors import MissingSettings
from lastmile.model import threads_for


@dataclass(frozen=True, slots=True)
class Environment:
    """`artifacts`: where the registry is. `data`: jobs, and the inputs and outputs that name no other bucket.

    `transforms`: where SageMaker does transform jobs, what it is to be told of their machines, by instance type.
    """

    artifacts: str
    data: str
    threads: int
    stage: str
    transforms: Mapping[str, Mapping[str, Any]] | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Environment":
        missing = [name for name in ("LASTMILE_ARTIFACTS", "LASTMILE_DATA") if not environ.get(name)]
        if missing:
            raise MissingSettings(missing)
        memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        transforms = environ.get("LASTMILE_TRANSFORMS")
        return cls(
            environ["LASTMILE_ARTIFACTS"],
            environ["LASTMILE_DATA"],
            threads_for(int(memory) if memory else None),
            environ.get("LASTMILE_STAGE") or "local",
            orjson.loads(transforms) if transforms else None,
        )
