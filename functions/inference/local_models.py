"""Heavy sides of versions, run here: what the local endpoint has behind it instead of Triton on a GPU."""

from collections.abc import Callable
from threading import Lock
from typing import Any

from lastmile.capture import Recording
from lastmile.errors import InvalidInput, NotFound
from lastmile.heavy import names
from lastmile.heavy.backend import rows_of
from lastmile.heavy.packaging import PACKAGE, unpacked
from lastmile.heavy.triton import row_shape
from lastmile.heavy.wire import BINARY, HEADER_SIZE, Payload
from lastmile.manifest import Manifest
from lastmile.model import OnnxModel
from lastmile.predictor import Loaded, Prediction, Served, check_feeds
from lastmile.protocols.messages import Request
from lastmile.protocols.open_inference import HEADER_LENGTH, infer
from lastmile.registry import Registry
from lastmile.tensors import Array, TensorSpec

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


def run(loaded: Loaded, content_type: str, body: bytes) -> Payload:
    """As Triton answers on SageMaker; raises LastmileError."""
    kind, _, parameter = content_type.partition(";")
    headers = {}
    if kind == BINARY:
        headers[HEADER_LENGTH] = parameter.strip().removeprefix(HEADER_SIZE)
    elif kind != "application/json":
        raise InvalidInput(f"Unable to find 'json-header-size=' in the content type {content_type:.100}")
    response = infer(_Only(loaded), Request("POST", "/invocations", headers=headers, body=body), loaded.manifest.model)  # type: ignore[arg-type]
    length = response.headers.get(HEADER_LENGTH)
    return Payload("application/json" if length is None else f"{BINARY};{HEADER_SIZE}{length}", response.body)


class _Only:
    """A predictor that knows one version."""

    def __init__(self, loaded: Loaded) -> None:
        self._loaded = loaded

    def resolve(self, model: str, **_: Any) -> Served:
        return Served(model, self._loaded.manifest.version, "pinned", self._loaded)

    def run(
        self, served: Served, feeds: dict[str, Array], outputs: list[str] | None = None, *, checked: bool = False
    ) -> Prediction:
        feeds = {name: _as_graph(array, served.loaded.inputs[name]) for name, array in feeds.items()}
        check_feeds(served.loaded.inputs, feeds)
        most = served.loaded.manifest.policy["heavy"]["max_batch"]
        if rows_of(feeds) > most:
            raise InvalidInput(f"inference request batch-size must be <= {most} for '{served.model}'")
        wanted = list(served.loaded.outputs) if outputs is None else outputs
        found = {
            name: array.reshape(-1, *row_shape(served.loaded.outputs[name])) if array.ndim == 1 else array
            for name, array in zip(wanted, served.loaded.model.run(wanted, feeds), strict=True)
        }
        return Prediction("", served.model, served.version, served.role, found, 0.0)


def _as_graph(array: Array, spec: TensorSpec) -> Array:
    """Triton has an axis more where a row is one value, and takes it away for the graph."""
    if len(spec.shape) > 1:
        return array
    if array.shape[1:] != row_shape(spec):
        raise InvalidInput(f"unexpected shape for input '{spec.name}': {list(array.shape)}, [-1, 1] is wanted")
    return array.reshape(-1)
