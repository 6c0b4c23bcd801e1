"""What the control function's environment says, read once in the door and frozen."""

from collections.abc import Mapping
from dataclasses import dataclass

from lastmile.errors import MissingSettings

TOKEN_URL = "/oauth2/token"  # noqa: S105 where a deployment does not say: an address, not a token


@dataclass(frozen=True, slots=True)
class Environment:
    """`artifacts`: where the registry is. `data`: where feedback goes.

    `token_url`: where the API's documentation sends a client for its token.
    """

    artifacts: str
    data: str
    token_url: str = TOKEN_URL

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> "Environment":
        missing = [name for name in ("LASTMILE_ARTIFACTS", "LASTMILE_DATA") if not environ.get(name)]
        if missing:
            raise MissingSettings(missing)
        return cls(
            artifacts=environ["LASTMILE_ARTIFACTS"],
            data=environ["LASTMILE_DATA"],
            token_url=environ.get("LASTMILE_TOKEN_URL") or TOKEN_URL,
        )
