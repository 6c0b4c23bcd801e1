"""Where the server listens, and the check that no setting is misspelt."""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches

from lastmile.settings import InvalidSetting

PREFIX = "LASTMILE_"
MAX_WORKERS = 128
# What a server reads; `LASTMILE_STAGE` says in a deployment which one it is.
NAMES = (
    "LASTMILE_ARTIFACTS",
    "LASTMILE_CAPTURE",
    "LASTMILE_CORS_ORIGINS",
    "LASTMILE_DATA",
    "LASTMILE_DEFAULT_MODEL",
    "LASTMILE_HOST",
    "LASTMILE_PORT",
    "LASTMILE_RELEASE_SECONDS",
    "LASTMILE_STAGE",
    "LASTMILE_TOKEN_URL",
    "LASTMILE_WORKERS",
)


@dataclass(frozen=True, slots=True)
class Listening:
    """`workers` are processes, each with its own sessions in memory."""

    host: str
    port: int
    workers: int

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Listening":
        for name in environ:
            if name.startswith(PREFIX) and name not in NAMES:
                near = get_close_matches(name, NAMES, 1)
                raise InvalidSetting(f"{name} is no setting; {f'is {near[0]} meant?' if near else ', '.join(NAMES)}")
        return cls(
            host=environ.get("LASTMILE_HOST") or "127.0.0.1",
            port=_whole(environ, "LASTMILE_PORT", 8080, highest=65535),
            workers=_whole(environ, "LASTMILE_WORKERS", 1, highest=MAX_WORKERS),
        )


def _whole(environ: Mapping[str, str], name: str, default: int, *, highest: int) -> int:
    text = environ.get(name)
    if not text:
        return default
    if not (text.isascii() and text.isdigit() and len(text) <= 9 and 1 <= int(text) <= highest):
        raise InvalidSetting(f"{name} is '{text}', a whole number from 1 to {highest} is wanted")
    return int(text)
