"""The path of a prediction: which version answers, the session that runs, the record that is kept."""

import hashlib
import os
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lastmile.capture import Recording, Tier
from lastmile.errors import (
    AnswerLater,
    InvalidArtefact,
    InvalidInput,
    LastmileError,
    ModelFailed,
    NotFound,
    VersionNotFound,
    VersionRejected,
)
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.registry import Registry, Release
from lastmile.shelf import MODEL_FILE
from lastmile.tensors import Array, TensorSpec, check_fits
from lastmile.ulid import new_ulid

if TYPE_CHECKING:
    from lastmile.heavy.cascade import Tiers
    from lastmile.heavy.opening import Heavy

LABELS = ("champion", "challenger", "shadow", "previous")
OLDEST_CAPTURE = 82_800.0  # seconds: whoever keeps captures takes none that is a day older than its line
SESSION_COST = 2  # a session holds about twice the bytes of its file: the weights, and what optimising them leaves

type Spawn = Callable[[Callable[[], None]], object]
type Record = Callable[..., None]  # with the arguments of lastmile.capture.Capture
type Decide = Callable[[dict[str, Array]], list[dict[str, Any]]]  # from the outputs to what is captured beside them


def call_now(task: Callable[[], None]) -> None:
    """The spawn of a Lambda function, which is frozen once it has answered."""
    task()


class Backend(Protocol):
    """What a version's graph runs on: ONNX Runtime in this process, or an endpoint of SageMaker."""

    def run(self, outputs: list[str] | None, feeds: dict[str, Array]) -> list[Array]: ...

    def warm(self) -> None: ...


class Loaded(NamedTuple):
    """A version in memory. In `plans` a protocol keeps what it need not work out again; `tiers` are there where it has
    a heavy side, and `model` is then the light one, or the heavy one where there is no other."""

    manifest: Manifest
    model: Backend
    inputs: dict[str, TensorSpec]
    outputs: dict[str, TensorSpec]
    recording: Recording
    plans: dict[bytes, Any]
    tiers: "Tiers | None" = None


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
    `spawn_shadow` does; that one may drop a task when there are too many.
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
        self._threads = threads
        self._spinning = spinning
        self._release_seconds = release_seconds
        # The method itself: calling an instance packs and unpacks the arguments, in 0.5 µs.
        self._capture: Record | None = None if capture is None else capture.__call__  # type: ignore[operator]
        self._spawn = spawn
        self._spawn_shadow = spawn_shadow or spawn
        self._clock = clock
        self._following: dict[str, _Followed] = {}
        self._sessions = _SessionCache(cache_bytes)
        self._opening = Lock()
        self._make_heavy = heavy
        self._making_heavy = Lock()
        self._heavy: Heavy | None = None

    def resolve(
        self, model: str, *, version: int | None = None, label: str | None = None, routing_key: str | None = None
    ) -> Served:
        """The version that answers: the one named, the one labelled, else the one the routing key falls on."""
        followed = self._followed(model)
        release = followed.release
        if label is not None:
            chosen, role = _labelled(release, label)
        elif version is None:
            chosen, role = choose(release, routing_key)
        else:
            chosen, role = version, "pinned"
            if version > release.latest:
                release = self._refreshed(followed)
            if not release.has(version):
                raise VersionNotFound(model, version)
        if chosen is None:
            raise NotFound(f"model '{model}' has no {label or 'champion'}; promote a version first")
        shadow = release.shadow if role != "pinned" and release.shadow != chosen else None
        loaded = self._load(release, chosen)
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
            self._spawn_shadow(lambda: self._run_quietly(beside, feeds, prediction.id))
        return prediction

    def settle(
        self,
        later: Later,
        answer: dict[str, Array] | str,
        *,
        tier: Tier,
        is_first: Callable[[], bool],
        decide: Decide | None = None,
    ) -> Prediction:
        """The prediction whose answer has come by now: its outputs, or why there are none, which raises ModelFailed.

        It is captured where `is_first` says so, with no time in the model, since nobody here knows it.
        """
        served, outputs, error = later.served, {} if isinstance(answer, str) else answer, None
        decisions: list[dict[str, Any]] | None = None
        if isinstance(answer, str):
            error = answer
        elif decide is not None:
            decisions = decide(outputs)
        if self._capture is not None and is_first():
            now = time.time()
            self._capture(
                prediction_id=later.id,
                at=later.at if now - later.at < OLDEST_CAPTURE else now,
                role=served.role,
                milliseconds=0.0,
                recording=served.loaded.recording,
                inputs=later.feeds,
                outputs=outputs,
                error=error,
                decisions=decisions,
                tier=tier,
            )
        if error is not None:
            raise ModelFailed(error)
        return Prediction(later.id, served.model, served.version, served.role, outputs, 0.0, tier)

    @property
    def heavy(self) -> "Heavy":
        """What heavy versions share. Raises LastmileError in a process that cannot serve them."""
        if self._heavy is None:
            if self._make_heavy is None:
                raise NotFound("nothing here has a heavy side")
            with self._making_heavy:
                self._heavy = self._heavy or self._make_heavy()
        return self._heavy

    def reconnect(self) -> None:
        """After a snapshot was restored: connections are dead, and time has passed unseen."""
        if self._heavy is not None:
            self._heavy.reconnect()
        self.expire()

    def release(self, model: str) -> Release:
        return self._followed(model).release

    def preload(self, models: Iterable[str] | None = None) -> list[str]:
        """Load the champions of these models, by default of all, and run each once; returns what is loaded.

        What cannot be loaded now is reported on stderr and tried again by its first request.
        """
        loaded = []
        for model in self._registry.models() if models is None else models:
            try:
                self.resolve(model).loaded.model.warm()
            except LastmileError as error:
                _warn(f"cannot preload model '{model}': {error}")
            else:
                loaded.append(model)
        return loaded

    def expire(self) -> None:
        """Make the next request of each model read its release: after a snapshot, time has passed unseen."""
        for followed in self._following.values():
            followed.deadline = 0.0

    def releases(self) -> list[tuple[Release, int]]:
        """Every release followed, as last read, and how often reading it has failed."""
        return [(followed.release, followed.failures) for followed in list(self._following.values())]

    def loaded_versions(self) -> list[tuple[str, int]]:
        return self._sessions.keys()

    def _followed(self, model: str) -> "_Followed":
        followed = self._following.get(model)
        if followed is None:
            with self._opening:
                followed = self._following.get(model)
                if followed is None:
                    followed = self._follow(model)
        elif self._clock() >= followed.deadline:
            self._refresh_in_turn(followed)
        return followed

    def _follow(self, model: str) -> "_Followed":
        found = self._registry.release_if_changed(model, None)
        if found is None:
            raise NotFound(f"model '{model}' has no release")
        release, etag = found
        self._load_serving(release)
        followed = _Followed(release, etag, self._clock() + self._release_seconds)
        self._following[model] = followed
        return followed

    def _refresh_in_turn(self, followed: "_Followed") -> None:
        """One caller refreshes; whoever comes meanwhile goes on with the release at hand."""
        if not followed.lock.acquire(blocking=False):
            return
        followed.deadline = self._clock() + self._release_seconds

        def refresh() -> None:
            try:
                self._refresh(followed)
            except LastmileError as error:
                followed.failures += 1
                _warn(f"model '{followed.release.model}' keeps release {followed.release.revision}: {error}")
            finally:
                followed.lock.release()

        self._spawn(refresh)

    def _refreshed(self, followed: "_Followed") -> Release:
        """The release as it is now, for a request that names a version younger than the one at hand."""
        with followed.lock:
            self._refresh(followed)
        return followed.release

    def _refresh(self, followed: "_Followed") -> None:
        """Read the release if it changed; the caller holds its lock."""
        found = self._registry.release_if_changed(followed.release.model, followed.etag)
        if found is not None:
            release, etag = found
            self._load_serving(release)
            followed.release, followed.etag = release, etag

    def _load_serving(self, release: Release) -> None:
        for version in (release.challenger, release.champion):
            if version is not None:
                self._load(release, version)

    def _load(self, release: Release, version: int) -> Loaded:
        key = (release.model, version)
        loaded = self._sessions.get(key)
        if loaded is None:
            with self._sessions.loading(key):
                loaded = self._sessions.get(key)
                if loaded is None:
                    loaded = self._open(release, version)
                    self._sessions.put(key, loaded)
        return loaded

    def _load_shadow(self, release: Release, version: int) -> Loaded | None:
        try:
            return self._load(release, version)
        except LastmileError as error:
            _warn(f"the shadow of model '{release.model}' cannot be loaded: {error}")
            return None

    def _open(self, release: Release, version: int) -> Loaded:
        # What the release names was not rejected when it was released, and a rejection takes it out.
        released = (release.champion, release.challenger, release.shadow, release.previous)
        if version not in released and self._registry.rejection(release.model, version, release=release) is not None:
            raise VersionRejected(f"version {version} of model '{release.model}' was rejected and does not serve")
        manifest, pieces = self._registry.fetch(release.model, version, release=release)
        opened: OnnxModel | None = None
        if manifest.artefact.path == MODEL_FILE:
            size = manifest.artefact.bytes
            opened = OnnxModel.receive(pieces, size, threads=self._threads, spinning=self._spinning)
            opened.check(manifest.signature)
        tiers = None
        if manifest.policy.get("heavy") is not None and self._make_heavy is not None:
            tiers = self.heavy.open(manifest, opened)
        model: Backend | None = opened or (None if tiers is None else tiers.heavy)
        if model is None:
            raise InvalidArtefact(
                f"version {version} of model '{release.model}' has no {MODEL_FILE}: it runs on an endpoint alone"
            )
        return Loaded(
            manifest,
            model,
            {spec.name: spec for spec in manifest.signature.inputs},
            {spec.name: spec for spec in manifest.signature.outputs},
            self._recording(manifest),
            {},
            tiers,
        )

    def _recording(self, manifest: Manifest) -> Recording:
        if all(spec.pii != "hash" for spec in manifest.signature.inputs):
            return Recording.of(manifest)
        key = self._registry.hashing_key(manifest.model)
        if key is None:
            _warn(f"model '{manifest.model}' has lost its key: what it should hash is left out of captures")
        return Recording.of(manifest, key=key)

    def _run_quietly(self, served: Served, feeds: dict[str, Array], prediction_id: str) -> None:
        """A shadow's answer goes to the capture alone, and so does its failure."""
        try:
            self._captured(served, feeds, list(served.loaded.outputs), prediction_id)
        except LastmileError as error:
            _warn(f"the shadow of model '{served.model}' failed: {error}")

    def _captured(
        self,
        served: Served,
        feeds: dict[str, Array],
        names: list[str],
        prediction_id: str,
        decide: Decide | None = None,
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
                outputs, tier = loaded.tiers.answer(names, feeds, may_wait=served.role != "shadow")
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
            if self._capture is not None and is_answer:
                self._capture(
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


def choose(release: Release, routing_key: str | None) -> tuple[int | None, str]:
    """Champion or challenger: a key always falls on the same side, and raising the weight moves nobody back.

    Without a key each request draws afresh.
    """
    if release.challenger is None or release.weight <= 0.0:
        return release.champion, "champion"
    if routing_key is None:
        drawn = os.urandom(8)
    else:
        salted = f"{release.model}/{release.challenger}/{routing_key}".encode()
        drawn = hashlib.blake2b(salted, digest_size=8).digest()
    if int.from_bytes(drawn) < release.weight * 2.0**64:
        return release.challenger, "challenger"
    return release.champion, "champion"


def check_feeds(inputs: dict[str, TensorSpec], feeds: dict[str, Array]) -> None:
    """Raise InvalidInput unless there is exactly one fitting array for each input."""
    if feeds.keys() != inputs.keys():
        for name in feeds:
            if name not in inputs:
                raise InvalidInput(f"input '{name}' is unknown; the model takes {', '.join(inputs)}")
        missing = [name for name in inputs if name not in feeds]
        raise InvalidInput(f"missing input{'s' if len(missing) > 1 else ''}: {', '.join(missing)}")
    for name, array in feeds.items():
        check_fits(inputs[name], array)


def _labelled(release: Release, label: str) -> tuple[int | None, str]:
    if label not in LABELS:
        raise NotFound(f"label '{label}' is none of {', '.join(LABELS)}")
    version: int | None = getattr(release, label)
    return version, "pinned" if label in ("shadow", "previous") else label


def _warn(message: str) -> None:
    sys.stderr.write(f"lastmile: {message}\n")


class _Followed:
    """A release as last read. One attribute is swapped at a time, and a request takes the release once."""

    __slots__ = ("deadline", "etag", "failures", "lock", "release")

    def __init__(self, release: Release, etag: str, deadline: float) -> None:
        self.release = release
        self.etag = etag
        self.deadline = deadline
        self.failures = 0
        self.lock = Lock()


class _SessionCache:
    """Least recently used sessions, bounded by an estimate of their bytes; the newest always stays."""

    def __init__(self, budget: int) -> None:
        self._budget = budget
        self._held: OrderedDict[tuple[str, int], Loaded] = OrderedDict()
        self._bytes = 0
        self._lock = Lock()
        self._loading: dict[tuple[str, int], Lock] = {}

    def get(self, key: tuple[str, int]) -> Loaded | None:
        held = self._held
        loaded = held.get(key)
        if loaded is not None and len(held) > 1:
            with suppress(KeyError):  # evicted by another thread in between: this caller still has it
                held.move_to_end(key)
        return loaded

    def put(self, key: tuple[str, int], loaded: Loaded) -> None:
        with self._lock:
            self._held[key] = loaded
            self._bytes += _cost(loaded)
            while self._bytes > self._budget and len(self._held) > 1:
                _, evicted = self._held.popitem(last=False)
                self._bytes -= _cost(evicted)

    def loading(self, key: tuple[str, int]) -> Lock:
        """The lock that keeps one version from being loaded twice at once."""
        with self._lock:
            return self._loading.setdefault(key, Lock())

    def keys(self) -> list[tuple[str, int]]:
        with self._lock:
            return list(self._held)


def _cost(loaded: Loaded) -> int:
    return loaded.manifest.artefact.bytes * SESSION_COST if loaded.manifest.artefact.path == MODEL_FILE else 0
