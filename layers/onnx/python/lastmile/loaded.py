"""Versions in memory: what a version's graph runs on, and which of them are kept."""

import sys
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from threading import Lock
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lastmile.capture import Recording
from lastmile.errors import InvalidArtefact, LastmileError, NotFound, VersionRejected
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.registry import Registry, Release
from lastmile.shelf import MODEL_FILE
from lastmile.tensors import Array, TensorSpec

if TYPE_CHECKING:
    from lastmile.heavy.cascade import Tiers
    from lastmile.heavy.opening import Heavy

SESSION_COST = 2  # a session holds about twice the bytes of its file: the weights, and what optimising them leaves


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


class Versions:
    """Loads versions, each once, and keeps as many as `cache_bytes` hold. Safe to share between threads."""

    def __init__(
        self,
        registry: Registry,
        *,
        threads: int,
        spinning: bool = False,
        cache_bytes: int = 1 << 30,
        heavy: "Callable[[], Heavy] | None" = None,
    ) -> None:
        self._registry = registry
        self._threads = threads
        self._spinning = spinning
        self._sessions = _SessionCache(cache_bytes)
        self._rejected: set[tuple[str, int]] = set()
        self.heavy_models: set[str] = set()
        self._make_heavy = heavy
        self._making_heavy = Lock()
        self._heavy: Heavy | None = None

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
        """After a snapshot was restored: connections are dead."""
        if self._heavy is not None:
            self._heavy.reconnect()

    def keys(self) -> list[tuple[str, int]]:
        return self._sessions.keys()

    def check_allowed(self, model: str, version: int) -> None:
        """Raises VersionRejected for a version that is known to be rejected: nothing is asked of the store."""
        if (model, version) in self._rejected:
            raise _rejected(model, version)

    def note_rejections(self, release: Release) -> None:
        """Which of the model's versions in memory were rejected: each that the release does not name is looked up."""
        for model, version in self.keys():
            if model == release.model and (model, version) not in self._rejected:
                self._is_rejected(release, version)

    def load(self, release: Release, version: int, *, promised: bool = False) -> Loaded:
        """`promised`: also if it was rejected."""
        key = (release.model, version)
        loaded = self._sessions.get(key)
        if loaded is None:
            with self._sessions.loading(key):
                loaded = self._sessions.get(key)
                if loaded is None:
                    if self._is_rejected(release, version) and not promised:
                        raise _rejected(release.model, version)
                    loaded = self._open(release, version)
                    self._sessions.put(key, loaded)
        return loaded

    def _is_rejected(self, release: Release, version: int) -> bool:
        # What the release names was not rejected when it was released, and a rejection takes it out.
        if version in (release.champion, release.challenger, release.shadow, release.previous):
            return False
        if self._registry.rejection(release.model, version, release=release) is None:
            return False
        self._rejected.add((release.model, version))
        return True

    def _open(self, release: Release, version: int) -> Loaded:
        manifest, pieces = self._registry.fetch(release.model, version, release=release)
        is_heavy = manifest.policy.get("heavy") is not None and self._make_heavy is not None
        if is_heavy:
            self.heavy_models.add(release.model)  # long before the release that names it can take effect
        opened: OnnxModel | None = None
        if manifest.artefact.path == MODEL_FILE:
            size = manifest.artefact.bytes
            opened = OnnxModel.receive(pieces, size, threads=self._threads, spinning=self._spinning)
            opened.check(manifest.signature)
        tiers = self.heavy.open(manifest, opened) if is_heavy else None
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
            warn(f"model '{manifest.model}' has lost its key: what it should hash is left out of captures")
        return Recording.of(manifest, key=key)


def _rejected(model: str, version: int) -> VersionRejected:
    return VersionRejected(f"version {version} of model '{model}' was rejected and does not serve")


def warn(message: str) -> None:
    sys.stderr.write(f"lastmile: {message}\n")


def explained(error: Exception) -> str:
    """The words of an error that are ours; others say little without their kind."""
    return str(error) if isinstance(error, LastmileError) else f"unexpected {type(error).__name__}: {error}"


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
