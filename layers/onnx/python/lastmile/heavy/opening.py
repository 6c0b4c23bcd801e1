"""What heavy versions need of a process: the client, the stage's names, and a place where answers are waited for."""

from collections.abc import Mapping

from lastmile.errors import InvalidArtefact
from lastmile.heavy import names
from lastmile.heavy.backend import SageMakerBackend
from lastmile.heavy.cascade import Light, Policy, Tiers
from lastmile.heavy.client import Runtime
from lastmile.heavy.pending import Pending
from lastmile.manifest import Manifest
from lastmile.store import Store


class Heavy:
    """One per process, made when the first version with a heavy side is loaded."""

    def __init__(self, environ: Mapping[str, str], *, stage: str, data: str | None) -> None:
        self.stage = stage
        self._runtime = Runtime(environ)
        self._store: Store | None = None
        self.pending: Pending | None = None
        if data is not None and data.startswith("s3://"):  # what the endpoint reads and writes too
            self._store = Store.open(data, environ=environ)
            self.pending = Pending(self._store, data, self._runtime)

    def open(self, manifest: Manifest, light: Light | None) -> Tiers:
        """Raises InvalidArtefact where answers would have to be waited for and there is no place for it."""
        policy = Policy.of(manifest.policy["heavy"])
        if policy.asleep == "accepted" and self.pending is None:
            raise InvalidArtefact(
                f"version {manifest.version} of model '{manifest.model}' may answer later, and LASTMILE_DATA names no "
                "s3:// store where its answers would wait"
            )
        return Tiers(light, self.backend(manifest), policy, can_wait=self.pending is not None)

    def backend(self, manifest: Manifest, *, deadline_seconds: float | None = None) -> SageMakerBackend:
        """The endpoint, with the spec's deadline or another one."""
        heavy = manifest.policy["heavy"]
        return SageMakerBackend(
            self._runtime,
            endpoint=names.endpoint(self.stage),
            component=names.component(self.stage, manifest.model, manifest.version),
            inputs={spec.name: spec for spec in manifest.signature.inputs},
            outputs={spec.name: spec for spec in manifest.signature.outputs},
            max_batch=heavy["max_batch"],
            deadline_seconds=deadline_seconds or heavy["deadline_seconds"],
        )

    def asynchronous(self, model: str, version: int) -> str:
        """Name of the endpoint that answers later."""
        return names.asynchronous(self.stage, model, version)

    def reconnect(self) -> None:
        self._runtime.reconnect()
        if self._store is not None:
            self._store.reconnect()
