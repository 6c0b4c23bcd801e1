"""The objects of a model that are not its release: its spec, and its versions with manifest and artefact."""

import hashlib
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from threading import Thread
from typing import TYPE_CHECKING, Any

import orjson

from lastmile.errors import Damaged, InvalidArtefact, InvalidSpec, NotFound, StoreUnavailable, parsed
from lastmile.manifest import Artefact, Manifest
from lastmile.store import AlreadyExists, Conflict, Store

if TYPE_CHECKING:
    from collections.abc import Buffer, Callable
    from queue import SimpleQueue

    from lastmile.spec import ModelSpec

SPEC_ATTEMPTS = 20
MODEL_FILE = "model.onnx"
HEAVY_FILE = "model.tar.gz"  # the name that SageMaker asks for


class Shelf:
    """Names are taken as they are: whoever calls has checked them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def spec(self, model: str) -> "ModelSpec":
        from lastmile.spec import ModelSpec  # nobody who predicts asks

        def read(data: bytes) -> ModelSpec:
            document = orjson.loads(data)
            try:
                return ModelSpec.from_document(document)
            except TypeError as error:  # a key that this code has no place for
                raise InvalidSpec(
                    f"the spec of model '{model}' was written by another version of Lastmile than this one: {error}"
                ) from None

        path = _spec_path(model)
        return parsed(read, self._store.get(path).data, path, "spec")

    def manifest(self, model: str, version: int) -> Manifest:
        """Raises Damaged where there is none: whoever calls knows that there was."""
        path = _version_path(model, version, "manifest.json")
        try:
            data = self._store.get(path).data
        except NotFound:
            raise Damaged(f"{path} is missing") from None
        return _manifest(path, data)

    def fetch(self, model: str, version: int) -> "tuple[Manifest, Iterator[Buffer]]":
        """The manifest, and the model file as it arrives; the file is asked for without waiting for the manifest.

        After the last piece InvalidArtefact is raised when it is not the file that was registered.
        """
        arriving = self._store.pieces(_version_path(model, version, MODEL_FILE))
        beginning = _Soon(lambda: next(arriving))
        manifest = self.manifest(model, version)
        return manifest, _checked(manifest, manifest.artefact, _continued(beginning, arriving))

    def artefact(self, manifest: Manifest) -> bytes:
        """The model file; raises InvalidArtefact when it is not the one that was registered."""
        return self._file(manifest, manifest.artefact)

    def file(self, manifest: Manifest, path: str) -> bytes:
        """Another file of the version; raises NotFound, or InvalidArtefact when it is not the one registered."""
        for file in manifest.files:
            if file.path == path:
                return self._file(manifest, file)
        raise NotFound(f"version {manifest.version} of model '{manifest.model}' has no file {path}")

    def _file(self, manifest: Manifest, file: Artefact) -> bytes:
        path = _version_path(manifest.model, manifest.version, file.path)
        return b"".join(_checked(manifest, file, self._store.pieces(path, file.bytes)))

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
                found = _manifest(path, self._create_or_get(path, _json(manifest.to_document())))
                if found == replace(manifest, created_at=found.created_at):
                    return found
            version += 1

    def write_spec(self, spec: "ModelSpec") -> None:
        data, path = _json(spec.to_document()), _spec_path(spec.name)
        if self._create_or_get(path, data) == data:
            return
        for _ in range(SPEC_ATTEMPTS):
            with suppress(Conflict):
                self._store.replace(path, data, self._store.get(path).etag)
                return
        raise StoreUnavailable(f"the spec of model '{spec.name}' is written by too many at once; try again")

    def key(self, model: str) -> bytes | None:
        """None also where somebody has emptied or shortened it: what it hashed could be guessed."""
        from lastmile.personal import KEY_BYTES  # who hides nothing need not load what hides

        try:
            key = self._store.get(_key_path(model)).data
        except NotFound:
            return None
        return key if len(key) == KEY_BYTES else None

    def create_key(self, model: str) -> None:
        """Random bytes, unless there are some: with another key one person would become two."""
        from lastmile.personal import KEY_BYTES

        with suppress(AlreadyExists):
            self._store.create(_key_path(model), os.urandom(KEY_BYTES))

    def _claim(self, manifest: Manifest) -> bool:
        """Whether the number is for this file. The claim comes before the artefact, so that no upload is in vain."""
        claim = _json({file.path: file.sha256 for file in (manifest.artefact, *manifest.files)})
        return self._create_or_get(_version_path(manifest.model, manifest.version, "claim.json"), claim) == claim

    def _create_or_get(self, path: str, data: bytes) -> bytes:
        """What is at the path now: these bytes, or those that were there already."""
        try:
            self._store.create(path, data)
        except AlreadyExists:
            return self._store.get(path).data
        return data


def _manifest(path: str, data: bytes) -> Manifest:
    return parsed(lambda data: Manifest.from_document(orjson.loads(data)), data, path, "manifest")


def _key_path(model: str) -> str:
    """Not below `models/`: who may read a model need not be able to find out whom it was asked about."""
    return f"keys/{model}.key"


class _Soon:
    """What is read in another thread meanwhile."""

    def __init__(self, read: "Callable[[], Buffer]") -> None:
        self._read = read
        self._found: Buffer | Exception
        self._thread = Thread(target=self._keep, daemon=True)
        self._thread.start()

    def __call__(self) -> "Buffer":
        self._thread.join()
        if isinstance(self._found, Exception):
            raise self._found
        return self._found

    def _keep(self) -> None:
        try:
            self._found = self._read()
        except Exception as error:  # noqa: BLE001 it belongs to whoever asks for the result
            self._found = error


def _continued(beginning: _Soon, rest: "Iterator[Buffer]") -> "Iterator[Buffer]":
    yield beginning()
    yield from rest


def _checked(manifest: Manifest, file: Artefact, pieces: "Iterator[Buffer]") -> "Iterator[Buffer]":
    """The pieces; of several the digest is taken beside whoever uses them."""
    try:
        first = next(pieces, b"")
    except NotFound:
        raise Damaged(f"{file.path} of version {manifest.version} of model '{manifest.model}' is missing") from None
    digest = hashlib.sha256()
    if memoryview(first).nbytes >= file.bytes:
        for piece in chain((first,), pieces):  # the others would be too much, and make the digest another
            digest.update(piece)
            yield piece
    else:
        from queue import SimpleQueue  # a millisecond that small models need not spend

        waiting: SimpleQueue[Buffer] = SimpleQueue()
        thread = Thread(target=_digest_all, args=(digest, waiting), name="digest", daemon=True)
        thread.start()
        try:
            for piece in chain((first,), pieces):
                waiting.put(piece)
                yield piece
        finally:
            waiting.put(b"")
            thread.join()
    if digest.hexdigest() != file.sha256:
        raise InvalidArtefact(
            f"{file.path} of version {manifest.version} of model '{manifest.model}' is not the file that was "
            f"registered: its sha256 is {digest.hexdigest()}, not {file.sha256}"
        )


def _digest_all(digest: "hashlib._Hash", waiting: "SimpleQueue[Buffer]") -> None:
    """Until an empty piece comes."""
    while memoryview(piece := waiting.get()).nbytes:
        digest.update(piece)


def _spec_path(model: str) -> str:
    return f"models/{model}/spec.json"


def _version_path(model: str, version: int, name: str) -> str:
    return f"models/{model}/versions/{version}/{name}"


def _json(document: Any) -> bytes:
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)
