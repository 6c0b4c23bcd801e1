"""Releases as last read: a prediction makes no network call between two readings."""

from collections.abc import Callable, Iterator
from threading import Lock

from lastmile.errors import NotFound
from lastmile.loaded import explained, warn
from lastmile.registry import Registry, Release

type Spawn = Callable[[Callable[[], None]], object]


def call_now(task: Callable[[], None]) -> None:
    """The spawn of a Lambda function, which is frozen once it has answered."""
    task()


class Followed:
    """A release as last read. One attribute is swapped at a time, and a request takes the release once."""

    __slots__ = ("deadline", "etag", "failures", "lock", "release")

    def __init__(self, release: Release, etag: str, deadline: float) -> None:
        self.release = release
        self.etag = etag
        self.deadline = deadline
        self.failures = 0
        self.lock = Lock()


class Releases:
    """Reads a release again at most every `seconds`, with If-None-Match; while one caller does, the others go on with
    the one they know. `ready` is called with a new one before it takes effect, and if that fails the old one stays."""

    def __init__(
        self,
        registry: Registry,
        *,
        seconds: float,
        clock: Callable[[], float],
        spawn: Spawn,
        ready: Callable[[Release], None],
    ) -> None:
        self._registry = registry
        self._seconds = seconds
        self._clock = clock
        self._spawn = spawn
        self._ready = ready
        self._following: dict[str, Followed] = {}

    def __iter__(self) -> Iterator[Followed]:
        return iter(list(self._following.values()))

    def expire(self) -> None:
        """Make the next request of each model read its release."""
        for followed in self:
            followed.deadline = 0.0

    def of(self, model: str) -> Followed:
        followed = self._following.get(model)
        if followed is None:
            followed = self._follow(model)
        elif self._clock() >= followed.deadline:
            self._refresh_in_turn(followed)
        return followed

    def _follow(self, model: str) -> Followed:
        """No lock is held: whoever asks for a model that is slow to come, or that is none, delays nobody else."""
        found = self._registry.release_if_changed(model, None)
        if found is None:
            raise NotFound(f"model '{model}' has no release")
        release, etag = found
        self._ready(release)
        return self._following.setdefault(model, Followed(release, etag, self._clock() + self._seconds))

    def _refresh_in_turn(self, followed: Followed) -> None:
        """One caller refreshes; whoever comes meanwhile goes on with the release at hand."""
        if not followed.lock.acquire(blocking=False):
            return
        followed.deadline = self._clock() + self._seconds

        def refresh() -> None:
            try:
                self._refresh(followed)
            except Exception as error:  # noqa: BLE001 what is stored may be anything, and the release at hand serves
                followed.failures += 1
                warn(f"model '{followed.release.model}' keeps release {followed.release.revision}: {explained(error)}")
            finally:
                followed.lock.release()

        self._spawn(refresh)

    def refreshed(self, followed: Followed) -> Release:
        """The release as it is now, for a request that names a version younger than the one at hand."""
        with followed.lock:
            self._refresh(followed)
        return followed.release

    def _refresh(self, followed: Followed) -> None:
        """Read the release if it changed; the caller holds its lock."""
        found = self._registry.release_if_changed(followed.release.model, followed.etag)
        if found is not None:
            release, etag = found
            self._ready(release)
            followed.release, followed.etag = release, etag
