"""The secrets by which platforms let us speak."""

from collections.abc import Callable, Mapping, Sequence

from functions.chat.web import Refused

type Secret = Mapping[str, str]
type Secrets = Callable[[str], Sequence[Secret]]


class Keys:
    """The platforms' secrets as they are kept, and as they are read again when a platform refuses: `doubted`."""

    def __init__(self, secrets: Secrets, doubted: Secrets | None = None) -> None:
        self._secrets = secrets
        self._doubted = doubted or secrets

    def newest(self, platform: str) -> Secret | None:
        return next(iter(self._secrets(platform)), None)

    def use(self, platform: str, send: Callable[[Secret], None]) -> None:
        """Once more where the secret has been changed meanwhile; raises Refused, also where there is none."""
        secret = self.newest(platform) or self._again(platform)
        if secret is None:
            raise Refused(f"there is no secret for {platform}")
        try:
            send(secret)
        except Refused:
            changed = self._again(platform)
            if changed is None or changed == secret:
                raise
            send(changed)

    def _again(self, platform: str) -> Secret | None:
        return next(iter(self._doubted(platform)), None)
