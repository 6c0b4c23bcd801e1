"""What the capture function's environment says, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

from lastmile.errors import MissingSettings


@dataclass(frozen=True, slots=True)
class Environment:
    """`artifacts`: where the registry is. `data`: where captures and profiles go. `stage`: a dimension of the figures.
    `bus`: the EventBridge bus that is told of decisions that want a person; without one they are only logged."""

    artifacts: str
    data: str
    stage: str
    bus: str | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Environment":
        missing = [name for name in ("LASTMILE_ARTIFACTS", "LASTMILE_DATA") if not environ.get(name)]
        if missing:
            raise MissingSettings(missing)
        return cls(
            artifacts=environ["LASTMILE_ARTIFACTS"],
            data=environ["LASTMILE_DATA"],
            stage=environ.get("LASTMILE_STAGE") or "local",
            bus=environ.get("LASTMILE_BUS") or None,
        )
