"""The path of a prediction: which version answers, the session that runs, the record that is kept."""

import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

from lastmile.capture import Tier
from lastmile.errors import AnswerLater, LastmileError, NotFound, VersionNotFound
from lastmile.following import Releases, Spawn, call_now
from lastmile.loaded import Loaded, Versions, explained, warn
from lastmile.registry import Registry, Release
from lastmile.release import choose, labelled
from lastmile.tensors import Array, check_feeds
from lastmile.ulid import new_ulid

if TYPE_CHECKING:
    from lastmile.heavy.opening import Heavy

SHADOW_SECONDS = 1.0  # that an answer waits for the heavy side of a shadow, where it has to wait at all
REQUEST_SECONDS = 28.0  # at 29 s Lambda ends, and the answer with it

type Record = Callable[..., None]  # with the arguments of lastmile.capture.Capture
type Decide = Callable[[dict[str, Array]], list[dict[str, Any]]]  # from the outputs to what is captured beside them


class Served(NamedTuple):
    """The version chosen for one request, and what runs beside it."""  # a tuple: made for each request, in 0.3 µs

    model: str
    version: int
    role: str
    loaded: Loaded
    shadow: Loaded | None = None


class Prediction(NamedTuple):
    """One answer. `outputs` is in the order asked for; `milliseconds` is the time in the model alone; `tier` is which
    side answered, where the version has a heavy one."""

    id: str
    model: str
    version: int
    role: str
    outputs: dict[str, Array]
    milliseconds: float
    tier: Tier | None = None


class Later(NamedTuple):
    """A prediction that is to be answered later: what an AnswerLater says of it."""

    id: str
    at: float
    served: Served
    feeds: dict[str, Array]


class Predictor:
    """Resolves, loads, runs and captures. Safe to share between threads.

    A release is read again at most every `release_seconds`, with If-None-Match; between two readings a prediction
    makes no network call. While one caller reads it, the others go on with the release they know. A new version is
    loaded before the release that names it takes effect, and if it cannot be loaded the old release stays.
    `spawn` runs what the answer need not wait for: refreshes of a known release, and shadow runs unless
    `spawn_shadow` does; that one may drop a task when there are too many. Where that is `call_now` the answer waits
    for the shadow, whose heavy side then gets SHADOW_SECONDS.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        threads: int,
        spinning: bool = False,
        release_seconds: float = 30.0,
        cache_bytes: int = 1 << 30,
        capture: Record | None = None,
        spawn: Spawn = call_now,
        spawn_shadow: Spawn | None = None,
        clock: Callable[[], float] = time.monotonic,
        heavy: "Callable[[], Heavy] | None" = None,
    ) -> None:
        """`heavy` makes what versions with a heavy side need; called once, when the first of them is loaded. Without it
        their light side answers alone."""
        self._registry = registry
        self._versions = Versions(registry, threads=threads, spinning=spinning, cache_bytes=cache_bytes, heavy=heavy)
        self._releases = Releases(registry, seconds=release_seconds, clock=clock, spawn=spawn, ready=self._load_serving)
        # The method itself: calling an instance packs and unpacks the arguments, in 0.5 µs.
        self.capture: Record | None = None if capture is None else capture.__call__  # type: ignore[operator]
        self._spawn_shadow = spawn_shadow or spawn
        self._clock = clock
        self._release_seconds = release_seconds
        self._unloadable: dict[tuple[str, int], float] = {}  # shadows, and when each is tried again

    def resolve(
        self,
        model: str,
        *,
        version: int | None = None,
        label: str | None = None,
        routing_key: str | None = None,
        promised: bool = False,
    ) -> Served:
        """The version that answers: the one named, the one labelled, else the one the routing key falls on.

        `promised`: the one named has taken the request already, and gives its answer even if it was rejected since.
        """
        followed = self._releases.of(model)
        release = followed.release
        if label is not None:
            chosen, role = labelled(release, label)
        elif version is None:
            chosen, role = choose(release, routing_key)
        else:
            chosen, role = version, "pinned"
            if version > release.latest:
                release = self._releases.refreshed(followed)
            if not release.has(version):
                raise VersionNotFound(model, version)
            if not promised:
                self._versions.check_allowed(model, version)
        if chosen is None:
            raise NotFound(f"model '{model}' has no {label or 'champion'}; promote a version first")
        shadow = release.shadow if role != "pinned" and release.shadow != chosen else None
        loaded = self._versions.load(release, chosen, promised=promised)
        return Served(model, chosen, role, loaded, None if shadow is None else self._load_shadow(release, shadow))

    def run(
        self,
        served: Served,
        feeds: dict[str, Array],
        outputs: list[str] | None = None,
        *,
        decide: Decide | None = None,
        checked: bool = False,
    ) -> Prediction:
        """Check the feeds against the signature, unless they are, run, decide, capture, and start the shadow run.

        Raises AnswerLater, with a Later as its facts, where the version's heavy side answers, and not now.
        """
        if not checked:
            check_feeds(served.loaded.inputs, feeds)
        names = list(served.loaded.outputs) if outputs is None else outputs
        prediction = self._captured(served, feeds, names, new_ulid(), decide)
        shadow = served.shadow
        if shadow is not None:
            beside = Served(served.model, shadow.manifest.version, "shadow", shadow)
            seconds = self._shadow_seconds(prediction.milliseconds)
            self._spawn_shadow(lambda: self._run_quietly(beside, feeds, prediction.id, seconds))
        return prediction

    @property
    def heavy(self) -> "Heavy":
        """What heavy versions share. Raises LastmileError in a process that cannot serve them."""
        return self._versions.heavy

    @property
    def heavy_models(self) -> set[str]:
        """Models of which a version with a heavy side was loaded here, and whose requests may wait for an endpoint."""
        return self._versions.heavy_models

    def reconnect(self) -> None:
        """After a snapshot was restored: connections are dead, and time has passed unseen."""
        self._versions.reconnect()
        self._releases.expire()

    def release(self, model: str) -> Release:
        return self._releases.of(model).release

    def preload(self, models: Iterable[str] | None = None) -> list[str]:
        """Load the champions of these models, by default of all, and run each once; returns what is loaded.

        What cannot be loaded now is reported on stderr and tried again by its first request.
        """
        loaded = []
        for model in self._registry.models() if models is None else models:
            try:
                self.resolve(model).loaded.model.warm()
            except Exception as error:  # noqa: BLE001 what is stored may be anything, and the other models serve
                warn(f"cannot preload model '{model}': {explained(error)}")
            else:
                loaded.append(model)
        return loaded

    def releases(self) -> list[tuple[Release, int]]:
        """Every release followed, as last read, and how often reading it has failed."""
        return [(followed.release, followed.failures) for followed in self._releases]

    def loaded_versions(self) -> list[tuple[str, int]]:
        return self._versions.keys()

    def _load_serving(self, release: Release) -> None:
        self._versions.note_rejections(release)
        for version in (release.challenger, release.champion):
            if version is not None:
                self._versions.load(release, version)
        if release.shadow is not None:
            self._load_shadow(release, release.shadow)

    def _load_shadow(self, release: Release, version: int) -> Loaded | None:
        """None for one that cannot be loaded, and for a while after that."""
        key = (release.model, version)
        if self._unloadable and self._clock() < self._unloadable.get(key, 0.0):
            return None
        try:
            return self._versions.load(release, version)
        except LastmileError as error:
            warn(f"the shadow of model '{release.model}' cannot be loaded: {error}")
            self._unloadable[key] = self._clock() + self._release_seconds
            return None

    def _shadow_seconds(self, milliseconds: float) -> float | None:
        """What a shadow's heavy side gets after an answer that took so long; None where nobody waits for it."""
        if self._spawn_shadow is not call_now:
            return None
        return max(0.0, min(SHADOW_SECONDS, REQUEST_SECONDS - milliseconds / 1e3))

    def _run_quietly(self, served: Served, feeds: dict[str, Array], prediction_id: str, seconds: float | None) -> None:
        """A shadow's answer goes to the capture alone, and so does its failure."""
        try:
            check_feeds(served.loaded.inputs, feeds)  # its signature may be another one
            self._captured(served, feeds, list(served.loaded.outputs), prediction_id, seconds=seconds)
        except LastmileError as error:
            warn(f"the shadow of model '{served.model}' failed: {error}")

    def _captured(
        self,
        served: Served,
        feeds: dict[str, Array],
        names: list[str],
        prediction_id: str,
        decide: Decide | None = None,
        seconds: float | None = None,
    ) -> Prediction:
        loaded = served.loaded
        at = time.time()
        started = time.perf_counter_ns()
        ended = 0
        outputs: dict[str, Array] = {}
        decisions: list[dict[str, Any]] | None = None
        tier: Tier | None = None
        failure: str | None = None
        is_answer = True
        try:
            if loaded.tiers is None:
                outputs = dict(zip(names, loaded.model.run(names, feeds), strict=True))
            else:
                may_wait = served.role != "shadow"
                outputs, tier = loaded.tiers.answer(names, feeds, may_wait=may_wait, seconds=seconds)
            ended = time.perf_counter_ns()
            if decide is not None:
                decisions = decide(outputs)
        except AnswerLater as later:
            is_answer = False  # captured when there is one
            later.facts = Later(prediction_id, at, served, feeds)
            raise
        except LastmileError as error:
            failure = str(error)
            raise
        finally:
            milliseconds = ((ended or time.perf_counter_ns()) - started) / 1e6
            if self.capture is not None and is_answer:
                self.capture(
                    prediction_id=prediction_id,
                    at=at,
                    role=served.role,
                    milliseconds=milliseconds,
                    recording=loaded.recording,
                    inputs=feeds,
                    outputs=outputs,
                    error=failure,
                    decisions=decisions,
                    tier=tier,
                )
        return Prediction(prediction_id, served.model, served.version, served.role, outputs, milliseconds, tier)
