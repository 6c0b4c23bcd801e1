"""A specification as it was pushed, and as it is stored."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Literal

from lastmile.declared import agreed
from lastmile.policies import (
    SECTIONS,
    Approval,
    Canary,
    CaptureOptions,
    Certificate,
    Compression,
    Decision,
    Drift,
    Feature,
    Gate,
    Heavy,
    Retrain,
    Training,
    restored,
)
from lastmile.tensors import Signature, TensorSpec

type Task = Literal["classification", "regression", "anomaly", "recommendation", "forecast"]
type Backend = Literal["onnx", "sagemaker"]


@dataclass(frozen=True)
class ModelSpec:
    """A model's `spec.toml`. Tensors are those of the graph, each by its name there.

    A feature is one column of the inputs: it bears the column's name, or the tensor's where columns have no names.
    """

    __pydantic_config__: ClassVar[dict[str, str]] = {"extra": "forbid"}

    name: str
    task: Task
    description: str
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    backend: Backend = "onnx"
    features: dict[str, Feature] = field(default_factory=dict)
    training: Training | None = None
    gates: tuple[Gate, ...] = ()
    compression: Compression = field(default_factory=Compression)
    certificate: Certificate = field(default_factory=Certificate)
    approval: Approval = field(default_factory=Approval)
    canary: Canary = field(default_factory=Canary)
    capture: CaptureOptions = field(default_factory=CaptureOptions)
    drift: Drift = field(default_factory=Drift)
    retrain: Retrain = field(default_factory=Retrain)
    decision: Decision | None = None
    heavy: Heavy | None = None

    @classmethod
    def from_toml(cls, path: Path) -> "ModelSpec":
        """Raises InvalidSpec, naming the file and every key that is wrong."""
        from lastmile.spec.validation import read  # which knows this class

        return read(path)

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> "ModelSpec":
        """From what `to_document` gave and the registry kept; nothing is checked again."""
        sections = {
            name: restored(section, document[name])
            for name, section in SECTIONS.items()
            if document.get(name) is not None
        }
        return cls(
            **{
                **document,
                "inputs": tuple(map(TensorSpec.from_document, document["inputs"])),
                "outputs": tuple(map(TensorSpec.from_document, document["outputs"])),
                "features": {name: restored(Feature, known) for name, known in document.get("features", {}).items()},
                "gates": tuple(restored(Gate, gate) for gate in document.get("gates", ())),
                **sections,
            }
        )

    def to_document(self) -> dict[str, Any]:
        return asdict(self)

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(name for tensor in self.inputs for name in tensor.columns or (tensor.name,))

    def policy(self) -> dict[str, Any]:
        """What a serving process needs of the spec: it is kept with the version, and moves with it."""
        decision = None if self.decision is None else asdict(self.decision)
        heavy = None if self.heavy is None else asdict(self.heavy)
        return {"task": self.task, "capture": asdict(self.capture), "decision": decision, "heavy": heavy}

    def signature(self, graph: Signature) -> Signature:
        """What a version with this graph serves: the spec's tensors, with lengths that only the graph knows.

        Raises InvalidArtefact when the graph contradicts the spec.
        """
        return Signature(
            inputs=agreed("input", self.inputs, graph.inputs),
            outputs=agreed("output", self.outputs, graph.outputs),
        )
