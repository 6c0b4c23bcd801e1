"""The specification of a model: what it is called, what it does, what it takes and gives."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import orjson

from lastmile.errors import InvalidArtefact, InvalidSpec
from lastmile.manifest import MODEL_NAME
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
from lastmile.tensors import DATATYPES, MAX_DIMENSIONS, Datatype, Signature, TensorSpec

TENSOR_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,127}")
COLUMN_NAME = re.compile(r"(?=\S)[^\x00-\x1f\x7f]{1,128}(?<=\S)")
LONGEST_DESCRIPTION = 2000

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
        import tomllib  # the registry knows specs as JSON

        try:
            document = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise InvalidSpec(f"{path} cannot be read: {error.strerror}") from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InvalidSpec(f"{path} is no TOML: {error}") from error
        try:
            return validate(document)
        except InvalidSpec as error:
            raise InvalidSpec(f"{path}: {error}") from error

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
            inputs=_agreed("input", self.inputs, graph.inputs),
            outputs=_agreed("output", self.outputs, graph.outputs),
        )


def validate(document: Mapping[str, Any]) -> ModelSpec:
    """The spec in an untrusted document; raises InvalidSpec naming every key that is wrong."""
    from pydantic import TypeAdapter, ValidationError  # 60 ms that only a push spends

    try:
        # As JSON, because there a list may stand for a tuple while nothing else is coerced.
        spec = TypeAdapter(ModelSpec).validate_json(orjson.dumps(document), strict=True)
    except ValidationError as error:
        raise InvalidSpec("; ".join(f"{_key(wrong['loc'])}: {_text(wrong)}" for wrong in error.errors())) from None
    except TypeError as error:
        raise InvalidSpec(f"a value cannot be used: {error}") from None
    problems = [*_problems(spec)]
    if problems:
        raise InvalidSpec("; ".join(problems))
    return spec


def _problems(spec: ModelSpec) -> Iterator[str]:
    if MODEL_NAME.fullmatch(spec.name) is None:
        yield f"name: {spec.name!r} must be a lower-case letter and up to 62 letters, digits or hyphens"
    if not spec.description.strip() or len(spec.description) > LONGEST_DESCRIPTION:
        yield f"description: must have 1 to {LONGEST_DESCRIPTION} characters"
    for kind, tensors in (("inputs", spec.inputs), ("outputs", spec.outputs)):
        if not tensors:
            yield f"{kind}: at least one tensor is needed"
        yield from _repeated(kind, [tensor.name for tensor in tensors])
        for index, tensor in enumerate(tensors):
            yield from _tensor_problems(f"{kind}[{index}]", tensor)
    yield from _section_problems(spec)
    for index, tensor in enumerate(spec.outputs):
        for key in ("nullable", "pii"):
            if getattr(tensor, key):
                yield f"outputs[{index}].{key}: only an input can be that"


def _section_problems(spec: ModelSpec) -> Iterator[str]:
    for name in SECTIONS:
        section = getattr(spec, name)
        if section is not None:
            yield from (f"{name}.{problem}" for problem in section.problems())
    for index, gate in enumerate(spec.gates):
        yield from (f"gates[{index}]: {problem}" for problem in gate.problems())
    names = spec.feature_names
    for name, feature in spec.features.items():
        yield from (f"features.{name}: {problem}" for problem in feature.problems())
        if name not in names and not feature.sensitive:
            yield f"features.{name}: no input has such a column (only a sensitive one may be none of the inputs)"
    if spec.features or spec.training is not None:
        yield from _repeated("inputs", names)
    yield from _metric_problems(spec)
    yield from _heavy_problems(spec)
    if spec.decision is not None:
        yield from _decision_problems(spec.decision, Signature(spec.inputs, spec.outputs))


def _metric_problems(spec: ModelSpec) -> Iterator[str]:
    if not any(feature.sensitive for feature in spec.features.values()):
        for index, gate in enumerate(spec.gates):
            if gate.group_gap_at_most is not None:
                yield f"gates[{index}]: group_gap_at_most needs a feature that is sensitive"
    named = {f"gates[{index}].metric": gate.metric for index, gate in enumerate(spec.gates)}
    if spec.compression.metric is not None:
        named["compression.metric"] = spec.compression.metric
    if not named:
        return
    from lastmile.metrics import find  # what serves measures nothing

    for key, name in named.items():
        try:
            if spec.task not in find(name).tasks:
                yield f"{key}: {name} is no metric of {spec.task}"
        except InvalidSpec as error:
            yield f"{key}: {error}"


def _heavy_problems(spec: ModelSpec) -> Iterator[str]:
    """The backend and its section go together, and a cascade needs to know how sure the light side is."""
    if (spec.backend == "sagemaker") != (spec.heavy is not None):
        yield 'backend: "sagemaker" and the section [heavy] go together, and one is there without the other'
    if spec.heavy is None:
        return
    if spec.heavy.mode == "cascade":
        found = {tensor.name: tensor for tensor in spec.outputs}
        probabilities = found.get("probabilities")
        if spec.task != "classification" or probabilities is None or probabilities.datatype != "FP32":
            yield "heavy.mode: a cascade needs a classification with the FP32 output 'probabilities'"
        elif len(probabilities.shape) != 2:
            shape = list(probabilities.shape)
            yield f"heavy.mode: a cascade needs 'probabilities' of shape [rows, classes], not {shape}"
    for kind in ("inputs", "outputs"):
        for index, tensor in enumerate(getattr(spec, kind)):
            if tensor.shape[:1] != (-1,):
                yield f"{kind}[{index}].shape: on the heavy side the first axis must be -1, the rows of a batch"


def _decision_problems(decision: Decision, signature: Signature) -> Iterator[str]:
    from lastmile.decision import policy_of  # what serves has no use for it until somebody asks for a decision

    try:
        policy_of(decision.kind, decision.options, signature)
    except InvalidSpec as error:
        yield str(error)


def _tensor_problems(key: str, tensor: TensorSpec) -> Iterator[str]:
    if TENSOR_NAME.fullmatch(tensor.name) is None:
        yield f"{key}.name: {tensor.name!r} must be 1 to 128 letters, digits or _ . : / -"
    row = DATATYPES.get(tensor.datatype)
    if row is None:
        yield f"{key}.datatype: {tensor.datatype!r} is none of {', '.join(DATATYPES)}"
    elif tensor.nullable and row.dtype.kind != "f":
        yield f"{key}.nullable: {tensor.datatype} cannot say that a value is missing, only floating tensors can"
    elif tensor.pii == "mask" and tensor.datatype != "BYTES":
        yield f"{key}.pii: {tensor.datatype} holds no text to mask; drop it{_or_hash(row)}"
    elif tensor.pii == "hash" and tensor.datatype != "BYTES" and not _or_hash(row):
        yield f"{key}.pii: {tensor.datatype} cannot be hashed, only texts and integers can; drop it"
    if len(tensor.shape) > MAX_DIMENSIONS or any(length < 1 and length != -1 for length in tensor.shape):
        yield f"{key}.shape: {list(tensor.shape)} must be at most {MAX_DIMENSIONS} lengths, each positive or -1 for any"
    yield from _repeated(f"{key}.columns", tensor.columns)
    for column in tensor.columns:
        if COLUMN_NAME.fullmatch(column) is None:
            yield f"{key}.columns: {column!r} must be 1 to 128 visible characters"
    if tensor.columns and (not tensor.shape or tensor.shape[-1] != len(tensor.columns)):
        yield f"{key}.columns: {len(tensor.columns)} names for the last axis of {list(tensor.shape)}"


def _or_hash(row: Datatype) -> str:
    return " or hash it" if row.dtype.kind in "iu" else ""


def _repeated(key: str, names: "list[str] | tuple[str, ...]") -> Iterator[str]:
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{key}: {name!r} is there more than once"


def _agreed(kind: str, wanted: tuple[TensorSpec, ...], graph: tuple[TensorSpec, ...]) -> tuple[TensorSpec, ...]:
    found = {tensor.name: tensor for tensor in graph}
    if found.keys() != {tensor.name for tensor in wanted}:
        raise InvalidArtefact(
            f"the model's {kind}s are {', '.join(sorted(found))}; "
            f"the spec says {', '.join(sorted(tensor.name for tensor in wanted))}"
        )
    return tuple(_agreed_tensor(kind, tensor, found[tensor.name]) for tensor in wanted)


def _agreed_tensor(kind: str, wanted: TensorSpec, found: TensorSpec) -> TensorSpec:
    if found.datatype != wanted.datatype:
        raise InvalidArtefact(
            f"{kind} '{wanted.name}' is {found.datatype} in the model and {wanted.datatype} in the spec"
        )
    if not found.shape:  # a graph may leave a shape open altogether: it then reads as ()
        return wanted
    pairs = list(zip(wanted.shape, found.shape, strict=False))
    if len(wanted.shape) != len(found.shape) or any(
        mine != its and its != -1 and (mine != -1 or kind == "input") for mine, its in pairs
    ):
        raise InvalidArtefact(
            f"{kind} '{wanted.name}' has shape {list(found.shape)} in the model and {list(wanted.shape)} in the spec "
            "(-1 is any length, and an input that the model fixes cannot have any)"
        )
    return replace(wanted, shape=tuple(its if mine == -1 else mine for mine, its in pairs))


def _key(location: tuple[int | str, ...]) -> str:
    """`inputs[0].shape`, as people write it."""
    key = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in location)
    return key.lstrip(".") or "the document"


def _text(problem: Mapping[str, Any]) -> str:
    match problem["type"]:
        case "unexpected_keyword_argument" | "extra_forbidden":
            return "unknown key"
        case "missing":
            return "missing"
        case _:
            return str(problem["msg"])
