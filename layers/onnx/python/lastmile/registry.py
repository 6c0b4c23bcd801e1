"""Versions and releases of models, as objects in a store."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from itertools import islice
from typing import TYPE_CHECKING, Any

from lastmile.audit import DONE, REJECT, AuditEntry, Order
from lastmile.errors import (
    Damaged,
    InvalidSpec,
    ModelNotFound,
    NotFound,
    VersionNotFound,
    VersionRejected,
    parsed,
)
from lastmile.ledger import Change, Ledger, rejection_path
from lastmile.manifest import MODEL_NAME, Manifest
from lastmile.release import Release, promoted, registered, rolled_back, with_canary, with_shadow, without
from lastmile.shelf import MODEL_FILE, Shelf
from lastmile.store import Store
from lastmile.tensors import Signature

if TYPE_CHECKING:
    from collections.abc import Buffer, Iterator

    from lastmile.spec import ModelSpec

__all__ = ["Registry", "Release"]

LIMIT_BYTES = 512 << 20  # of what a serving process loads
HEAVY_LIMIT_BYTES = 2_100_000_000  # of what only an endpoint does: a graph of protobuf's 2 GiB, and its package
READS_AT_ONCE = 16


class Registry:
    """Every method raises ModelNotFound or VersionNotFound for what is not there, however odd its name, and Damaged
    where somebody else has been at the objects.

    The number of requests of a method does not grow with the number of models, versions or audit entries, except
    where it lists them.
    """

    def __init__(
        self, store: Store, *, limit_bytes: int = LIMIT_BYTES, heavy_limit_bytes: int = HEAVY_LIMIT_BYTES
    ) -> None:
        self._store = store
        self._shelf = Shelf(store)
        self._ledger = Ledger(store)
        self._limit = limit_bytes
        self._heavy_limit = heavy_limit_bytes

    def models(self) -> list[str]:
        return self._store.list_folders("models")

    def spec(self, model: str) -> "ModelSpec":
        """The spec that was declared or pushed last."""
        try:
            return self._shelf.spec(_named(model))
        except NotFound:
            if self.release(model).latest:
                raise Damaged(f"the spec of model '{model}' is missing") from None
            raise NotFound(f"model '{model}' has no version yet, and so no spec") from None

    def manifest(self, model: str, version: int, *, release: Release | None = None) -> Manifest:
        """What the version is; a caller that holds the release spares one request."""
        release = release or self.release(model)
        if not release.has(version):
            raise VersionNotFound(model, version)
        return self._shelf.manifest(model, version)

    def versions(
        self, model: str, *, before: int | None = None, limit: int = 20, release: Release | None = None
    ) -> list[Manifest]:
        """Newest first, from the one below `before`; a caller that holds the release spares one request."""
        release = release or self.release(model)
        start = release.latest if before is None else min(before - 1, release.latest)
        numbers = islice((number for number in range(start, 0, -1) if release.has(number)), limit)
        return _at_once(lambda number: self.manifest(model, number, release=release), numbers)

    def fetch(self, model: str, version: int, *, release: Release) -> "tuple[Manifest, Iterator[Buffer]]":
        """The manifest, and the model file as it arrives; two requests at the same time.

        After the last piece InvalidArtefact is raised when it is not the file that was registered.
        """
        if not release.has(version):
            raise VersionNotFound(model, version)
        return self._shelf.fetch(model, version)

    def artefact(self, manifest: Manifest) -> bytes:
        """The model file; raises InvalidArtefact when it is not the one that was registered."""
        return self._shelf.artefact(manifest)

    def file(self, manifest: Manifest, path: str) -> bytes:
        """Another file of the version; raises NotFound, or InvalidArtefact when it is not the one registered."""
        return self._shelf.file(manifest, path)

    def hashing_key(self, model: str) -> bytes | None:
        """What the model's personal inputs are hashed with; None when it was pushed without such inputs."""
        return self._shelf.key(_named(model))

    def release(self, model: str) -> Release:
        return self._ledger.read(_named(model))[0]

    def releases(self, models: Iterable[str]) -> list[Release]:
        """Of those that there are: the folder of a model is older than its release."""

        def found(model: str) -> Release | None:
            try:
                return self.release(model)
            except ModelNotFound:
                return None

        return [release for release in _at_once(found, models) if release is not None]

    def release_if_changed(self, model: str, etag: str | None) -> tuple[Release, str] | None:
        """The release and its etag, or None when it still has that etag; one request."""
        if etag is None:
            return self._ledger.read(_named(model))
        return self._ledger.read_if_changed(_named(model), etag)

    def declare(self, spec: "ModelSpec", *, actor: str, why: str) -> None:
        """Make a model known before it has a version, or give it another spec for what is trained from now on."""
        if MODEL_NAME.fullmatch(spec.name) is None:
            raise InvalidSpec(f"name: {spec.name!r} is no name of a model")
        self._ledger.open(spec.name, Order("create", None, actor, why))
        self._shelf.write_spec(spec)

    def push(
        self,
        spec: "ModelSpec",
        model_bytes: bytes,
        *,
        signature: Signature,
        actor: str,
        why: str,
        metrics: dict[str, Any],
        lineage: dict[str, Any],
        compression: dict[str, Any],
        files: Mapping[str, bytes] | None = None,
        artefact: str = MODEL_FILE,
    ) -> Manifest:
        """Register a new version. `signature` is what the graph says, `files` are others to keep in its folder.

        `artefact` is what the file is called: another name than `model.onnx` where only an endpoint can run it.
        A version without the file for an endpoint has no heavy side, whatever the spec says: it was trained without.

        Everything is checked before anything is written. A push that was cut short can be repeated: the same file
        goes on where it stopped, and until the end nothing of it is visible.
        """
        from lastmile.draft import drafted  # nobody who predicts pushes

        draft, contents = drafted(
            spec,
            model_bytes,
            signature=signature,
            metrics=metrics,
            lineage=lineage,
            compression=compression,
            files=files or {},
            artefact=artefact,
            limit_bytes=self._limit if artefact == MODEL_FILE else self._heavy_limit,
            heavy_limit_bytes=self._heavy_limit,
        )
        release = self._ledger.open(spec.name, Order("create", None, actor, why))
        manifest = self._shelf.write_version(draft, contents, release.latest + 1)
        self._shelf.write_spec(spec)
        if any(tensor.pii == "hash" for tensor in spec.inputs):
            self._shelf.create_key(spec.name)
        version = manifest.version

        def register(release: Release) -> Release:
            return release if release.has(version) else registered(release, version)

        self._ledger.note(spec.name, Order("register", version, actor, why), register)
        return manifest

    def promote(
        self, model: str, version: int, *, actor: str, why: str, expected_revision: int | None = None
    ) -> Release:
        """Make the version champion and end a canary; the old champion becomes previous."""
        return self._move(
            model, Order("promote", version, actor, why), lambda release: promoted(release, version), expected_revision
        )

    def canary(
        self,
        model: str,
        version: int | None,
        *,
        weight: float,
        actor: str,
        why: str,
        expected_revision: int | None = None,
    ) -> Release:
        """Send the share `weight` of the requests to the version; None, or the weight 0, ends the canary."""
        order = Order("canary", version, actor, why)
        return self._move(model, order, lambda release: with_canary(release, version, weight), expected_revision)

    def shadow(
        self, model: str, version: int | None, *, actor: str, why: str, expected_revision: int | None = None
    ) -> Release:
        """Run the version beside the one that answers; None ends it."""
        order = Order("shadow", version, actor, why)
        return self._move(model, order, lambda release: with_shadow(release, version), expected_revision)

    def rollback(self, model: str, *, actor: str, why: str, expected_revision: int | None = None) -> Release:
        """End a running canary; without one, bring the previous champion back."""
        return self._move(model, Order("rollback", None, actor, why), rolled_back, expected_revision)

    def reject(self, model: str, version: int, *, actor: str, why: str) -> Release:
        """The version may never serve again; the champion cannot be rejected."""
        return self._move(model, Order(REJECT, version, actor, why), lambda release: without(release, version), None)

    def record(self, model: str, action: str, version: int | None, *, actor: str, why: str) -> Release:
        """Add an entry to the audit that moves nothing: what a person has decided about the model or its answers."""
        return self._ledger.note(_named(model), Order(action, version, actor, why), lambda release: replace(release))

    def rejection(self, model: str, version: int, *, release: Release | None = None) -> dict[str, Any] | None:
        """Who rejected the version and why, or None; a caller that holds the release spares one request."""
        release = release or self.release(model)
        if not release.has(version):
            raise VersionNotFound(model, version)
        head = release.head
        if (head.action, head.outcome, head.version) == (REJECT, DONE, version):
            entry = head
        else:
            try:
                data = self._store.get(path := rejection_path(model, version)).data
            except NotFound:
                return None
            entry = parsed(AuditEntry.from_bytes, data, path, "audit entry")
        return {"at": entry.at, "actor": entry.actor, "why": entry.why, "entry": entry.id}

    def rejections(
        self, model: str, versions: Iterable[int], *, release: Release | None = None
    ) -> list[dict[str, Any] | None]:
        """`rejection` of several versions at the same time."""
        known = release or self.release(model)
        return _at_once(lambda version: self.rejection(model, version, release=known), versions)

    def audit(self, model: str, *, limit: int = 50, before: str | None = None) -> list[AuditEntry]:
        """Newest first, from the one before the entry with the id `before`."""
        return list(islice(self._ledger.entries(_named(model), before=before), limit))

    def verify_audit(self, model: str) -> list[str]:
        """What is wrong with the chain of audit entries, as sentences; nothing when it is intact."""
        from lastmile.chain import verify_chain  # nobody who predicts asks

        return verify_chain(self._store, self._ledger, _named(model))

    def audited(self) -> list[str]:
        """The models that the audit tells of, and all others; some of them may be gone."""
        from lastmile.chain import audited

        return sorted({*audited(self._store), *self.models()})

    def _move(self, model: str, order: Order, change: Change, expected_revision: int | None) -> Release:
        def checked(release: Release) -> Release:
            if order.version is not None:
                self._check_allowed(release, order.version)
            return change(release)

        return self._ledger.move(_named(model), order, checked, expected_revision=expected_revision)

    def _check_allowed(self, release: Release, version: int) -> None:
        rejection = self.rejection(release.model, version, release=release)
        if rejection is not None:
            raise VersionRejected(
                f"version {version} of model '{release.model}' was rejected by {rejection['actor']}: {rejection['why']}"
            )


def _named(model: str) -> str:
    """The name, when a model can be called that; no other string ever becomes part of a path."""
    if not isinstance(model, str) or MODEL_NAME.fullmatch(model) is None:
        raise ModelNotFound(model)
    return model


def _at_once[A, B](read: Callable[[A], B], items: Iterable[A]) -> list[B]:
    """Read several objects at the same time, in order."""
    from concurrent.futures import ThreadPoolExecutor  # 10 ms that the prediction path need not spend

    with ThreadPoolExecutor(READS_AT_ONCE) as pool:
        return list(pool.map(read, items))
