"""What the retraining function's environment says, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from lastmile.errors import MissingSettings
from lastmile.settings import InvalidSetting

LARGEST_MB = 400


@dataclass(frozen=True, slots=True)
class Environment:
    """`artifacts`: where the registry is. `data`: uploads, runs and reports. `bus`: the EventBridge bus that is told
    what happened; without one, events are only logged. `largest_mb`: the largest upload that fits into the function.
    `jobs`: whether training jobs take what is larger. `code`: which code trains, for the lineage of versions; the
    digests of what is deployed, or a commit."""

    artifacts: str
    data: str
    bus: str | None = None
    largest_mb: int = LARGEST_MB
    jobs: bool = False
    code: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Environment":
        missing = [name for name in ("LASTMILE_ARTIFACTS", "LASTMILE_DATA") if not environ.get(name)]
        if missing:
            raise MissingSettings(missing)
        return cls(
            artifacts=environ["LASTMILE_ARTIFACTS"],
            data=environ["LASTMILE_DATA"],
            bus=environ.get("LASTMILE_BUS") or None,
            largest_mb=_megabytes(environ, "LASTMILE_LARGEST_MB", LARGEST_MB),
            jobs=_switch(environ, "LASTMILE_TRAINING_JOBS"),
            code=orjson.loads(environ.get("LASTMILE_CODE") or "{}"),
        )


def _megabytes(environ: Mapping[str, str], name: str, default: int) -> int:
    text = environ.get(name) or str(default)
    if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text)):
        raise InvalidSetting(f"{name} is '{text}', a whole number from 1 on is wanted")
    return int(text)


def _switch(environ: Mapping[str, str], name: str) -> bool:
    text = environ.get(name) or "off"
    if text not in ("on", "off"):
        raise InvalidSetting(f"{name} is '{text}', on or off is wanted")
    return text == "on"
