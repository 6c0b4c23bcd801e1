"""What the control function's environment says, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

from lastmile.errors import MissingSettings

TOKEN_URL = "/oauth2/token"  # noqa: S105 where a deployment does not say: an address, not a token


@dataclass(frozen=True, slots=True)
class Environment:
    """`artifacts`: where the registry is. `token_url`: where the API's documentation sends a client for its token."""

    artifacts: str
    token_url: str = TOKEN_URL

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Environment":
        if not environ.get("LASTMILE_ARTIFACTS"):
            raise MissingSettings(["LASTMILE_ARTIFACTS"])
        return cls(environ["LASTMILE_ARTIFACTS"], environ.get("LASTMILE_TOKEN_URL") or TOKEN_URL)
