"""What a version is: written once beside its artefact, and never changed."""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from lastmile.tensors import Signature, TensorSpec

MODEL_NAME = re.compile(r"[a-z][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class Artefact:
    """A file of the version's folder."""

    path: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """`created_at` is RFC 3339 in UTC; `lineage` says what the version was made from, `compression` what was tried.

    `policy` is what serving needs of the spec (`ModelSpec.policy`), `files` are the others of the version's folder.
    """

    model: str
    version: int
    created_at: str
    artefact: Artefact
    signature: Signature
    metrics: dict[str, Any]
    lineage: dict[str, Any]
    compression: dict[str, Any]
    policy: dict[str, Any] = field(default_factory=dict)
    files: tuple[Artefact, ...] = ()

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "Manifest":
        return cls(
            model=document["model"],
            version=document["version"],
            created_at=document["created_at"],
            artefact=Artefact(**document["artefact"]),
            signature=Signature(
                inputs=tuple(map(TensorSpec.from_document, document["signature"]["inputs"])),
                outputs=tuple(map(TensorSpec.from_document, document["signature"]["outputs"])),
            ),
            metrics=document["metrics"],
            lineage=document["lineage"],
            compression=document["compression"],
            policy=document["policy"],
            files=tuple(Artefact(**file) for file in document["files"]),
        )
