"""What the environment says, read once in the door and frozen."""

import math
from collections.abc import Mapping
from typing import NamedTuple

from lastmile.errors import LastmileError, MissingSettings


class InvalidSetting(LastmileError):
    """An environment variable that is there but cannot be read."""


class Settings(NamedTuple):
    """Everything a serving process needs to know.

    `release_seconds`: a release is read again at most this often. `memory_mb`: Lambda's size, None elsewhere.
    `default_model`: the model of `/invocations` when a request names none. `cors_origins`: whose pages may read
    answers, `*` for all. `token_url`: where the API's documentation sends a client for its token. `data`: the store
    that a server writes captures to, None where they are lines on standard output. `stage` names the deployment, whose
    endpoints bear its name.
    """

    artifacts: str
    release_seconds: float
    memory_mb: int | None
    default_model: str | None
    capture: bool
    cors_origins: frozenset[str] = frozenset()
    token_url: str | None = None
    data: str | None = None
    stage: str = "local"

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Settings":
        if not environ.get("LASTMILE_ARTIFACTS"):
            raise MissingSettings(["LASTMILE_ARTIFACTS"])
        memory = environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE")
        return cls(
            artifacts=environ["LASTMILE_ARTIFACTS"],
            release_seconds=_number(environ, "LASTMILE_RELEASE_SECONDS", 30.0),
            memory_mb=int(memory) if memory else None,
            default_model=environ.get("LASTMILE_DEFAULT_MODEL") or None,
            capture=_switch(environ, "LASTMILE_CAPTURE", default=True),
            cors_origins=_origins(environ, "LASTMILE_CORS_ORIGINS"),
            token_url=_url(environ, "LASTMILE_TOKEN_URL"),
            data=environ.get("LASTMILE_DATA") or None,
            stage=environ.get("LASTMILE_STAGE") or "local",
        )


class WatchSettings(NamedTuple):
    """What the functions need to know that look after predictions.

    `artifacts`: where the registry is. `data`: captures, profiles, feedback and reports. `stage`: a dimension of the
    figures. `bus`: the EventBridge bus that hears of reviews and of drift; without one they are only logged.
    """

    artifacts: str
    data: str
    stage: str
    bus: str | None

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "WatchSettings":
        missing = [name for name in ("LASTMILE_ARTIFACTS", "LASTMILE_DATA") if not environ.get(name)]
        if missing:
            raise MissingSettings(missing)
        return cls(
            artifacts=environ["LASTMILE_ARTIFACTS"],
            data=environ["LASTMILE_DATA"],
            stage=environ.get("LASTMILE_STAGE") or "local",
            bus=environ.get("LASTMILE_BUS") or None,
        )


def _number(environ: Mapping[str, str], name: str, default: float) -> float:
    text = environ.get(name)
    if not text:
        return default
    try:
        number = float(text)
    except ValueError:
        raise InvalidSetting(f"{name} is '{text}', a number is wanted") from None
    if not 0 <= number < math.inf:
        raise InvalidSetting(f"{name} is '{text}', a number from 0 on is wanted")
    return number


def _switch(environ: Mapping[str, str], name: str, *, default: bool) -> bool:
    text = environ.get(name)
    if not text:
        return default
    if text not in ("on", "off"):
        raise InvalidSetting(f"{name} is '{text}', on or off is wanted")
    return text == "on"


def _origins(environ: Mapping[str, str], name: str) -> frozenset[str]:
    origins = frozenset(part.strip() for part in environ.get(name, "").split(",") if part.strip())
    for origin in origins:
        scheme, separator, host = origin.partition("://")
        if origin != "*" and not (scheme in ("http", "https") and separator and host and "/" not in host):
            raise InvalidSetting(f"{name} names '{origin}', an origin like https://app.example.com or * is wanted")
    return origins


def _url(environ: Mapping[str, str], name: str) -> str | None:
    text = environ.get(name)
    if text and not text.startswith(("https://", "http://")):
        raise InvalidSetting(f"{name} is '{text}', a URL like https://… is wanted")
    return text or None
