"""Heavy sides of versions, run here: what the local endpoint has behind it instead of Triton on a GPU."""

from collections.abc import Callable
from threading import Lock

from lastmile.capture import Recording
from lastmile.errors import NotFound
from lastmile.heavy import names
from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.loaded import Loaded
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.registry import Registry

type Naming = Callable[[str, str, int], str]


class LocalModels:
    """The packages of all versions of a registry, each loaded when it is first asked for."""

    def __init__(self, registry: Registry, *, stage: str) -> None:
        self._registry = registry
        self._stage = stage
        self._known: dict[str, Loaded] = {}
        self._lock = Lock()

    def component(self, name: str) -> Loaded:
        """By the name of its inference component; raises NotFound."""
        return self._named(name, names.component)

    def asynchronous(self, name: str) -> Loaded:
        """By the name of its asynchronous endpoint; raises NotFound."""
        return self._named(name, names.asynchronous)

    def _named(self, name: str, naming: Naming) -> Loaded:
        with self._lock:
            if name not in self._known:
                self._known[name] = self._open(self._found(name, naming))
            return self._known[name]

    def _found(self, name: str, naming: Naming) -> Manifest:
        for model in self._registry.models():
            release = self._registry.release(model)
            for version in range(release.latest, 0, -1):
                if naming(self._stage, model, version) == name and release.has(version):
                    return self._registry.manifest(model, version, release=release)
        raise NotFound(f"{name} not found")

    def _open(self, manifest: Manifest) -> Loaded:
        is_alone = manifest.artefact.path == PACKAGE
        data = self._registry.artefact(manifest) if is_alone else self._registry.file(manifest, PACKAGE)
        return Loaded(
            manifest,
            OnnxModel.open(unpacked(data).onnx, threads=1),
            {spec.name: spec for spec in manifest.signature.inputs},
            {spec.name: spec for spec in manifest.signature.outputs},
            Recording.of(manifest),
            {},
        )
