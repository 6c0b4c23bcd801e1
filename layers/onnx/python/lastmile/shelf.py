"""The objects of a model that are not its release: its spec, and its versions with manifest and artefact."""

import hashlib
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import orjson

from lastmile.errors import InvalidArtefact, NotFound, StoreUnavailable
from lastmile.manifest import Artefact, Manifest
from lastmile.personal import KEY_BYTES
from lastmile.store import AlreadyExists, Conflict, Store

if TYPE_CHECKING:
    from lastmile.spec import ModelSpec

SPEC_ATTEMPTS = 20


class Shelf:
    """Names are taken as they are: whoever calls has checked them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def spec(self, model: str) -> "ModelSpec":
        from lastmile.spec import ModelSpec  # nobody who predicts asks

        return ModelSpec.from_document(self._read(_spec_path(model)))

    def manifest(self, model: str, version: int) -> Manifest:
        return Manifest.from_document(self._read(_version_path(model, version, "manifest.json")))

    def artefact(self, manifest: Manifest) -> bytes:
        """The model file; raises InvalidArtefact when it is not the one that was registered."""
        return self._file(manifest, manifest.artefact)

    def file(self, manifest: Manifest, path: str) -> bytes:
        """Another file of the version; raises NotFound, or InvalidArtefact when it is not the one registered."""
        for file in manifest.files:
            if file.path == path:
                return self._file(manifest, file)
        raise NotFound(f"version {manifest.version} of model '{manifest.model}' has no file {path}")

    def _file(self, manifest: Manifest, artefact: Artefact) -> bytes:
        digest = hashlib.sha256()
        pieces = []
        for piece in self._store.pieces(_version_path(manifest.model, manifest.version, artefact.path), artefact.bytes):
            digest.update(piece)  # while the next pieces are still under way
            pieces.append(piece)
        if digest.hexdigest() != artefact.sha256:
            raise InvalidArtefact(
                f"{artefact.path} of version {manifest.version} of model '{manifest.model}' is not the file that was "
                f"registered: its sha256 is {digest.hexdigest()}, not {artefact.sha256}"
            )
        return b"".join(pieces)

    def write_version(self, draft: Manifest, contents: Mapping[str, bytes], version: int) -> Manifest:
        """Files first, manifest last, under the first number from `version` on that is free or its own.

        `contents` are the bytes of the artefact and of the other files, by their paths.
        """
        while True:
            manifest = replace(draft, version=version)
            if self._claim(manifest):
                for path, data in contents.items():
                    with suppress(AlreadyExists):  # by this push, when it was cut short
                        self._store.create(_version_path(draft.model, version, path), data)
                path = _version_path(draft.model, version, "manifest.json")
                found = Manifest.from_document(self._create_or_read(path, manifest.to_document()))
                if found == replace(manifest, created_at=found.created_at):
                    return found
            version += 1

    def write_spec(self, spec: "ModelSpec") -> None:
        document = orjson.loads(orjson.dumps(spec.to_document()))
        path = _spec_path(spec.name)
        if self._create_or_read(path, document) == document:
            return
        for _ in range(SPEC_ATTEMPTS):
            with suppress(Conflict):
                self._store.replace(path, _json(document), self._store.get(path).etag)
                return
        raise StoreUnavailable(f"the spec of model '{spec.name}' is written by too many at once; try again")

    def key(self, model: str) -> bytes | None:
        try:
            return self._store.get(_key_path(model)).data
        except NotFound:
            return None

    def create_key(self, model: str) -> None:
        """Random bytes, unless there are some: with another key one person would become two."""
        with suppress(AlreadyExists):
            self._store.create(_key_path(model), os.urandom(KEY_BYTES))

    def _claim(self, manifest: Manifest) -> bool:
        """Whether the number is for this file. The claim comes before the artefact, so that no upload is in vain."""
        claim = {file.path: file.sha256 for file in (manifest.artefact, *manifest.files)}
        return self._create_or_read(_version_path(manifest.model, manifest.version, "claim.json"), claim) == claim

    def _create_or_read(self, path: str, document: dict[str, Any]) -> dict[str, Any]:
        """The document, or the one that is there already."""
        try:
            self._store.create(path, _json(document))
        except AlreadyExists:
            return self._read(path)
        return document

    def _read(self, path: str) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(self._store.get(path).data)
        return document


def _key_path(model: str) -> str:
    """Not below `models/`: who may read a model need not be able to find out whom it was asked about."""
    return f"keys/{model}.key"


def _spec_path(model: str) -> str:
    return f"models/{model}/spec.json"


def _version_path(model: str, version: int, name: str) -> str:
    return f"models/{model}/versions/{version}/{name}"


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
