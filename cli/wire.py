"""One request over HTTP, and its answer as it came."""

import json
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from cli.errors import Unreachable

DOCTOR = "Run `lastmile doctor`."


@dataclass(frozen=True)
class Answer:
    """Header names are lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    url: str = ""

    def json(self) -> Any:
        """Raises Unreachable for what is none: who answers like that is not the API."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError):
            raise self._foreign("no JSON") from None

    def document(self, *members: str) -> dict[str, Any]:
        """Raises Unreachable for what is no object with these members."""
        found = self.json()
        if not isinstance(found, dict) or not found.keys() >= set(members):
            raise self._foreign("another document than expected")
        return found

    def _foreign(self, what: str) -> Unreachable:
        return Unreachable(f"{self.url} answers {self.status} with {what}.", next_step=DOCTOR)


def send(
    method: str,
    url: str,
    *,
    body: bytes | None,
    headers: Mapping[str, str],
    timeout: float,
    ca_bundle: str | None,
    proxied: bool,
) -> Answer:
    """A 4xx or 5xx is an answer, no answer at all is `Unreachable`."""
    try:
        context = ssl.create_default_context(cafile=ca_bundle)
        handlers: list[urllib.request.BaseHandler] = [urllib.request.HTTPSHandler(context=context)]
        if not proxied:
            handlers.append(urllib.request.ProxyHandler({}))
        request = urllib.request.Request(url, data=body, method=method, headers=dict(headers))  # noqa: S310
        try:
            with urllib.request.build_opener(*handlers).open(request, timeout=timeout) as answer:
                return Answer(answer.status, lower(answer.headers.items()), answer.read(), url)
        except urllib.error.HTTPError as error:
            with error:
                return Answer(error.code, lower(error.headers.items()), error.read(), url)
    except (OSError, HTTPException) as error:
        why = str(error) or type(error).__name__
        raise Unreachable(f"{url} does not answer ({why}).", next_step=DOCTOR) from error


def lower(headers: Iterable[tuple[str, str]]) -> dict[str, str]:
    return {name.lower(): value for name, value in headers}
