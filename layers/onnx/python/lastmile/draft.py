"""What a push is made of: checked and described before anything of it is written."""

import hashlib
import re
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import orjson

from lastmile.audit import rfc3339
from lastmile.errors import InvalidArtefact, InvalidInput, InvalidSpec
from lastmile.manifest import MODEL_NAME, Artefact, Manifest
from lastmile.shelf import HEAVY_FILE, MODEL_FILE
from lastmile.tensors import Signature

if TYPE_CHECKING:
    from lastmile.spec import ModelSpec

FILE_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}(\.[a-z0-9]+)+")
OWN_FILES = (MODEL_FILE, "manifest.json", "claim.json", "rejected.json")


def drafted(
    spec: "ModelSpec",
    model_bytes: bytes,
    *,
    signature: Signature,
    metrics: dict[str, Any],
    lineage: dict[str, Any],
    compression: dict[str, Any],
    files: Mapping[str, bytes],
    artefact: str,
    limit_bytes: int,
    heavy_limit_bytes: int,
) -> tuple[Manifest, dict[str, bytes]]:
    """The manifest of a version that has no number yet, and the bytes of its files by their paths.

    Raises InvalidSpec, InvalidArtefact or InvalidInput. `limit_bytes` is for the model, the other for each other file.
    """
    if MODEL_NAME.fullmatch(spec.name) is None:
        raise InvalidSpec(f"name: {spec.name!r} is no name of a model")
    if not 0 < len(model_bytes) <= limit_bytes:
        raise InvalidArtefact(f"the model has {len(model_bytes):,} bytes, at most {limit_bytes:,} are possible")
    _check_names(artefact, files)
    for name, data in files.items():
        if len(data) > heavy_limit_bytes:
            raise InvalidArtefact(f"{name} has {len(data):,} bytes, at most {heavy_limit_bytes:,} are possible")
    contents = {artefact: model_bytes, **files}
    policy = spec.policy() if HEAVY_FILE in contents else {**spec.policy(), "heavy": None}
    draft = Manifest(
        model=spec.name,
        version=0,
        created_at=rfc3339(time.time_ns() // 1_000_000),
        artefact=_described(artefact, model_bytes),
        signature=spec.signature(signature),
        metrics=_facts("metrics", metrics),
        lineage=_facts("lineage", lineage),
        compression=_facts("compression", compression),
        policy=_facts("policy", policy),
        files=tuple(_described(name, data) for name, data in sorted(files.items())),
    )
    return draft, contents


def _check_names(artefact: str, files: Mapping[str, bytes]) -> None:
    if artefact != MODEL_FILE and artefact in files:
        raise InvalidArtefact(f"{artefact!r} is no name for another file of a version: the model has it")
    for name in (*files, *(() if artefact == MODEL_FILE else (artefact,))):
        if FILE_NAME.fullmatch(name) is None or name in OWN_FILES:
            raise InvalidArtefact(f"{name!r} is no name for another file of a version")


def _described(path: str, data: bytes) -> Artefact:
    return Artefact(path, hashlib.sha256(data).hexdigest(), len(data))


def _facts(kind: str, facts: dict[str, Any]) -> dict[str, Any]:
    """As they will read when they come back from the store."""
    try:
        kept: dict[str, Any] = orjson.loads(orjson.dumps(facts, option=orjson.OPT_SERIALIZE_NUMPY))
    except TypeError as error:
        raise InvalidInput(f"the {kind} of a version must be JSON: {error}") from error
    return kept
