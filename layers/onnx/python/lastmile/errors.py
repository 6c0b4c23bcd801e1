"""What can go wrong, as a tree. Messages are sentences for the caller: they name what is wrong and where.

LastmileError
├── InvalidInput            the content of a request
│   ├── InvalidFeedback     a label for a prediction
│   └── PayloadTooLarge
├── NotFound
│   ├── ModelNotFound
│   └── VersionNotFound
├── ReleaseConflict         somebody else moved the release first
├── VersionRejected         the version was turned down and may not serve
├── InvalidSpec             a spec.toml or spec.json
├── DataRefused             an upload that no model can be trained on
├── InvalidCapture          a line that should be the record of a prediction
├── InvalidArtefact         a model file, or a stored artefact whose digest does not match
│   └── Damaged             a stored object that is gone, or is not what was written there
├── ProfileMismatch         two profiles do not count the same, or a document is no profile
├── ModelFailed             the runtime failed on input that fits the signature
├── StoreUnavailable        the object store does not answer
├── EndpointUnavailable     the endpoint of a heavy model does not answer, or with no answer
├── AnswerLater             no failure: the answer comes later
└── MissingSettings         environment variables, all that are missing at once
"""

from collections.abc import Callable, Iterable
from typing import Any

UNREADABLE = (ValueError, TypeError, KeyError, AttributeError)  # raised by documents that are not what they should be


class LastmileError(Exception):
    """Root of every error that Lastmile raises on purpose."""


class InvalidInput(LastmileError):
    """The request says something the model or the protocol cannot accept."""


class InvalidFeedback(InvalidInput):
    """The label does not say what is needed, or does not fit the model."""


class PayloadTooLarge(InvalidInput):
    """The request, or what it unpacks to, is over the limit."""


class NotFound(LastmileError):
    """The thing named does not exist."""


class ModelNotFound(NotFound):
    def __init__(self, model: str) -> None:
        super().__init__(f"model '{model}' does not exist")
        self.model = model


class VersionNotFound(NotFound):
    def __init__(self, model: str, version: int | str) -> None:
        super().__init__(f"model '{model}' has no version {version}")
        self.model = model
        self.version = version


class ReleaseConflict(LastmileError):
    """The release moved between reading and writing it; read it again and decide again."""


class VersionRejected(LastmileError):
    """The version was rejected and cannot be released."""


class InvalidSpec(LastmileError):
    """The model specification is not acceptable."""


class DataRefused(LastmileError):
    """No model can be trained on the data; `advice` says what to do about it."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(reason)
        self.advice = advice


class InvalidCapture(LastmileError):
    """The line is no record of a prediction."""


class InvalidArtefact(LastmileError):
    """The model file is not acceptable, or is not the one that was registered."""


class Damaged(InvalidArtefact):
    """Somebody else than Lastmile has changed or removed one of its objects."""


class ProfileMismatch(LastmileError):
    """Two profiles do not count the same, or what was read is no profile that can be."""


class ModelFailed(LastmileError):
    """The model could not answer although the input fits its signature."""


class StoreUnavailable(LastmileError):
    """The object store did not answer."""


class EndpointUnavailable(LastmileError):
    """`reason` is a word for what is wrong: asleep, slow, throttled, failing, garbage, or refused (by the model, and so
    for this request alone). With `retry_safe` the request was not worked on and may be sent again."""

    def __init__(self, reason: str, message: str, *, retry_safe: bool = False) -> None:
        super().__init__(message)
        self.reason = reason
        self.retry_safe = retry_safe


class AnswerLater(LastmileError):
    """The prediction is to be answered asynchronously. `rows` are those that the heavy side has to answer, None where
    it is all of them; `facts` are who makes the prediction and of what, filled in on the way up."""

    def __init__(self, reason: str, rows: "list[int] | None" = None) -> None:
        super().__init__(f"the answer comes later: {reason}")
        self.reason = reason
        self.rows = rows
        self.facts: Any = None


class MissingSettings(LastmileError):
    def __init__(self, names: Iterable[str]) -> None:
        self.names = tuple(sorted(names))
        super().__init__(f"missing environment variables: {', '.join(self.names)}")


def parsed[T](read: Callable[[bytes], T], data: bytes, path: str, what: str) -> T:
    """What `read` makes of the bytes of an object; raises Damaged where that is nothing."""
    try:
        return read(data)
    except UNREADABLE as error:
        raise Damaged(f"{path} is no {what}: {type(error).__name__}: {error}") from error
